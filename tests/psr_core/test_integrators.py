"""Single steps against the distributions that they must produce."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.integrators import (
    Centre,
    ancestral_mean,
    ancestral_std,
    ddim_step,
    extrapolated_centre,
    gaussian_step,
    mode_centre,
    steered_std,
)
from psr_core.predictions import clean_and_noise
from psr_core.steering import Level, Steering
from tests.psr_core.gaussian_data import MEAN, SPREAD, ideal_prediction, noise

dials = st.builds(Steering, k=st.floats(0.05, 50), sigma=st.just(SPREAD))
X = noise(7, dtype=torch.float64)


@st.composite
def steps(draw):
    """Two levels, the second cleaner (perhaps clean), in one of the three scales."""
    angle = draw(st.floats(0.05, 1.57))
    next_angle = angle * draw(st.floats(0, 0.98))
    pair = [Level(math.cos(a), math.sin(a)) for a in (angle, next_angle)]
    scale = draw(st.sampled_from(["preserving", "exploding", "flow"]))
    if scale == "preserving":
        return pair
    if scale == "exploding":
        return [Level(1.0, at.sigma_t / at.alpha) for at in pair]
    return [Level(at.alpha / (at.alpha + at.sigma_t), at.sigma_t / (at.alpha + at.sigma_t)) for at in pair]


def _said(x, level):
    return clean_and_noise("epsilon", ideal_prediction("epsilon", x, level), x, level)


class TestGaussianStep:
    @given(steps(), dials)
    def test_maps_the_steered_gaussian_of_one_level_onto_that_of_the_next(self, pair, dial):
        """x = α μ + ρ z goes to x' = α' μ + ρ' z with the same z: exact, whatever the step's size."""
        level, next_level = pair
        x = level.alpha * MEAN + steered_std(level, dial) * X
        centre = mode_centre(*_said(x, level), level, dial)
        expected = next_level.alpha * MEAN + steered_std(next_level, dial) * X
        torch.testing.assert_close(centre, torch.full_like(x, MEAN), rtol=0, atol=1e-6)
        torch.testing.assert_close(gaussian_step(x, centre, level, next_level, dial), expected, rtol=1e-5, atol=1e-6)

    @given(dials)
    def test_one_step_from_pure_noise_is_the_steered_gaussian(self, dial):
        level, clean = Level(0.0, 1.0), Level(1.0, 0.0)
        said_clean = ideal_prediction("sample", X, level)
        centre = mode_centre(said_clean, X, level, dial)
        landed = gaussian_step(X, centre, level, clean, dial)
        torch.testing.assert_close(landed, MEAN + SPREAD / math.sqrt(dial.k) * X, rtol=1e-9, atol=1e-9)

    @given(steps())
    def test_tends_to_ddim_as_sigma_tends_to_zero(self, pair):
        level, next_level = pair
        said = _said(X, level)
        dial = Steering(k=3.0, sigma=1e-6)
        moved = gaussian_step(X, mode_centre(*said, level, dial), level, next_level, dial)
        torch.testing.assert_close(moved, ddim_step(*said, next_level), rtol=1e-5, atol=1e-5)

    def test_two_steps_are_one_step(self):
        a, b, c = (Level(math.cos(angle), math.sin(angle)) for angle in (1.4, 0.8, 0.2))
        dial = Steering(k=6.0, sigma=SPREAD)

        def step(x, level, next_level):
            return gaussian_step(x, mode_centre(*_said(x, level), level, dial), level, next_level, dial)

        torch.testing.assert_close(step(step(X, a, b), b, c), step(X, a, c), rtol=1e-9, atol=1e-12)


class TestExtrapolation:
    def test_is_exact_for_a_centre_that_moves_linearly_in_lambda(self):
        dial = Steering(k=4.0, sigma=0.3)
        before, now, after = (Level(math.cos(angle), math.sin(angle)) for angle in (1.2, 0.9, 0.5))

        def log_ratio(level):
            return math.log(level.alpha / steered_std(level, dial))

        def centre(at):
            return torch.tensor([2.0, -1.0]) * at

        guess = extrapolated_centre(Centre(before, centre(log_ratio(before))), centre(log_ratio(now)), now, after, dial)
        torch.testing.assert_close(guess, centre((log_ratio(now) + log_ratio(after)) / 2))

    def test_a_first_step_from_pure_noise_is_forgotten(self):
        dial, centre = Steering(k=4.0, sigma=0.3), torch.tensor([1.0])
        last = Centre(Level(0.0, 1.0), torch.tensor([9.0]))
        assert torch.equal(extrapolated_centre(last, centre, Level(0.6, 0.8), Level(1.0, 0.0), dial), centre)


class TestAncestralStep:
    @given(steps())
    def test_noising_the_step_back_gives_the_level_it_came_from(self, pair):
        """For one data point: N(mean, std²) at the next level has the marginal N(α' x0, σ'²)."""
        level, next_level = pair
        clean = torch.full_like(X, 0.7)
        x = level.alpha * clean + level.sigma_t * X
        mean = ancestral_mean(x, clean, level, next_level)
        slope = float((mean - next_level.alpha * clean)[0] / X[0])  # of the mean's deviation on the noise in x
        total = slope**2 + ancestral_std(level, next_level) ** 2
        assert total == pytest.approx(next_level.sigma_t**2, rel=1e-6, abs=1e-12)

    def test_the_last_step_ends_at_the_clean_sample_without_noise(self):
        level, last, clean = Level(0.8, 0.6), Level(1.0, 0.0), torch.full_like(X, 0.2)
        assert torch.equal(ancestral_mean(X, clean, level, last), clean)
        assert ancestral_std(level, last) == 0.0
