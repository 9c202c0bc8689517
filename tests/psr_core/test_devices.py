"""Names of devices: what is there, what is not, and what is no device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from psr_core.devices import plain_attention, precision_on, set_threads, torch_device


def test_the_cpu_is_always_there():
    assert torch_device("cpu") == torch_device(torch.device("cpu")) == torch.device("cpu")


def test_a_name_that_is_no_device_is_refused():
    with pytest.raises(ValueError, match="device is 'gpu', expected cpu, cuda or cuda:<number>"):
        torch_device("gpu")


def test_a_graphics_card_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device is cuda:1, but torch finds no CUDA device here; use cpu"):
        torch_device("cuda:1")


def test_threads_are_set_or_left():
    before = torch.get_num_threads()
    set_threads(None)
    assert torch.get_num_threads() == before
    try:
        set_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(ValueError, match="threads is 0, expected 1 or more"):
        set_threads(0)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fma avx2", "float32"), ("avx512f avx512_bf16", "bfloat16"), ("amx_bf16 amx_tile", "bfloat16")],
)
def test_auto_is_bfloat16_only_where_the_processor_computes_in_it(flags, expected, monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self: f"flags : {flags}\n")
    assert precision_on(torch.device("cpu"), "auto") == expected


@pytest.mark.parametrize("asked", ["bfloat16", "float32"])
def test_a_precision_that_is_named_stays(asked):
    assert precision_on(torch.device("cpu"), asked) == asked


def test_plain_attention_is_attention():
    query, key, value = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0)).double()
    expected = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1) @ value
    with plain_attention(torch.device("cpu")):
        assert not torch.backends.cuda.flash_sdp_enabled()
        found = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert torch.backends.cuda.flash_sdp_enabled()
    torch.testing.assert_close(found, expected)
