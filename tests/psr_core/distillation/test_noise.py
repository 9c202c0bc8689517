"""Addressed noise: normal, independent between addresses, the same whatever stands beside it."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from psr_core.distillation.noise import FIXED, ITERATION, addressed_normal, addressed_uniform

ROWS = torch.arange(20000)


def drawn(items=ROWS, **address):
    like = torch.empty(len(items), 3, dtype=torch.float64)
    return addressed_normal(like, **{"seed": 1, "items": items, "stream": ITERATION, "step": 2, **address})


def test_is_standard_normal():
    assert stats.kstest(drawn().flatten().numpy(), "norm").pvalue > 1e-3


def test_a_row_does_not_depend_on_the_rows_beside_it():
    chosen = torch.tensor([7, 0, 19999])
    assert torch.equal(drawn(chosen), drawn()[chosen])


@pytest.mark.parametrize("other", [{"seed": 2}, {"stream": FIXED}, {"step": 3}, {"draw": 1}, {"items": ROWS + 1}])
def test_other_addresses_give_independent_noise(other):
    one, two = drawn(), drawn(**other)
    assert abs(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1]) < 4 / one.numel() ** 0.5


def test_elements_of_a_row_are_independent():
    off_diagonal = torch.corrcoef(drawn().mT) - torch.eye(3)
    assert off_diagonal.abs().max() < 4 / len(ROWS) ** 0.5


def test_keeps_shape_and_dtype():
    noise = addressed_normal(torch.empty(2, 4, 8, 8), 0, torch.tensor([3, 3]), ITERATION)
    assert noise.shape == (2, 4, 8, 8) and noise.dtype == torch.float32 and torch.equal(noise[0], noise[1])


def test_uniform_numbers_are_uniform():
    assert stats.kstest([addressed_uniform(0, 5, step) for step in range(2000)], "uniform").pvalue > 1e-3
