"""Mixtures: density, samples and noise prediction against scipy, autograd and closed forms; the file's validation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from psr_core.mixtures import GaussianMixture, load_mixture
from psr_core.samplers import cosine_levels, sample_ode
from psr_core.steering import Level, Steering

SHIPPED = ("isotropic_uniform", "isotropic_weighted", "anisotropic", "weakly_separated")
angles = st.floats(0.01, math.pi / 2 - 0.01)


def random_mixture(seed, modes=3, dim=2):
    generator = torch.Generator().manual_seed(seed)
    roots = torch.randn(modes, dim, dim, dtype=torch.float64, generator=generator)
    weights = torch.rand(modes, dtype=torch.float64, generator=generator) + 0.1
    means = 2 * torch.randn(modes, dim, dtype=torch.float64, generator=generator)
    covariances = roots @ roots.mT + 0.05 * torch.eye(dim, dtype=torch.float64)
    return GaussianMixture(weights / weights.sum(), means, (covariances + covariances.mT) / 2)


def single(mean, covariance):
    values = [torch.tensor(v, dtype=torch.float64) for v in ([1.0], [mean], [covariance])]
    return GaussianMixture(*values)


def points(seed, n=20, dim=2):
    return 3 * torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


mixtures = st.builds(random_mixture, st.integers(0, 1000), st.integers(1, 4), st.just(2))


class TestDensity:
    @pytest.mark.parametrize("dim", [1, 2, 5])
    def test_agrees_with_scipy(self, dim):
        mixture, x = random_mixture(1, dim=dim), points(2, dim=dim)
        expected = sum(
            w * multivariate_normal(m, c).pdf(x.numpy())
            for w, m, c in zip(mixture.weights, mixture.means.numpy(), mixture.covariances.numpy(), strict=True)
        )
        np.testing.assert_allclose(mixture.log_density(x).exp(), expected, rtol=1e-9)

    @given(mixtures, st.integers(0, 100))
    def test_responsibilities_are_bayes_rule(self, mixture, seed):
        x = points(seed)
        parts = torch.stack(
            [
                w.log() + torch.distributions.MultivariateNormal(m, c).log_prob(x)
                for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
            ],
            dim=1,
        )
        found = mixture.responsibilities(x)
        torch.testing.assert_close(found, parts.softmax(1), rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(found.sum(1), torch.ones(len(x), dtype=torch.float64))

    def test_far_away_nothing_underflows(self):
        mixture = random_mixture(3)
        far = torch.tensor([[1e4, -1e4]], dtype=torch.float64)
        assert mixture.log_density(far).isfinite().all() and mixture.log_density(far) < -1e4
        assert mixture.responsibilities(far).isfinite().all()


class TestSamples:
    def test_have_the_mixtures_moments(self):
        mixture = random_mixture(4)
        x = mixture.sample(200_000, torch.Generator().manual_seed(0))
        mean = mixture.weights @ mixture.means
        offsets = mixture.means - mean
        spread = mixture.covariances + offsets[:, :, None] * offsets[:, None]
        covariance = (mixture.weights[:, None, None] * spread).sum(0)
        error = covariance.diagonal().max().sqrt() / len(x) ** 0.5
        assert (x.mean(0) - mean).abs().max() < 5 * error
        torch.testing.assert_close(x.mT.cov(), covariance, rtol=0.02, atol=0.02 * float(covariance.trace()))

    def test_fall_into_modes_by_weight(self):
        mixture = load_shipped("isotropic_weighted").mixture
        x = mixture.sample(50_000, torch.Generator().manual_seed(1))
        shares = torch.bincount(mixture.responsibilities(x).argmax(1), minlength=3) / len(x)
        torch.testing.assert_close(shares, torch.tensor([0.4, 0.5, 0.1]), rtol=0, atol=0.008)

    def test_repeat_with_the_generator(self):
        draws = [random_mixture(5).sample(10, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


class TestSharpened:
    @given(mixtures, st.floats(0.05, 50))
    def test_divides_covariances_and_keeps_the_rest(self, mixture, k):
        target = mixture.sharpened(k)
        torch.testing.assert_close(target.covariances * k, mixture.covariances)
        assert torch.equal(target.weights, mixture.weights) and torch.equal(target.means, mixture.means)

    @pytest.mark.parametrize("k", [0.0, -1.0, math.nan, math.inf])
    def test_refuses_what_is_no_positive_number(self, k):
        with pytest.raises(ValueError, match="k is .*expected a finite number > 0"):
            random_mixture(0).sharpened(k)


class TestDenoiser:
    @given(mixtures, angles, st.integers(0, 100))
    def test_is_minus_sigma_t_times_the_noised_score(self, mixture, angle, seed):
        level = Level(math.cos(angle), math.sin(angle))
        noised = GaussianMixture(
            mixture.weights,
            level.alpha * mixture.means,
            level.alpha**2 * mixture.covariances + level.sigma_t**2 * torch.eye(2, dtype=torch.float64),
        )
        x = points(seed).requires_grad_()
        (score,) = torch.autograd.grad(noised.log_density(x).sum(), x)
        eps = mixture.denoiser()(x.detach(), level)
        torch.testing.assert_close(eps, -level.sigma_t * score, rtol=1e-7, atol=1e-9)

    @given(st.floats(-2, 2), st.floats(0.1, 2), st.floats(0, math.pi / 2))
    def test_one_gaussian_has_a_closed_form(self, mean, std, angle):
        level = Level(math.cos(angle), math.sin(angle))
        x = points(0, dim=1)
        eps = single([mean], [[std**2]]).denoiser()(x, level)
        variance = level.alpha**2 * std**2 + level.sigma_t**2
        torch.testing.assert_close(eps, level.sigma_t * (x - level.alpha * mean) / variance, rtol=1e-9, atol=1e-12)

    @given(mixtures)
    def test_pure_noise_is_its_own_prediction(self, mixture):
        x = points(1)
        torch.testing.assert_close(mixture.denoiser()(x, Level(0.0, 2.0)), x / 2, rtol=1e-9, atol=0)

    @given(mixtures)
    def test_clean_samples_hold_no_noise(self, mixture):
        x = points(1)
        assert torch.equal(mixture.denoiser()(x, Level(1.0, 0.0)), torch.zeros_like(x))

    @given(mixtures, angles)
    def test_is_finite_far_out(self, mixture, angle):
        x = 1e6 * points(1)
        assert mixture.denoiser()(x, Level(math.cos(angle), math.sin(angle))).isfinite().all()

    @pytest.mark.parametrize("angle", [1e-3, 0.1, 1.0, 1.57])
    def test_float32_agrees_with_float64(self, angle):
        mixture, level = load_shipped("weakly_separated").mixture, Level(math.cos(angle), math.sin(angle))
        x = points(2, n=500)
        narrow = mixture.denoiser()(x.float(), level)
        assert narrow.dtype == torch.float32
        torch.testing.assert_close(narrow.double(), mixture.denoiser()(x, level), rtol=2e-4, atol=2e-4)

    def test_refuses_a_level_without_signal_and_noise(self):
        with pytest.raises(ValueError, match=r"level is \(0.0, 0.0\), expected alpha or sigma_t above 0"):
            random_mixture(0).denoiser()(points(0), Level(0.0, 0.0))


class TestSteeredSamplers:
    """What samplers must do with the exact denoiser of the mixture isotropic_weighted. Errors in percent.

    The starting noise is quasi-random: its own error is a few tenths of a percent.
    """

    @pytest.mark.parametrize(
        "k, integrator, steps, limits",
        [
            (10, "gaussian", 20, (15, 15, 30)),
            (10, "gaussian2", 10, (8, 8, 16)),
            (10, "gaussian2", 20, (4, 4, 8)),
            (10, "plain", 500, (4, 4, 4)),
            (0.25, "gaussian", 20, (15, 15, 30)),
            (0.25, "gaussian2", 10, (8, 8, 16)),
            pytest.param(
                *(0.25, "gaussian2", 20, (4, 4, 8)),
                marks=pytest.mark.xfail(
                    reason="the steered flow itself ends 4 to 5 % short for the mode in the middle"
                ),
            ),
            (0.25, "plain", 500, (7, 7, 7)),
        ],
    )
    def test_reach_the_target(self, k, integrator, steps, limits):
        weights, errors = self._measured(k, integrator, steps)
        assert all(abs(error) < limit for error, limit in zip(errors, limits, strict=True)), errors
        # A sampler that takes a few large steps gives the mode in the middle too much, steered or not.
        tolerance = 0.01 if steps == 500 else 0.03
        torch.testing.assert_close(weights, torch.tensor([0.4, 0.5, 0.1]), rtol=0, atol=tolerance)

    def test_the_second_order_ends_where_the_finely_integrated_flow_does(self):
        """For the modes of weight 0.4 and 0.5; so what it misses of the target at k = 0.25 is not its own doing."""
        _, few = self._measured(0.25, "gaussian2", 20)
        _, fine = self._measured(0.25, "gaussian2", 200)
        assert few[:2] == pytest.approx(fine[:2], abs=1)
        assert fine[1] < -4

    @pytest.mark.parametrize("steps, expected", [(10, -78), (20, -56)])
    def test_few_plain_steps_do_not(self, steps, expected):
        _, errors = self._measured(10, "plain", steps)
        assert errors[:2] == pytest.approx([expected, expected], abs=2)

    def _measured(self, k, integrator, steps):
        """Weights (M,), and by how much each mode's variance misses p̄_k's."""
        source = load_shipped("isotropic_weighted")
        target = source.mixture.sharpened(k)
        uniform = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(2**15, dtype=torch.float64)
        noise = torch.special.ndtri(uniform.clamp(1e-9, 1 - 1e-9)).float()
        steering = Steering(k=k, sigma=source.sigma, integrator=integrator)
        parts = [sample_ode(source.mixture.denoiser(), x, cosine_levels(steps), steering) for x in noise.split(2**14)]
        x = torch.cat(parts).double()
        mode = target.responsibilities(x).argmax(1)
        ratios = [float(x[mode == i].var(0).sum() / target.covariances[i].trace()) for i in range(3)]
        return torch.bincount(mode, minlength=3) / len(x), [100 * (ratio - 1) for ratio in ratios]


class TestValidation:
    @pytest.mark.parametrize(
        "change, message",
        [
            (dict(weights=[0.5, 0.4]), r"weights are \[0.5, 0.4\] with sum 0.9, expected > 0 and sum 1"),
            (dict(weights=[1.5, -0.5]), "weights are .*expected > 0"),
            (dict(weights=[1.0]), r"weights is torch.float64 \(1,\), expected weights \(M,\)"),
            (dict(means=[[0.0, math.nan], [0.0, 0.0]]), "means is .*expected finite numbers"),
            (
                dict(covariances=[[[1.0, 0.0], [0.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]]]),
                "mode 1 has covariance .*positive",
            ),
            (
                dict(covariances=[[[1.0, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]),
                "mode 0 has covariance .*symmetric",
            ),
        ],
    )
    def test_names_what_is_wrong(self, change, message):
        identity = [[1.0, 0.0], [0.0, 1.0]]
        fields = dict(weights=[0.5, 0.5], means=[[0.0, 0.0], [1.0, 1.0]], covariances=[identity, identity]) | change
        with pytest.raises(ValueError, match=f"mixture .*{message}"):
            GaussianMixture(**{name: torch.tensor(value, dtype=torch.float64) for name, value in fields.items()})

    def test_refuses_float32(self):
        with pytest.raises(ValueError, match="torch.float32"):
            GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])


def load_shipped(name):
    return load_mixture(Path(__file__).resolve().parents[2] / "config" / "mixtures" / f"{name}.yaml")


class TestFile:
    @pytest.fixture
    def write(self, tmp_path):
        def write(modes, head="name: mine\nnote: for a test\nsigma: 0.2\n"):
            path = tmp_path / "mixture.yaml"
            path.write_text(head + "modes:\n" + "".join(f"  - {mode}\n" for mode in modes))
            return path

        return write

    def test_reads_every_form_of_a_spread(self, write):
        loaded = load_mixture(
            write(
                [
                    "{weight: 0.25, mean: [0, 1], std: 0.5}",
                    "{weight: 0.25, mean: [2, 1], std: [0.5, 2]}",
                    "{weight: 0.25, mean: [2, 1], std: [3, 1], angle: 90}",
                    "{weight: 0.25, mean: [4, 1], covariance: [[2, 1], [1, 3]]}",
                ]
            )
        )
        assert (loaded.name, loaded.note, loaded.sigma) == ("mine", "for a test", 0.2)
        expected = [[[0.25, 0], [0, 0.25]], [[0.25, 0], [0, 4]], [[1, 0], [0, 9]], [[2, 1], [1, 3]]]
        torch.testing.assert_close(loaded.mixture.covariances, torch.tensor(expected, dtype=torch.float64))

    def test_an_angle_turns_the_first_axis_counterclockwise(self, write):
        mixture = load_mixture(write(["{weight: 1, mean: [0, 0], std: [2, 1], angle: 30}"])).mixture
        axis = torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6)], dtype=torch.float64)
        torch.testing.assert_close(mixture.covariances[0] @ axis, 4 * axis)

    def test_every_dimension_is_possible(self, write):
        assert load_mixture(write(["{weight: 1, mean: [0, 0, 0], std: [1, 2, 3]}"])).mixture.dim == 3

    @pytest.mark.parametrize(
        "mode, message",
        [
            ("{weight: 0.5, mean: [0, 0]}", r"modes\[1\] has weight, mean, expected one of: std, std with angle, cov"),
            ("{weight: 0.5, mean: [0, 0], std: 1, covariance: [[1, 0], [0, 1]]}", r"modes\[1\] has .*expected one of"),
            ("{weight: 0.5, mean: [0, 0], angle: 3, covariance: [[1, 0], [0, 1]]}", r"modes\[1\] has .*expected one"),
            ("{mean: [0, 0], std: 1}", r"modes\[1\] lacks weight"),
            (
                "{weight: 0.5, mean: [0, 0], std: 1, colour: red}",
                r"modes\[1\] has no field colour; expected some of: ang",
            ),
            ("{weight: half, mean: [0, 0], std: 1}", r"modes\[1\].weight is 'half', expected a finite number > 0"),
            ("{weight: 0, mean: [0, 0], std: 1}", r"modes\[1\].weight is 0, expected a finite number > 0"),
            ("{weight: 0.5, mean: 3, std: 1}", r"modes\[1\].mean is 3, expected a list of one or more numbers"),
            ("{weight: 0.5, mean: [0, yes], std: 1}", r"modes\[1\].mean\[1\] is True, expected a finite number"),
            ("{weight: 0.5, mean: [0, 0], std: -1}", r"modes\[1\].std is -1, expected numbers > 0"),
            ("{weight: 0.5, mean: [0, 0], std: [1, 1, 1]}", r"modes\[1\].std is .*expected a list of 2 numbers"),
            ("{weight: 0.5, mean: [0, 0], covariance: [[1, 0]]}", r"modes\[1\].covariance is .*expected 2 rows of 2"),
            (
                "{weight: 0.5, mean: [0, 0], covariance: [[1, 2], [2, 1]]}",
                r"modes\[1\].covariance is .*positive definite",
            ),
            (
                "{weight: 0.5, mean: [0, 0, 0], std: 1, angle: 3}",
                r"modes\[1\].angle is 3, expected none in 3 dimensions",
            ),
            ("{weight: 0.5, mean: [0, 0, 0], std: 1}", r"modes have means of \[2, 3\] numbers, expected the same"),
            ("{weight: 0.4, mean: [0, 0], std: 1}", r"weights are \[0.5, 0.4\] with sum 0.9, expected > 0 and sum 1"),
            ("3", r"modes\[1\] is 3, expected the fields"),
        ],
    )
    def test_names_file_mode_field_and_value(self, write, mode, message):
        path = write(["{weight: 0.5, mean: [0, 0], std: 1}", mode])
        with pytest.raises(ValueError, match=message) as refusal:
            load_mixture(path)
        assert str(refusal.value).startswith(f"{path}:")

    @pytest.mark.parametrize(
        "head, message",
        [
            ("name: mine\nnote: x\n", "lacks sigma; expected at least: modes, name, sigma"),
            ("name: 3\nnote: x\nsigma: 0.2\n", "name is 3, expected text"),
            ("name: ../mine\nnote: x\nsigma: 0.2\n", "name is '../mine', expected text of letters, digits"),
            ("name: mine\nnote: 3\nsigma: 0.2\n", "note is 3, expected text"),
            ("name: mine\nnote: x\nsigma: 0\n", "sigma is 0, expected a finite number > 0"),
            ("name: mine\nnote: x\nsigma: 0.2\nk: 3\n", "has no field k"),
            ("name: [", "is no YAML"),
        ],
    )
    def test_names_what_is_wrong_in_the_head(self, write, head, message):
        with pytest.raises(ValueError, match=message):
            load_mixture(write(["{weight: 1, mean: [0], std: 1}"], head))

    def test_a_note_is_not_needed(self, write):
        assert load_mixture(write(["{weight: 1, mean: [0], std: 1}"], "name: mine\nsigma: 0.2\n")).note == ""

    def test_refuses_a_file_without_modes(self, tmp_path):
        path = tmp_path / "mixture.yaml"
        path.write_text("name: mine\nnote: x\nsigma: 0.2\nmodes: []\n")
        with pytest.raises(ValueError, match=r"modes is \[\], expected a list of one mode or more"):
            load_mixture(path)

    @pytest.mark.parametrize("name", SHIPPED)
    def test_shipped_ones_are_what_the_thesis_states(self, name):
        loaded = load_shipped(name)
        weights = {"isotropic_uniform": [1 / 3] * 3, "isotropic_weighted": [0.4, 0.5, 0.1]}.get(name, [0.1, 0.5, 0.4])
        assert loaded.name == name
        torch.testing.assert_close(loaded.mixture.weights, torch.tensor(weights, dtype=torch.float64))
        covariances = loaded.mixture.covariances
        if name.startswith("isotropic"):
            isotropic = loaded.sigma**2 * torch.eye(2, dtype=torch.float64)
            torch.testing.assert_close(covariances, isotropic.expand(3, 2, 2))
            x = loaded.mixture.means[:, 0]
            assert x[0] == x[1] and abs(x[2] - x[0]) > 2  # the third alone has an x coordinate of its own
        else:
            assert all(c[0, 0] != c[1, 1] for c in covariances)
        if name == "isotropic_weighted":
            neighbours = loaded.mixture.means.diff(dim=0).norm(dim=1)
            torch.testing.assert_close(neighbours, torch.full((2,), 4.0, dtype=torch.float64))
