"""Noise levels on SO(3), and the sampler: exact for one Gaussian, steered as in flat space, indexed as it says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core import so3
from psr_core.seeds import noise_generator
from psr_core.so3_diffusion import (
    expected_spread,
    level_at,
    perturb,
    power_steps,
    reference_steps,
    sample_so3,
    step_gain,
    time_at,
)
from psr_core.steering import Level, Steering

SPREAD = 0.05  # rad: small enough that the mode is flat
CENTRE = so3.random_rotations((), torch.Generator().manual_seed(9), torch.float64)
PLAIN = Steering()


def gaussian(rotations, level):
    """The exact noise prediction of one mode."""
    return level.sigma_t * so3.log(CENTRE.mT @ rotations) / (SPREAD**2 + level.sigma_t**2)


def point(rotations, level):
    return so3.log(CENTRE.mT @ rotations) / level.sigma_t


def blind(rotations, level):
    return torch.zeros_like(rotations[..., 0])


def fine(steps=200):
    """Steps about the spread, each of 2 %."""
    levels = [Level(1.0, 0.5 * 0.01 ** (i / steps)) for i in range(steps + 1)]
    return list(pairwise(levels))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, seed=0):
    return torch.randn(n, 3, dtype=torch.float64, generator=seeded(seed))


def noised(n, sigma_t, seed=0):
    return perturb(CENTRE, math.hypot(SPREAD, sigma_t), normal(n, seed))


def variance_ratio(samples):
    return float(so3.log(CENTRE.mT @ samples).square().mean()) / SPREAD**2


class TestLevels:
    def test_run_from_one_radian_to_a_ten_thousandth(self):
        steps = power_steps(100)
        assert len(steps) == 100
        assert steps[0][0].sigma_t == pytest.approx(1) and steps[-1][1].sigma_t == pytest.approx(1e-4)
        assert all(level.alpha == 1 for step in steps for level in step)
        # the schedule's own form: variances are cubes of a uniform grid
        roots = [level.sigma_t ** (2 / 3) for level, _ in steps]
        gaps = [a - b for a, b in pairwise(roots)]
        assert gaps == pytest.approx([gaps[0]] * 99)

    def test_each_step_begins_where_the_last_one_ended(self):
        assert all(a[1] == b[0] for a, b in pairwise(power_steps(7)))

    @given(st.floats(0, 1))
    def test_time_undoes_level(self, time):
        assert time_at(level_at(time)) == pytest.approx(time, abs=1e-12)

    def test_the_references_steps_end_one_timestep_below_the_next(self):
        """100 timesteps: told 99, 98, ..., 0, reached 97, 96, ..., -1, where -1 is clean; 50 steps: told 99, 97, ..."""
        steps = reference_steps(100)
        assert [round(100 * time_at(told)) for told, _ in steps] == list(range(99, -1, -1))
        assert steps[0][0].sigma_t == pytest.approx(0.985, abs=1e-3)
        assert [round(100 * time_at(end)) for _, end in steps[:-2]] == list(range(97, -1, -1))
        assert [end.sigma_t for _, end in steps[-2:]] == [0, 0]
        assert [round(100 * time_at(told)) for told, _ in reference_steps(50)][:3] == [99, 97, 95]
        assert [round(100 * time_at(end)) for _, end in reference_steps(50)][:3] == [96, 94, 92]

    @pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
    def test_refuse_times_outside(self, wrong):
        with pytest.raises(ValueError, match="time is .*, expected 0"):
            level_at(wrong)

    def test_refuse_no_step(self):
        with pytest.raises(ValueError, match="steps is 0, expected at least 1"):
            power_steps(0)
        with pytest.raises(ValueError, match="steps is 101, expected 1 to the 100 training timesteps"):
            reference_steps(101)


class TestPerturb:
    def test_turns_in_the_body_frame_by_sigma_times_noise(self):
        noise = torch.randn(4, 5, 3, dtype=torch.float64, generator=seeded())
        sigma_t = torch.rand(4, 5, dtype=torch.float64, generator=seeded()) / 10
        found = so3.log(CENTRE.mT @ perturb(CENTRE, sigma_t, noise))
        torch.testing.assert_close(found, sigma_t[..., None] * noise)
        same = perturb(CENTRE, torch.full((4, 5), 0.1, dtype=torch.float64), noise)
        torch.testing.assert_close(perturb(CENTRE, 0.1, noise), same)


class TestSampler:
    def test_a_step_keeps_of_the_offset_what_the_levels_say(self):
        """For a single rotation as data every step is exact: the offset shrinks by the ratio of the levels."""
        start = noised(50, 0.5)
        end = sample_so3(point, start, [(level_at(0.7), level_at(0.4))], PLAIN, 0.0, seeded())
        ratio = level_at(0.4).sigma_t / level_at(0.7).sigma_t
        offset = so3.log(CENTRE.mT @ start)
        torch.testing.assert_close(so3.log(CENTRE.mT @ end), ratio * offset)

    @pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
    def test_every_eta_comes_to_the_data(self, eta):
        samples = sample_so3(gaussian, noised(700, 0.5), fine(), PLAIN, eta, seeded(1))
        assert variance_ratio(samples) == pytest.approx(1, abs=0.12)

    @pytest.mark.parametrize("eta", [0.0, 1.0])
    @pytest.mark.parametrize("k", [0.25, 4.0])
    def test_psr_divides_the_variance_by_k(self, k, eta):
        dial = Steering(k=k, sigma=SPREAD)
        samples = sample_so3(gaussian, noised(700, 0.5), fine(), dial, eta, seeded(1))
        assert variance_ratio(samples) * k == pytest.approx(1, abs=0.15)

    def test_eta_0_takes_nothing_from_the_generator_and_eta_1_all_its_noise(self):
        generator, start = seeded(), noised(4, 1.0)
        before = generator.get_state()
        sample_so3(point, start, power_steps(3), PLAIN, 0.0, generator)
        assert torch.equal(generator.get_state(), before)
        # where eta is 1 and the denoiser sees no noise, what is injected is the ancestral amount
        step = (Level(1.0, 0.4), Level(1.0, 0.3))
        end = sample_so3(blind, CENTRE.expand(9000, 3, 3), [step], PLAIN, 1.0, seeded())
        expected = 0.3 * math.sqrt(1 - (0.3 / 0.4) ** 2)
        assert float(so3.log(CENTRE.mT @ end).std()) == pytest.approx(expected, rel=0.02)

    def test_nns_divides_the_injected_noise(self):
        step = (Level(1.0, 0.4), Level(1.0, 0.3))
        whole, quarter = (
            so3.log(CENTRE.mT @ sample_so3(blind, CENTRE.expand(50, 3, 3), [step], s, 1.0, seeded()))
            for s in (PLAIN, Steering(k=4, method="nns"))
        )
        torch.testing.assert_close(whole, 4 * quarter)

    def test_nes_multiplies_the_prediction(self):
        step, start = (Level(1.0, 0.4), Level(1.0, 0.3)), noised(50, 0.1)
        once, twice = (
            so3.log(start.mT @ sample_so3(point, start, [step], s, 0.0, seeded()))
            for s in (PLAIN, Steering(k=2, method="nes"))
        )
        torch.testing.assert_close(twice, 2 * once)

    @pytest.mark.parametrize("eta", [0.0, 1.0])
    @pytest.mark.parametrize("steps", [2, 5, 20])
    def test_the_cap_never_lets_a_mean_pass_the_clean_rotation(self, steps, eta):
        start = noised(200, 0.1)
        dial = Steering(k=40, sigma=2, cap=True)
        for step in power_steps(steps):
            end = sample_so3(point, start, [step], dial, eta, seeded())
            injected = eta * step[1].sigma_t * math.sqrt(1 - (step[1].sigma_t / step[0].sigma_t) ** 2)
            noise = torch.randn(200, 3, dtype=torch.float64, generator=seeded())
            mean = end @ so3.exp(-injected * noise)
            forward = (so3.log(CENTRE.mT @ mean) * so3.log(CENTRE.mT @ start)).sum(-1)
            assert forward.min() > -1e-9

    def test_without_the_cap_few_steps_pass_it(self):
        start = noised(50, 0.1)
        end = sample_so3(point, start, [power_steps(5)[2]], Steering(k=40, sigma=2), 0.0, seeded())
        assert ((so3.log(CENTRE.mT @ end) * so3.log(CENTRE.mT @ start)).sum(-1) < 0).all()

    @pytest.mark.parametrize(
        "dial", [PLAIN, Steering(k=7, sigma=0.5), Steering(k=7, sigma=0.5, cap=True), Steering(k=3, method="nes")]
    )
    def test_a_step_goes_as_far_as_its_gain_says(self, dial):
        start = noised(20, 0.01)
        for step in power_steps(8):
            end = sample_so3(point, start, [step], dial, 0.0, seeded())
            left = (1 - step_gain(step, dial, 0.0)) * so3.log(CENTRE.mT @ start)
            torch.testing.assert_close(so3.log(CENTRE.mT @ end), left, rtol=0, atol=1e-12)

    @pytest.mark.parametrize(
        ("dial", "eta"),
        [
            (PLAIN, 0.0),
            (PLAIN, 1.0),
            (Steering(k=7, sigma=0.05), 0.0),
            (Steering(k=7, sigma=0.05), 0.6),
            (Steering(k=0.5), 1.0),
            (Steering(k=3, method="nns"), 1.0),
            (Steering(k=2, cap=True), 0.6),
        ],
    )
    def test_a_modes_samples_spread_as_expected(self, dial, eta):
        steps = fine(20)
        samples = sample_so3(gaussian, perturb(CENTRE, steps[0][0].sigma_t, normal(4000)), steps, dial, eta, seeded(1))
        expected = expected_spread(SPREAD, steps, dial, eta)
        assert variance_ratio(samples) ** 0.5 * SPREAD == pytest.approx(expected, rel=0.06)

    def test_they_spread_over_everything_at_most(self):
        assert expected_spread(1e-9, power_steps(5), Steering(k=1000, method="nes"), 1.0) == pytest.approx(math.pi)

    def test_gain_of_an_ancestral_step_is_larger_for_it_takes_noise_away_first(self):
        for step in power_steps(8):
            assert step_gain(step, PLAIN, 0.0) < step_gain(step, PLAIN, 1.0) <= 1

    def test_a_row_with_its_own_generator_does_not_depend_on_the_others(self):
        start = noised(15, 1.0).reshape(3, 5, 3, 3)
        together = sample_so3(gaussian, start, power_steps(4), PLAIN, 1.0, [noise_generator(0, i, 0) for i in range(3)])
        alone = sample_so3(gaussian, start[1:2], power_steps(4), PLAIN, 1.0, [noise_generator(0, 1, 0)])
        torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-14)

    def test_float32_gives_rotations_in_float32(self):
        samples = sample_so3(gaussian_float32, noised(50, 1.0).float(), power_steps(30), PLAIN, 1.0, seeded())
        assert samples.dtype == torch.float32
        identity = torch.eye(3).expand(50, 3, 3)
        torch.testing.assert_close(samples.mT @ samples, identity, rtol=0, atol=5e-6)

    @pytest.mark.parametrize(
        ("steering", "eta", "message"),
        [
            (PLAIN, 1.5, "eta is 1.5, expected 0"),
            (PLAIN, math.nan, "eta is nan, expected 0"),
            (Steering(k=2, method="nns"), 0.0, "nns scales injected noise and eta 0 injects none"),
            (Steering(integrator="gaussian"), 0.0, "integrator is 'gaussian', expected 'plain'"),
        ],
    )
    def test_refuses(self, steering, eta, message):
        with pytest.raises(ValueError, match=message):
            sample_so3(point, noised(2, 1.0), power_steps(2), steering, eta, seeded())


def gaussian_float32(rotations, level):
    return level.sigma_t * so3.log(CENTRE.float().mT @ rotations) / (SPREAD**2 + level.sigma_t**2)
