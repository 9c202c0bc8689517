"""The report on made-up metrics: what it says, what it never claims, and the pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from psr_core.files import write_whole
from psr_eval.depth_comparison import compare
from psr_eval.depth_estimates import open_data
from psr_eval.depth_pictures import pictures, shown_numbers, shown_rows
from psr_eval.depth_report import as_markdown, sentence, write_report
from psr_eval.depth_rows import Row
from tests.psr_eval.depth_rooms import DDIM, DDIM10, made_up, psr, write_test_rooms

SETTINGS = {
    "data": "rooms",
    "images_there": 60,
    "num_inference_steps": 10,
    "processing_resolution": 0,
    "seed": 0,
    "dtype": "float32",
    "device": "cpu",
}
BASE = np.linspace(0.05, 0.2, 30)
THESIS, PAIR = psr(1.3), psr(1.3, ensemble=2)
GAIN = {DDIM: BASE, DDIM10: BASE - 0.02, PAIR: BASE - 0.015, THESIS: BASE - 0.01, psr(2): BASE + 0.01}
CHANCE = {DDIM: BASE, DDIM10: BASE, THESIS: BASE[::-1], PAIR: BASE[::-1]}


def _compare(values):
    return compare(made_up(values), 100)


class TestSentences:
    def test_a_gain_is_told_with_its_size_and_images(self):
        text = "\n".join(sentence(answer, _compare(GAIN)) for answer in _compare(GAIN).answers)
        assert (
            "Does PSR with k = 1.3, σ = 10 (the thesis' setting) at ensemble 1 beat DDIM at ensemble 1? Yes: over all "
            "30 images, AbsRel is 1.00 points lower (95 % interval of the gain +1.00 to +1.00, p < 0.001; better on 30 "
            "images, worse on 0)."
        ) in text
        assert (
            "the best of 2 settings at ensemble 1 beat DDIM at ensemble 1? Yes: DDIM + psr k=1.3 σ=10, chosen" in text
        )
        assert "over the 15 held out" in text

    def test_an_ensemble_that_is_not_reached_is_put_beside_what_it_brings(self):
        (answer,) = (answer for answer in _compare(GAIN).answers if answer.reference == DDIM10)
        text = sentence(answer, _compare(GAIN))
        assert "at ensemble 2 reach DDIM at ensemble 10? No: over all 30 images, AbsRel is 0.50 points higher" in text
        assert text.endswith("What that ensemble itself brings over DDIM: +2.00 [+2.00 to +2.00].")

    def test_chance_is_no_answer(self):
        for answer in _compare(CHANCE).answers:
            assert "? Not told by these images:" in sentence(answer, _compare(CHANCE))


class TestMarkdown:
    def test_a_line_has_the_thesis_columns_with_intervals(self):
        lines = as_markdown(_compare(GAIN), SETTINGS).splitlines()
        (line,) = (line for line in lines if line.startswith("| DDIM + psr k=1.3 σ=10, ensemble 2 |"))
        cells = line.split(" | ")
        assert cells[1] == "20"  # network calls
        assert cells[2].startswith("11.00 [")
        assert cells[3].startswith("89.00 [")
        assert cells[5:] == ["+1.50 [+1.50 to +1.50]", "< 0.001", "30, 0", "+1.50 [+1.50 to +1.50] |"]

    def test_the_table_is_rectangular_and_warnings_stand_below(self):
        text = as_markdown(_compare(GAIN), SETTINGS, ["psr k=2: too few steps"])
        assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
        assert "\n* psr k=2: too few steps\n" in text

    def test_without_psr_nothing_is_answered(self):
        text = as_markdown(_compare({DDIM: BASE, Row("ddpm"): BASE}), SETTINGS)
        assert "No question is answered: there is no PSR row" in text


class TestFiles:
    def test_json_has_every_figure(self, tmp_path):
        paths = write_report(_compare(GAIN), SETTINGS, b"png", tmp_path / "deep", ["take care"])
        assert [path.name for path in paths] == ["table.json", "table.md", "pictures.png", "heatmap.png"]
        report = json.loads(paths[0].read_text())
        assert (report["settings"], report["warnings"], report["images"]) == (SETTINGS, ["take care"], 30)
        by_name = {row["row"]["name"]: row for row in report["rows"]}
        assert by_name["DDIM + psr k=1.3 σ=10"]["difference"]["mean"] == pytest.approx(0.01)
        assert by_name["DDIM + psr k=1.3 σ=10"]["row"]["steering"]["sigma"] == 10.0
        assert by_name["DDIM"]["difference"] is None
        assert [answer["verdict"] for answer in report["answers"]] == ["yes", "yes", "no"]
        assert paths[3].read_bytes().startswith(b"\x89PNG")

    def test_a_heat_map_of_an_earlier_report_is_removed(self, tmp_path):
        write_whole(tmp_path / "heatmap.png", b"old")
        write_report(_compare(CHANCE), SETTINGS, b"png", tmp_path)
        assert not (tmp_path / "heatmap.png").exists()


class TestPictures:
    def test_show_the_baseline_the_chosen_psr_and_the_largest_ensemble(self):
        assert shown_rows(_compare(GAIN)) == [DDIM, THESIS, DDIM10]
        assert shown_rows(_compare({DDIM: BASE, psr(3): BASE})) == [DDIM, psr(3)]

    def test_of_images_evenly_spread(self):
        assert shown_numbers(range(0, 80, 2)) == [10, 30, 50, 70]
        assert shown_numbers([4, 7]) == [4, 7]

    def test_ask_for_each_row_and_image_once_and_take_what_is_invalid(self, tmp_path):
        data, asked = open_data(write_test_rooms(tmp_path / "rooms")), []

        def estimate(row, number, rgb):
            asked.append((row, number))
            return rgb[:, :, 0].astype(np.float32) / 255

        picture = pictures(data, [0, 2], [DDIM, THESIS], estimate)
        assert picture.startswith(b"\x89PNG")
        assert asked == [(DDIM, 0), (THESIS, 0), (DDIM, 2), (THESIS, 2)]
