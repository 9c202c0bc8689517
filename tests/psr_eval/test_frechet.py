"""The Fréchet distance against closed forms, and its error against repetition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_eval.frechet import Inception, Statistics, frechet_distance, frechet_standard_error
from tests.tiny_pipelines import tiny_inception

CPU = torch.device("cpu")


def gaussian(rng: np.random.Generator, size: int, rank: int | None = None) -> Statistics:
    factor = rng.normal(size=(size, rank or size))
    return Statistics(rng.normal(size=size), factor @ factor.T, 1000)


class TestFrechetDistance:
    @given(st.lists(st.tuples(*[st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 4), st.floats(0, 4)]), min_size=1))
    def test_is_the_closed_form_where_covariances_commute(self, axes):
        mean_a, mean_b, std_a, std_b = (np.array(column) for column in zip(*axes, strict=True))
        a, b = Statistics(mean_a, np.diag(std_a**2), 9), Statistics(mean_b, np.diag(std_b**2), 9)
        expected = np.sum((mean_a - mean_b) ** 2 + (std_a - std_b) ** 2)
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_is_the_matrix_square_root_where_they_do_not(self, seed):
        rng = np.random.default_rng(seed)
        a, b = gaussian(rng, 12), gaussian(rng, 12)
        root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
        expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance - 2 * root)
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
        assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)

    def test_few_samples_leave_no_nan_and_no_distance_to_oneself(self):
        few = gaussian(np.random.default_rng(0), 64, rank=3)
        assert frechet_distance(few, few) == pytest.approx(0, abs=1e-4)
        shifted = few._replace(mean=few.mean + 2)
        assert frechet_distance(few, shifted) == pytest.approx(64 * 4, abs=1e-4)


class TestStandardError:
    def test_is_what_repetition_shows_when_the_images_of_a_prompt_agree(self):
        """Images of a prompt are alike, so 40 prompts are worth about 40 images, and not 200."""
        rng = np.random.default_rng(0)
        real = Statistics(np.full(3, 0.5), np.eye(3), 10**6)

        def drawn() -> np.ndarray:
            return rng.normal(size=(40, 1, 3)) + 0.1 * rng.normal(size=(40, 5, 3))

        repeated = [frechet_distance(real, Statistics.of(drawn().reshape(-1, 3))) for _ in range(200)]
        told = np.mean([frechet_standard_error(real, drawn()) for _ in range(10)])
        assert told == pytest.approx(np.std(repeated), rel=0.25)

    def test_follows_from_the_images_alone_and_needs_two_prompts(self):
        features = np.random.default_rng(1).normal(size=(6, 2, 4))
        real = Statistics(np.zeros(4), np.eye(4), 100)
        assert frechet_standard_error(real, features) == frechet_standard_error(real, features.copy())
        assert frechet_standard_error(real, features[:1]) is None


class TestInception:
    def test_statistics_are_those_of_the_features(self, tmp_path):
        path = tiny_inception(tmp_path / "inception.pt")
        images = np.random.default_rng(0).integers(0, 256, (21, 8, 12, 3), dtype=np.uint8)  # more than a batch
        with torch.no_grad():
            network = torch.jit.load(str(path))
            features = network(torch.from_numpy(images).permute(0, 3, 1, 2), return_features=True).double().numpy()
        found = Inception(path, CPU).statistics(iter(images))
        assert found.n == 21
        np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found.covariance, np.cov(features.T), rtol=1e-5, atol=1e-9)

    def test_another_file_is_refused_by_name(self, tmp_path):
        (tmp_path / "weights.pt").write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match="weights.pt is no TorchScript file"):
            Inception(tmp_path / "weights.pt", CPU)
