"""Mixtures on SO(3): the denoiser is the conditional mean, and steering behaves on the cube's 24 modes as it must."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from psr_core import so3
from psr_core.so3_diffusion import Level, perturb, power_steps, reference_steps, sample_so3
from psr_core.so3_mixtures import RotationMixture, steered_errors, steering_table
from psr_core.steering import Steering

CUBE = torch.tensor(Rotation.create_group("O").as_matrix())
SHARP = RotationMixture(CUBE, math.radians(0.4))
PSR, CAPPED = Steering(k=7, sigma=0.5), Steering(k=7, sigma=0.5, cap=True)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mean_error(steps, eta, steering, mixture=SHARP, samples=60):
    return steered_errors(mixture, steps, eta, steering, samples).mean_error


class TestSamples:
    def test_lie_about_their_modes_by_weight(self):
        weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
        mixture = RotationMixture(CUBE[[0, 5, 9]], 0.02, weights)
        errors, nearest = mixture.errors(mixture.sample(20_000, seeded()))
        assert float(errors.square().mean()) == pytest.approx(3 * 0.02**2, rel=0.03)
        torch.testing.assert_close(torch.bincount(nearest) / 20_000.0, weights.float(), rtol=0, atol=0.015)


class TestDenoiser:
    @pytest.mark.parametrize("sigma_t", [0.005, 0.05, 0.6])
    def test_errs_on_no_side(self, sigma_t):
        """E[(z - ẑ(R_t)) f(R_t)] is 0 for every f of R_t: the mark of a conditional mean."""
        clean = SHARP.sample(16_000, seeded(1))
        noise = torch.randn(16_000, 3, dtype=torch.float64, generator=seeded(2))
        found = SHARP.denoiser()(perturb(clean, sigma_t, noise), Level(1.0, sigma_t))
        for f in (found, torch.ones_like(found), found**3):
            product = (noise - found) * f
            assert (product.mean(0).abs() < 3.5 * product.std(0) / len(noise) ** 0.5).all()

    def test_points_away_from_the_centre_in_the_body_frame(self):
        away = perturb(CUBE[3], 0.01, torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64))
        found = RotationMixture(CUBE, 1e-4).denoiser()(away, Level(1.0, 0.01))
        torch.testing.assert_close(found, torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64), rtol=1e-3, atol=0)

    def test_works_in_float32(self):
        clean, level = SHARP.sample(100, seeded()), Level(1.0, 0.1)
        narrow, wide = SHARP.denoiser()(clean.float(), level), SHARP.denoiser()(clean, level)
        assert narrow.dtype == torch.float32
        torch.testing.assert_close(narrow.double(), wide, rtol=0, atol=1e-4)


class TestSteering:
    """Errors in degrees. Figures: 24 modes of 0.4 degrees per axis, 5 % error of the denoiser, σ = 0.5."""

    def test_unsteered_samples_have_the_datas_error_less_what_few_steps_contract(self):
        data = math.degrees(float(SHARP.errors(SHARP.sample(4000, seeded()))[0].mean()))
        assert data == pytest.approx(0.4 * math.sqrt(8 / math.pi), rel=0.05)
        assert 0.7 * data < mean_error(power_steps(100), 1.0, Steering()) < data

    @pytest.mark.parametrize("eta, expected", [(0.0, 0.034), (1.0, 0.31)])
    def test_the_cap_sharpens_at_a_hundred_steps(self, eta, expected):
        assert mean_error(power_steps(100), eta, CAPPED) == pytest.approx(expected, rel=0.2)

    def test_raw_psr_sharpens_in_a_hundred_deterministic_steps(self):
        assert mean_error(power_steps(100), 0.0, PSR) == pytest.approx(0.064, rel=0.2)

    @pytest.mark.parametrize("eta", [0.0, 1.0])
    def test_in_twenty_steps_raw_psr_diverges_and_the_cap_does_not(self, eta):
        assert mean_error(power_steps(20), eta, PSR) > 25  # rotations at random: about 41
        capped = steered_errors(SHARP, power_steps(20), eta, CAPPED, 200)
        assert capped.mean_error == pytest.approx((0.07, 0.265)[int(eta)], rel=0.2)
        assert capped.modes_covered == 24

    def test_the_references_pairing_contracts_and_diverges_sooner(self):
        assert mean_error(reference_steps(100), 1.0, Steering(), samples=40) < 0.3
        assert 5 < mean_error(reference_steps(100), 1.0, PSR, samples=40) < 13

    def test_every_weight_stays(self):
        """k = 7 moves nothing from mode to mode: shares of uneven modes as without it."""
        weights = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
        mixture = RotationMixture(CUBE[[0, 5, 9]], math.radians(1), weights)
        shares = []
        for steering in (Steering(), CAPPED):
            start = so3.random_rotations((2000,), seeded())
            end = sample_so3(mixture.denoiser(), start, power_steps(20), steering, 0.0, seeded())
            shares.append(torch.bincount(mixture.errors(end)[1], minlength=3) / 2000)
        torch.testing.assert_close(shares[1], shares[0], rtol=0, atol=0.03)
        assert (shares[0].diff() < -0.1).all()


class TestTable:
    def test_has_a_row_for_every_setting_and_repeats(self):
        arguments = (SHARP, (2, 3), (0.0, 1.0), (Steering(), CAPPED), 5)
        rows = steering_table(*arguments)
        assert [(row.steps, row.eta, row.steering) for row in rows] == [
            (n, eta, s) for n in (2, 3) for eta in (0.0, 1.0) for s in (Steering(), CAPPED)
        ]
        assert steering_table(*arguments) == rows
        assert steering_table(*arguments, seed=1) != rows

    def test_what_missed_every_mode_covers_none(self):
        row = steered_errors(SHARP, power_steps(10), 1.0, PSR, 20)
        assert row.mean_error > 20 and row.modes_covered < 5


class TestRefusals:
    @pytest.mark.parametrize(
        ("centres", "spread", "weights", "message"),
        [
            (CUBE[0], 0.1, None, r"centres has shape \(3, 3\)"),
            (CUBE[:0], 0.1, None, r"centres has shape \(0, 3, 3\)"),
            (CUBE, 0.0, None, "spread is 0.0 rad"),
            (CUBE[:2], 0.1, torch.tensor([0.5, 0.4]), r"weights is .* expected 2 numbers > 0 that sum to 1"),
        ],
    )
    def test_name_the_field(self, centres, spread, weights, message):
        with pytest.raises(ValueError, match=message):
            RotationMixture(centres, spread, weights)
