"""What all trainings share: order of batches, learning rate, averaged weights, settings out of range."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from psr_core import training


@given(count=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 5))
def test_an_epoch_holds_no_item_twice_and_leaves_out_less_than_a_batch(count, batch_size, seed):
    size = min(batch_size, count)
    steps = count // size
    seen = torch.cat([training.batch_order(count, batch_size, step, seed, 2) for step in range(steps)])
    assert len(seen) == len(set(seen.tolist())) == steps * size
    assert set(seen.tolist()) <= set(range(count))


def test_every_epoch_is_another_shuffle_and_the_same_seed_the_same():
    first, second = (training.batch_order(50, 50, step, 0, 2).tolist() for step in (0, 1))
    assert first != second
    assert first == training.batch_order(50, 50, 0, 0, 2).tolist()
    assert first != training.batch_order(50, 50, 0, 1, 2).tolist()


def test_the_learning_rate_rises_and_falls_to_zero():
    rates = [training.cosine_learning_rate(step, 100, 10, 2.0) for step in range(101)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert rates[10] == max(rates) == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)


class TestAverage:
    def test_forgets_its_beginning_and_never_more_than_allowed(self):
        assert training.ema_decay(0, 0.75, 0.999) == training.ema_decay(1, 0.75, 0.999) == 0
        assert training.ema_decay(16, 0.75, 0.999) == pytest.approx(1 - 1 / 8)
        assert training.ema_decay(10**6, 0.75, 0.999) == 0.999

    def test_keeps_what_the_decay_says(self):
        averaged, model = nn.Linear(2, 3), nn.Linear(2, 3)
        expected = [0.9 * a + 0.1 * m for a, m in zip(averaged.parameters(), model.parameters(), strict=True)]
        training.average_weights(averaged, model, 0.9)
        for wanted, got in zip(expected, averaged.parameters(), strict=True):
            torch.testing.assert_close(got, wanted)


def test_only_weight_matrices_and_kernels_decay():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Linear(2, 2))
    model.register_parameter("pos_emb", nn.Parameter(torch.zeros(1, 4, 2)))
    decayed, kept = (group["params"] for group in training.parameter_groups(model, 0.1))
    assert {id(p) for p in decayed} == {id(model[0].weight), id(model[2].weight)}
    assert {id(p) for p in decayed} | {id(p) for p in kept} == {id(p) for p in model.parameters()}


@dataclass
class Settings:
    steps: object = 1
    decay: float = 0.0


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3"])
def test_what_is_no_integer_or_too_small_is_named(value):
    with pytest.raises(ValueError, match="steps is .*, expected an integer >= 1"):
        training.require_least(Settings(steps=value), {"steps": 1})


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_what_is_no_number_of_at_least_zero_is_named(value):
    with pytest.raises(ValueError, match="decay is .*, expected a number >= 0"):
        training.require_finite(Settings(decay=value), ("decay",))
