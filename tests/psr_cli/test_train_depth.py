"""`psr train depth`: from a folder of RGB-D images to a pipeline folder, by command line alone."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from psr_cli.stop_request import StopRequest
from psr_core.files import file_sha256
from psr_perception.depth.loading import load_depth_pipeline
from tests.psr_cli.training_runs import psr_train
from tests.psr_perception.depth.made_up_rooms import write_rooms

SMALL = (
    "--resolution 16 --autoencoder-channels 16,16 --autoencoder-steps 4 --crop 8 --unet-channels 16,16 --steps 4 "
    "--autoencoder-batch-size 4 --batch-size 4 --warmup-steps 1"
)


@pytest.fixture
def psr(tmp_path, monkeypatch):
    """Runs `psr train depth` in a folder of its own that holds images; returns the exit code."""
    write_rooms(tmp_path / "rgbd", 12)
    monkeypatch.chdir(tmp_path)
    with psr_train(f"depth --data rgbd {SMALL}", monkeypatch) as run:
        yield run


def test_makes_a_folder_that_the_pipeline_loads(psr, tmp_path, capsys):
    assert psr("--out out") == 0
    assert "saved out/pipeline" in capsys.readouterr().out
    pipeline = load_depth_pipeline(tmp_path / "out/pipeline")
    assert pipeline.config.default_processing_resolution == 16
    card = json.loads((tmp_path / "out/pipeline/card.json").read_text())
    assert card["command"].startswith("psr train depth --data rgbd")
    assert card["seed"] == 0
    assert card["data"]["images"] + card["data"]["held_out"] == 12
    assert card["metrics"]["steps"] == card["autoencoder"]["metrics"]["steps"] == 4
    assert 0 < card["autoencoder"]["metrics"]["depth"] < 2
    assert card["sha256"]
    for name, digest in card["sha256"].items():
        assert file_sha256(tmp_path / "out/pipeline" / name) == digest


def test_weights_are_stored_in_half_precision_and_depth_latents_are_scaled(psr, tmp_path):
    assert psr("--out out") == 0
    weights = load_file(tmp_path / "out/pipeline/unet/diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    vae = load_depth_pipeline(tmp_path / "out/pipeline").vae
    assert vae.config.scaling_factor not in (1.0, 0.18215)


@pytest.mark.parametrize("after", [2, 6])  # within the autoencoder's steps, and within the denoiser's
def test_stopped_and_resumed_it_ends_with_the_same_weights(psr, tmp_path, monkeypatch, capsys, after):
    assert psr("--out whole") == 0
    with monkeypatch.context() as patch:
        asked = iter([False] * after + [True] * 100)
        patch.setattr(StopRequest, "requested", lambda self: next(asked))
        assert psr("--out part") == 130
    assert "--resume continues" in capsys.readouterr().out
    assert psr("--out part --resume") == 0
    for name in ("unet", "vae"):
        file = f"pipeline/{name}/diffusion_pytorch_model.safetensors"
        assert file_sha256(tmp_path / "whole" / file) == file_sha256(tmp_path / "part" / file)


def test_a_run_is_not_overwritten_unasked(psr, capsys):
    assert psr("--out out") == 0
    assert psr("--out out") == 2
    assert "already holds a training run; add --resume" in capsys.readouterr().err


def test_a_missing_folder_is_named(psr, capsys):
    assert psr("--data nowhere --out out") == 2
    assert "nowhere" in capsys.readouterr().err
