"""The report on made-up errors: what it says, what it never claims, and the pictures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from psr_core import so3
from psr_core.files import write_whole
from psr_eval.pose_comparison import THESIS, compare
from psr_eval.pose_figures import alike, exaggerated, longitude_latitude_tilt, spheres, sweep
from psr_eval.pose_report import as_markdown, sentence, shapes_as_markdown, shown_rows, write_report
from psr_eval.pose_rows import Row
from psr_perception.pose.symmetry import load_symmetry
from tests.psr_eval.pose_oracle import SYMMETRIES, psr, telling

SETTINGS = {"checkpoint": "pose@0123", "shapes": ["cube", "cone"], "samples": 1, "seed": 0}
SHAPES = ["cube", "cube", "cone", "cone"] * 8
ERRORS = np.linspace(0.2, 2, 32)[:, None]
BASE, SHORT, PLAIN = Row(100), Row(10), Row(100, 1.0, THESIS)
CAPPED, OTHER = Row(10, 1.0, psr(cap=True)), Row(100, 1.0, psr(2))
GAIN = {BASE: ERRORS, SHORT: ERRORS, PLAIN: 0.8 * ERRORS, OTHER: 0.9 * ERRORS, CAPPED: 1.1 * ERRORS}
ROTATION = so3.random_rotations((), torch.Generator().manual_seed(0))


def _compare(errors=GAIN):
    return compare(errors, SHAPES, 100)


class TestText:
    def test_a_gain_is_told_with_its_size_and_images(self):
        texts = [sentence(answer, BASE) for answer in _compare().answers]
        assert texts[0] == (
            "Does psr k=7 σ=0.5, 100 steps (the thesis' k and σ) beat score sampling, 100 steps? Yes: over all 32 "
            "images, the mean error is 20.0 % lower (95 % interval of the gain +20.0 to +20.0 %, p = 0.010; better on "
            "32 images, worse on 0)."
        )
        assert "the best of 2 PSR settings of 100 steps beat score sampling, 100 steps? Yes: psr k=7" in texts[1]
        assert "over the 16 held out" in texts[1]
        assert "psr k=7 σ=0.5 cap, 10 steps (the thesis' k and σ) beat score sampling, 100 steps? No:" in texts[2]

    def test_chance_is_no_answer(self):
        (answer,) = _compare({BASE: ERRORS, PLAIN: ERRORS[::-1]}).answers
        assert "? Not told by these images:" in sentence(answer, BASE)

    def test_without_psr_nothing_is_answered(self):
        assert "No question is answered" in as_markdown(_compare({BASE: ERRORS}), SETTINGS)

    def test_a_line_has_the_error_and_both_comparisons(self):
        lines = as_markdown(_compare(), SETTINGS).splitlines()
        line, accuracy = (line for line in lines if line.startswith("| psr k=7 σ=0.5 cap, 10 steps |"))
        cells = line.split(" | ")
        assert cells[1].startswith("1.210 [")
        assert cells[3:] == ["-10.0 [-10.0 to -10.0]", "0.010", "0, 32", "-10.0 [-10.0 to -10.0]", "0.010 |"]
        assert accuracy.split(" | ")[6].startswith("100.00 [")  # within 5 degrees

    @pytest.mark.parametrize("text", [as_markdown, shapes_as_markdown])
    def test_every_line_has_as_many_cells_as_its_table(self, text):
        for table in text(_compare(), SETTINGS).split("\n\n"):
            lines = table.splitlines()
            if lines and lines[0].startswith("| "):
                assert len({line.count("|") for line in lines}) == 1
                assert len(lines) == 2 + len(GAIN)

    def test_every_shape_has_its_table(self):
        text = shapes_as_markdown(_compare(), SETTINGS)
        assert "## cube, 16 images" in text and "## cone, 16 images" in text


class TestFiles:
    def test_json_has_every_figure(self, tmp_path):
        paths = write_report(_compare(), SETTINGS, b"png", tmp_path / "deep")
        assert [path.name for path in paths] == ["table.json", "table.md", "shapes.md", "spheres.png", "sweep.png"]
        report = json.loads(paths[0].read_text())
        assert (report["settings"], report["images"]) == (SETTINGS, 32)
        row = next(row for row in report["rows"] if row["row"]["name"] == PLAIN.name)
        assert row["steered"]["relative"]["mean"] == pytest.approx(0.2)
        assert row["shapes"]["cone"]["error"]["mean"] == pytest.approx(0.8 * ERRORS.reshape(-1, 2)[1::2].mean())
        assert [answer["verdict"] for answer in report["answers"]] == ["yes", "yes", "no"]

    def test_the_picture_of_an_earlier_report_is_removed(self, tmp_path):
        write_whole(tmp_path / "sweep.png", b"old")
        write_report(_compare({BASE: ERRORS, PLAIN: ERRORS}), SETTINGS, b"png", tmp_path)
        assert not (tmp_path / "sweep.png").exists()


class TestPictures:
    def test_a_sweep_needs_two_k(self):
        assert sweep(_compare()).startswith(b"\x89PNG")
        assert sweep(_compare({BASE: ERRORS, PLAIN: ERRORS})) is None

    def test_spheres_show_the_baseline_and_what_is_asked_at_its_steps(self):
        assert shown_rows(_compare()) == [BASE, PLAIN]

    def test_spheres_ask_for_each_row_and_image_once(self):
        data, asked = telling("cube", "cone"), []

        def sample(row, number):
            asked.append((row, number))
            return data.rotations([number]) @ so3.exp(torch.randn(5, 3) / 100)

        assert spheres(data, [0, 2], [BASE, PLAIN], sample, 16).startswith(b"\x89PNG")
        assert asked == [(BASE, 0), (PLAIN, 0), (BASE, 2), (PLAIN, 2)]

    @pytest.mark.parametrize(("name", "count"), [("cube", 24), ("cone", 180), ("cylinder", 360)])
    def test_circles_are_all_that_looks_like_the_truth(self, name, count):
        symmetry = load_symmetry(SYMMETRIES / f"{name}.yaml")
        found = alike(ROTATION, symmetry)
        assert len(found) == count
        assert symmetry.distance(ROTATION, found).max() < 1e-3
        apart = so3.distance(found[:, None], found) + torch.eye(count)
        assert apart.min() > math.radians(1.9)

    def test_errors_are_drawn_larger_about_the_nearest_truth(self):
        symmetry = load_symmetry(SYMMETRIES / "cube.yaml")
        offset = torch.tensor([0.0, 0.02, 0.0])
        seen = exaggerated((ROTATION @ symmetry.elements[5].float() @ so3.exp(offset))[None], ROTATION, symmetry, 10)
        nearest = ROTATION @ symmetry.elements[5].float()
        torch.testing.assert_close(so3.log(nearest.mT @ seen[0]), 10 * offset, rtol=1e-3, atol=1e-5)

    def test_a_dot_stands_where_the_x_axis_goes_and_tells_the_turn_about_it(self):
        """The identity's x axis lies at a quarter turn of longitude; a turn about it changes the tilt alone."""
        turned = so3.exp(torch.tensor([[0.0, 0, 0], [0.3, 0, 0]]))
        longitude, latitude, tilt = longitude_latitude_tilt(turned)
        torch.testing.assert_close(longitude, torch.full((2,), math.pi / 2))
        torch.testing.assert_close(latitude, torch.zeros(2))
        torch.testing.assert_close(tilt, torch.tensor([0.0, 0.3]))
        up = so3.exp(torch.tensor([[0, -math.pi / 2, 0]]))
        assert longitude_latitude_tilt(up)[1].item() == pytest.approx(math.pi / 2, abs=1e-3)
