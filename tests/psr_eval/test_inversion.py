"""Inverted noises of views: groups, permutation tests, the map, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_core.distillation.prior_folder import open_prior
from psr_eval.inversion import Inversion, Noises, flat_map, group_means, invert_objects, permutation_p
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_text_to_image

KINDS, OBJECTS, VIEWS, VALUES = 4, 3, 4, 50


def noises(of_kind=0.0, of_object=0.0, seed=0):
    """Noises with a common part for each kind and each object."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(KINDS * OBJECTS), VIEWS)
    kinds = owner // OBJECTS
    parts = of_kind * rng.standard_normal((KINDS, VALUES))[kinds]
    parts = parts + of_object * rng.standard_normal((KINDS * OBJECTS, VALUES))[owner]
    values = parts + rng.standard_normal((len(owner), VALUES))
    return Noises(values, kinds, owner, np.tile(np.arange(VIEWS) * 90.0, KINDS * OBJECTS))


class TestGroups:
    def test_what_objects_share_is_seen_in_their_pairs_alone(self):
        found = noises(of_object=1.0)
        means = group_means(found)
        assert means["object"] == pytest.approx(0.5, abs=0.1) and abs(means["kind"]) < 0.1 > abs(means["others"])
        tests = permutation_p(found, 199)
        assert tests["object"] == pytest.approx(1 / 200) and tests["kind"] > 0.01

    def test_what_kinds_share_makes_no_object_of_theirs_closer(self):
        tests = permutation_p(noises(of_kind=1.0), 199)
        assert tests["kind"] == pytest.approx(1 / 200) and tests["object"] > 0.01

    def test_a_view_that_all_objects_share_makes_nothing_closer(self):
        found = noises()
        common = 5 * np.random.default_rng(1).standard_normal((VIEWS, VALUES))
        shifted = Noises(found.values + np.tile(common, (KINDS * OBJECTS, 1)), *list(vars(found).values())[1:])
        assert permutation_p(shifted, 199)["object"] > 0.01

    def test_without_means_an_even_colour_makes_nothing_closer(self):
        found = noises()
        colours = np.random.default_rng(1).standard_normal((KINDS * OBJECTS, 2))[found.objects]
        tinted = Noises(found.values + 3 * colours.repeat(VALUES // 2, 1), *list(vars(found).values())[1:])
        assert permutation_p(tinted, 199)["object"] == pytest.approx(1 / 200)
        assert permutation_p(tinted.without_means(2), 199)["object"] > 0.01

    def test_one_object_of_each_kind_leaves_nothing_to_exchange(self):
        found = noises()
        alone = Noises(found.values, found.objects, found.objects, found.azimuths)
        assert np.isnan(permutation_p(alone, 9)["object"])


def test_the_map_has_the_distances_of_noises_that_lie_in_a_plane():
    angles = np.array([0.1, 0.2, 1.5, 3.0])
    values = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = flat_map(Noises(values, np.arange(4), np.arange(4), np.zeros(4)))
    expected = np.linalg.norm(values[:, None] - values, axis=2)
    assert np.linalg.norm(found[:, None] - found, axis=2) == pytest.approx(expected)


class TestInversion:
    @pytest.fixture(scope="class")
    def prior(self, tmp_path_factory):
        return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()

    @staticmethod
    def drawn(kind, number):
        rng = np.random.default_rng([ord(kind[0]), number])
        return rng.integers(0, 255, (2, SIZE, SIZE, 3), np.uint8)

    def test_where_no_noise_is_seen_a_picture_only_fades(self, prior, monkeypatch):
        monkeypatch.setattr(prior, "noise", lambda x, *_: torch.zeros_like(x))
        noise, latent = Inversion(prior, "digest", 2, 5, False, 0).noises(self.drawn("cat", 0), "cat")
        assert noise == pytest.approx(prior.levels.level(prior.levels.last).alpha * latent, abs=1e-6)

    def test_the_kind_is_said_only_if_asked(self, prior):
        def found(text, kind):
            return Inversion(prior, "digest", 2, 3, text, 0).noises(self.drawn("cat", 0), kind)[0]

        assert np.array_equal(found(False, "cat"), found(False, "dog"))
        assert not np.array_equal(found(True, "cat"), found(True, "dog"))

    def test_what_is_inverted_is_kept(self, prior, tmp_path, monkeypatch):
        inversion, told = Inversion(prior, "digest", 2, 2, True, 0), []
        asked = (inversion, ["cat", "dog"], 2, self.drawn, tmp_path, lambda *one: told.append(one))
        first, latents = invert_objects(*asked)
        assert first.values.shape == (8, int(np.prod(prior.shape))) and told[-1] == (4, 4, "dog")
        assert first.kinds.tolist() == [0] * 4 + [1] * 4 and first.objects.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        monkeypatch.setattr(Inversion, "noises", None)
        again, _ = invert_objects(*asked)
        assert np.array_equal(first.values, again.values) and not np.array_equal(first.values, latents.values)
