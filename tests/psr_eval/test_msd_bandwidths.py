"""Samples near a picture of mean-shift distillation, at several bandwidths."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from psr_core.distillation.prior_folder import open_prior
from psr_eval.distillation_2d import Setting
from psr_eval.msd_bandwidths import DRAWS, SHARES, look, write_bandwidths
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_text_to_image


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    prior = open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()
    return look(Setting(prior, "digest", ("a cat",), 2, 0, 60, "latent", "a blur", 3.0), "a cat")


def distance(one):
    """Of the draws at each bandwidth from the picture."""
    return {width: np.abs(drawn.astype(int) - one.picture).mean() for width, drawn in one.draws.items()}


def test_each_moment_has_draws_at_every_moments_bandwidth(seen):
    widths = [one.width for one in seen]
    assert len(seen) == len(SHARES) and widths == sorted(widths, reverse=True)
    for one in seen:
        assert list(one.draws) == widths
        assert all(drawn.shape == (DRAWS, SIZE, SIZE, 3) for drawn in one.draws.values())


def test_the_narrower_the_kernel_the_nearer_the_picture(seen):
    for one in seen:
        found = distance(one)
        assert found[min(found)] < found[max(found)]


def test_the_picture_moves_and_the_draws_differ(seen):
    assert not np.array_equal(seen[0].picture, seen[-1].picture)
    widest = seen[0].draws[max(seen[0].draws)]
    assert not np.array_equal(widest[0], widest[1])


def test_a_figure_of_a_line_for_each_bandwidth(seen, tmp_path):
    write_bandwidths(seen, "a cat", tmp_path / "bandwidths.png")
    image = cv2.imread(str(tmp_path / "bandwidths.png"))
    assert image is not None and image.shape[0] > 300 and image.std() > 1
