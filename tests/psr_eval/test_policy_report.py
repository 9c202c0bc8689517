"""The report on made-up outcomes: what it says, what it never claims, and what the node can load."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from psr_core.files import write_whole
from psr_core.steering import Steering
from psr_eval.policy_comparison import compare
from psr_eval.policy_heatmap import heatmap, points
from psr_eval.policy_report import as_markdown, conclusion, parameter_file, write_report
from psr_eval.policy_rows import Row
from tests.psr_eval.policy_outcomes import DDIM, made_up, psr

SETTINGS = {
    "task": "Lift",
    "checkpoints": ["lift_unet@0123456789ab"],
    "first_seed": 100_000,
    "noise_seed": 0,
    "num_inference_steps": 16,
}
GAIN = {DDIM: np.zeros(30), psr(2): np.ones(30)}
LOSS = {DDIM: np.tile([0.0, 1.0], 20), psr(2): np.tile([1.0, 0.0], 20)}
CHANCE = {DDIM: np.array([0.0, 1] * 10 + [0]), psr(2): np.array([1.0, 1] * 10 + [0])}
NOTHING = {DDIM: np.ones(30), psr(2): np.zeros(30)}


def _compare(values, score="success"):
    return compare(made_up(values), score, 100)


def _lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


class TestConclusion:
    @pytest.mark.parametrize(
        ("values", "told"),
        [
            (
                GAIN,
                "Gain confirmed: DDIM + psr k=2 σ=0.1, chosen on the selection half, scored 100.0 points",
            ),
            (LOSS, "Loss: DDIM + psr k=2 σ=0.1, the best on the selection half, scored 100.0 points (95 % interval"),
            (CHANCE, "No gain confirmed: DDIM + psr k=2 σ=0.1, the best on the selection half, scored 0.0 points"),
            (NOTHING, "No gain: on the selection half no setting scored above DDIM"),
        ],
    )
    def test_says_what_the_held_out_half_shows(self, values, told):
        assert conclusion(_compare(values)).startswith(told)

    def test_names_size_interval_test_and_states(self):
        text = conclusion(_compare(LOSS))
        assert "-100.0 to -100.0, p < 0.001) below DDIM on the 20 held-out states." in text
        assert "p = 1.000" in conclusion(_compare(CHANCE))


class TestMarkdown:
    def test_one_checkpoint_has_a_dash_for_its_spread(self):
        text = as_markdown(_compare(GAIN), SETTINGS)
        (line,) = _lines(text, "| DDIM + psr k=2 σ=0.1 |")
        assert line.split(" | ")[1:] == [
            "30/30 = 100.0% [88.6%, 100.0%]",
            "1.000",
            "100.0 ± –",
            "+100.0 [+100.0 to +100.0]",
            "30, 0",
            "< 0.001 |",
        ]
        assert "Wilson's interval takes" not in text

    def test_several_checkpoints_have_a_spread_and_a_warning(self):
        rng = np.random.default_rng(0)
        values = {DDIM: rng.integers(0, 2, (3, 20)), psr(2): rng.integers(0, 2, (3, 20))}
        comparison = _compare(values)
        text = as_markdown(comparison, SETTINGS)
        spread = 100 * values[DDIM].mean(axis=1).std(ddof=1)
        assert f" ± {spread:.1f} |" in _lines(text, "| DDIM |")[0]
        assert "Wilson's interval takes" in text

    def test_rewards_have_a_test_of_their_own_beside_that_of_success(self):
        values = {DDIM: np.full(30, 0.4), psr(2): np.full(30, 0.6)}
        text = as_markdown(_compare(values, "max_reward"), SETTINGS)
        assert _lines(text, "| setting")[0].endswith("| p | McNemar p of success |")
        assert _lines(text, "| DDIM + psr")[0].endswith("| +20.0 [+20.0 to +20.0] | 30, 0 | < 0.001 | 1.000 |")

    def test_every_table_is_rectangular(self):
        text = as_markdown(_compare(CHANCE), SETTINGS)
        for part in text.split("\n\n"):
            widths = {line.count("|") for line in part.splitlines() if line.startswith("|")}
            assert len(widths) <= 1

    def test_episodes_that_the_policy_broke_off_are_counted(self):
        outcomes = made_up(CHANCE)
        seed, outcome = next(iter(outcomes[psr(2)][0].items()))
        outcomes[psr(2)][0][seed] = type(outcome)(**{**vars(outcome), "reason": "step 3: no rotation"})
        text = as_markdown(compare(outcomes, "success", 20), SETTINGS)
        assert "* DDIM + psr k=2 σ=0.1: 1 episodes ended early" in text


class TestParameterFile:
    def _parameters(self, values):
        content = yaml.safe_load(parameter_file(_compare(values), SETTINGS))
        assert list(content) == ["/policy"]
        return content["/policy"]["ros__parameters"]

    def test_holds_what_was_confirmed(self):
        parameters = self._parameters(GAIN)
        own = {name.removeprefix("steering."): v for name, v in parameters.items() if name.startswith("steering.")}
        assert Steering.from_dict(own) == psr(2).steering
        assert (parameters["sampler"], parameters["num_inference_steps"]) == ("ddim", 16)

    @pytest.mark.parametrize("values", [LOSS, CHANCE, NOTHING])
    def test_holds_the_baseline_where_nothing_was_and_says_so(self, values):
        assert self._parameters(values)["steering.method"] == "none"
        text = parameter_file(_compare(values), SETTINGS)
        assert "# This file holds DDIM, the baseline." in text
        assert conclusion(_compare(values)).split(":")[0] in text

    def test_numbers_that_ros_takes_as_double_are_written_so(self):
        parameters = self._parameters({DDIM: np.zeros(30), psr(2, 1e-6): np.ones(30)})
        assert [type(parameters[f"steering.{name}"]) for name in ("k", "sigma", "cap")] == [float, float, bool]
        assert parameters["steering.sigma"] == 1e-6

    def test_names_the_same_as_arguments_of_psr_up(self):
        from psr_cli.graph import load_graph, parse_assignments

        text = parameter_file(_compare(GAIN), SETTINGS)
        (line,) = _lines(text, "# psr up sim ")
        plan = load_graph("sim").resolve(parse_assignments(line.split()[4:]))
        node = next(node for node in plan.nodes if node.name == "policy")
        assert node.parameters | self._parameters(GAIN) == node.parameters


class TestHeatmap:
    def test_needs_a_grid(self):
        assert heatmap(_compare(GAIN), "title") is None
        nes = [Row("ddim", Steering(k=k, method="nes")) for k in (0.9, 1.1)]
        assert heatmap(_compare({row: np.zeros(4) for row in (DDIM, *nes)}), "title") is None

    def test_is_a_picture_with_cells_that_may_be_missing(self):
        rng = np.random.default_rng(0)
        rows = [DDIM, psr(0.5), psr(2), psr(2, 0.3), psr(2, integrator="gaussian"), psr(4, integrator="gaussian")]
        picture = heatmap(_compare({row: rng.integers(0, 2, 20) for row in rows}), "title")
        assert picture.startswith(b"\x89PNG")

    def test_points_have_a_sign_and_no_negative_zero(self):
        assert [points(value) for value in (0.125, -0.0001, 0.0, -0.2)] == ["+12.5", "+0.0", "+0.0", "-20.0"]


class TestFiles:
    def test_json_has_every_figure(self, tmp_path):
        rows = {DDIM: np.zeros(30), psr(2): np.ones(30), psr(3): np.tile([1.0, 0.0], 15)}
        paths = write_report(_compare(rows), SETTINGS, tmp_path / "deep")
        assert [path.name for path in paths] == ["table.json", "table.md", "confirmed.yaml", "heatmap.png"]
        report = json.loads(paths[0].read_text())
        assert report["settings"] == SETTINGS
        assert report["confirmed"] == "DDIM + psr k=2 σ=0.1"
        assert Steering.from_dict(report["rows"][1]["row"]["steering"]) == psr(2).steering
        assert report["rows"][1]["difference"]["mean"] == 1.0
        assert report["rows"][0]["spread"] is None
        (family, overall) = report["choices"]
        assert (family["name"], family["baseline"], family["best"]) == ("DDIM + PSR", "DDIM", "DDIM + psr k=2 σ=0.1")
        assert overall["verdict"] == "gain"
        assert overall["held_out"]["low"] == 1.0

    def test_a_heat_map_of_an_earlier_report_is_removed(self, tmp_path):
        write_whole(tmp_path / "heatmap.png", b"old")
        write_report(_compare(GAIN), SETTINGS, tmp_path)
        assert not (tmp_path / "heatmap.png").exists()
