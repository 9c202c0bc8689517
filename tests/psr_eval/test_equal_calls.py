"""Iterations for a number of calls, and rates that add up whatever the iterations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_core.distillation.schedule import AnnealedTimes
from psr_eval.equal_calls import falling_rates, most_iterations, plain_options


@given(st.integers(1, 500), st.integers(1, 25), st.integers(0, 30))
def test_another_iteration_would_exceed_the_calls(calls, each, first):
    def count(steps):
        return first + each * steps

    if count(1) > calls:
        with pytest.raises(ValueError, match=f"{calls} calls are too few for X; one iteration costs {count(1)}"):
            most_iterations(count, calls, "X")
    else:
        steps = most_iterations(count, calls, "X")
        assert count(steps) <= calls < count(steps + 1)


@pytest.mark.parametrize("steps", [1, 7, 300])
def test_rates_fall_and_add_up_to_the_reach(steps):
    rates = list(falling_rates(steps, 4.0))
    assert sum(rates) == pytest.approx(4.0) and rates == sorted(rates, reverse=True) and rates[-1] == 0


def test_options_become_plain_values():
    found = plain_options((("grid", 5), ("times", AnnealedTimes(0.5, 0.1))))
    assert found == {"grid": 5, "times": "AnnealedTimes(start=0.5, end=0.1, power=1.0)"}
