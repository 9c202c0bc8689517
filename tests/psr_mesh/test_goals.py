"""Goals in words and numbers: what they become, and what is refused by name."""

import pytest

from psr_core.steering import Steering
from psr_mesh.goals import read_goal

SHARP = Steering(k=2.0, sigma=0.3)


def goal(prompt="a red mug", seed=3, **given):
    return read_goal(prompt, seed, SHARP, **given)


class TestWhatIsAskedFor:
    def test_is_the_presets_where_nothing_is_said(self):
        made = goal(preset="quick")
        assert made.name == "a_red_mug_3"
        assert (made.settings.prompt, made.settings.seed, made.settings.steering) == ("a red mug", 3, SHARP)
        assert made.settings == goal(preset="quick", method="dsd").settings
        assert made.settings.steps < goal().settings.steps

    def test_options_reach_settings_and_asset(self):
        options = '{"steps": 7, "levels": [4, 8], "grow": [0.5], "regularisers": {"opaqueness": 0.1}, '
        made = goal(name="mug", options=options + '"cameras": {}, "asset": {"longest_side": 0.05}}')
        assert (made.name, made.settings.steps, made.settings.levels) == ("mug", 7, (4, 8))
        assert made.settings.regularisers.opaqueness == 0.1
        assert made.asset.longest_side == 0.05


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"seed": 2**63}, "seed is 9223372036854775808, expected 0 to"),
        ({"method": "magic"}, "magic"),
        ({"preset": "best"}, "preset is 'best', expected one of: quick, default"),
        ({"name": "../mug"}, r"name is '\.\./mug', expected a-z"),
        ({"options": "{"}, "options are '{', expected a JSON object"),
        ({"options": "[1]"}, "expected a JSON object"),
        ({"options": '{"seed": 3, "colour": 1}'}, "options have colour, seed, expected some of: asset, cameras"),
        ({"options": '{"steps": "many"}'}, "steps is 'many'|another kind"),
        ({"options": '{"levels": 3}'}, "another kind"),
        ({"options": '{"asset": {"colour": 1}}'}, "another kind.*colour"),
        ({"options": '{"asset": {"longest_side": 9}}'}, "longest_side is 9"),
    ],
)
def test_what_cannot_be_is_named(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        goal(**given)
