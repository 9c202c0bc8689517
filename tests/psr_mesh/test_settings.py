"""What decides an object: presets, and what is refused by name before any work."""

from __future__ import annotations

import pytest

from psr_core.distillation.methods import METHODS
from psr_core.distillation.published import PUBLISHED
from psr_mesh.cameras import CameraRanges
from psr_mesh.settings import PRESETS, MeshSettings, Regularisers, preset_settings


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"negative": ""}, "negative is empty"),
        ({"method": "dreams"}, "method is 'dreams', expected one of: sds"),
        ({"options": {"kappa": "fixed"}}, "dsd has no option kappa"),
        ({"options": {"seed": 3}}, "options have seed, which follow"),
        ({"options": {"times": 3}}, "options times is 3"),
        ({"method": "nfsd"}, "nfsd: negative is missing"),
        ({"method": "msd", "published": True}, "msd has no released code"),
        ({"steps": 0}, "steps is 0"),
        ({"views": 0}, "views is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"view_prompts": "some"}, "view_prompts is 'some', expected one of: perp_neg, words, none"),
        ({"noise_bin": 0.0}, "noise_bin is 0.0"),
        ({"image_elevation": 90.0}, "image_elevation is 90.0"),
        ({"pixels": 4}, "pixels is 4"),
        ({"levels": (8, 12), "grow": (0.5,)}, r"levels are \(8, 12\)"),
        ({"levels": (8, 16), "grow": (0.5, 0.7)}, r"grow is \(0.5, 0.7\), expected 1 rising shares"),
        ({"levels": (8, 16, 32), "grow": (0.7, 0.5)}, r"grow is \(0.7, 0.5\)"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        MeshSettings(**{"prompt": "a cat", **fields})


def test_a_regulariser_below_zero_is_refused_by_name():
    with pytest.raises(ValueError, match="sparsity is -1"):
        Regularisers(sparsity=-1)


class TestPresets:
    @pytest.mark.parametrize("name", PRESETS)
    def test_every_preset_is_valid_and_can_be_overridden(self, name):
        settings = preset_settings(name, "a cat", steps=7, cameras=CameraRanges(shift=0.0))
        assert (settings.prompt, settings.steps, settings.cameras.shift) == ("a cat", 7, 0.0)

    def test_quick_is_less_work(self):
        quick, default = (preset_settings(name, "a cat") for name in ("quick", "default"))
        assert quick.steps * quick.views < default.steps * default.views

    def test_an_unknown_one_is_refused(self):
        with pytest.raises(ValueError, match="preset is 'best', expected one of: quick, default"):
            preset_settings("best", "a cat")


class TestOptionsOfTheMethod:
    def test_given_ones_come_before_those_for_volumes(self):
        settings = MeshSettings("a cat", options={"source_guidance": 5.0})
        assert settings.method_options()["source_guidance"] == 5.0
        assert settings.method_options()["trajectory_guidance"] == 1.0

    def test_published_ones_are_those_of_the_released_code(self):
        assert MeshSettings("a cat", published=True).method_options() == PUBLISHED["dsd"]

    def test_guidance_comes_before_all(self):
        assert MeshSettings("a cat", guidance=3.0, published=True).method_options()["guidance"] == 3.0

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_has_some_guidance(self, method):
        negative = "a blur" if method == "nfsd" else None
        assert MeshSettings("a cat", method, negative=negative).method_options()["guidance"] > 1


def test_levels_come_in_at_their_steps():
    assert MeshSettings("a cat", steps=200, levels=(4, 8, 16), grow=(0.1, 0.5)).level_steps() == [0, 20, 100]
