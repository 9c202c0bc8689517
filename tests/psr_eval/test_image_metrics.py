"""Figures of the image table against closed forms, with tiny networks where the real ones would be."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from psr_core.steering import Steering
from psr_eval.clip_scores import ClipScorer, diversity
from psr_eval.image_files import read_pixels
from psr_eval.image_generation import ImagePlan
from psr_eval.image_metrics import (
    NAMES,
    Figures,
    Measured,
    Weights,
    baseline,
    high_frequency,
    mean_and_standard_error,
    measure,
    pixel_distance,
)
from psr_eval.image_report import contact_sheet, k_sigma_chart, table_dict, table_markdown, write_report
from psr_eval.image_rows import Row
from tests.tiny_pipelines import tiny_clip, tiny_inception

CPU = torch.device("cpu")
DDIM = Row("DDIM", "DDIMScheduler")
SHARP = Row("DDIM + PSR", "DDIMScheduler", Steering(k=2.0))
LOW = Row("DDIM, guidance 2", "DDIMScheduler", guidance=2.0)
DDPM = Row("DDPM", "DDPMScheduler")
PROMPTS = ("a cat", "a red tram", "an island", "dusk")


class TestPixels:
    def test_a_ramp_has_no_high_frequency(self):
        rows, columns = np.mgrid[:20, :30]
        ramp = np.repeat((3 * rows + 5 * columns)[..., None], 3, axis=2).astype(np.uint8)
        assert high_frequency(ramp) == pytest.approx(0, abs=1e-20)

    def test_a_checkerboard_has_the_most(self):
        board = np.repeat(255 * (np.indices((8, 8)).sum(0) % 2)[..., None], 3, axis=2).astype(np.uint8)
        assert high_frequency(board) == pytest.approx(16)  # ±4 everywhere

    def test_a_wave_has_its_eigenvalue(self):
        wave = np.cos(2 * np.pi * np.arange(128) / 8) / 2 + 0.5
        grey = np.round(255 * np.broadcast_to(wave, (16, 128)))[..., None].repeat(3, axis=2).astype(np.uint8)
        expected = (2 - 2 * np.cos(2 * np.pi / 8)) ** 2 * np.mean((wave[1:-1] - 0.5) ** 2)
        assert high_frequency(grey) == pytest.approx(expected, rel=0.02)

    @given(st.integers(0, 255), st.integers(0, 255))
    def test_distance_of_uniform_images(self, a, b):
        pixels = [np.full((4, 5, 3), value, np.uint8) for value in (a, b)]
        assert pixel_distance(*pixels) == pytest.approx(abs(a - b) / 255)

    def test_a_file_is_read_as_rgb(self, tmp_path):
        Image.new("RGBA", (5, 4), (9, 8, 7, 0)).save(tmp_path / "a.png")
        pixels = read_pixels(tmp_path / "a.png")
        assert pixels.shape == (4, 5, 3)
        assert pixels[0, 0].tolist() == [9, 8, 7]

    def test_a_broken_file_is_named(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no image")
        with pytest.raises(OSError, match="a.png"):
            read_pixels(tmp_path / "a.png")


def test_standard_error_of_the_mean():
    assert mean_and_standard_error(np.array([1.0, 3.0])) == (2.0, pytest.approx(1.0))
    assert mean_and_standard_error(np.array([1.0])) == (1.0, None)


class TestBaseline:
    ROWS = (SHARP, DDIM, LOW, DDPM)

    def test_steered_rows_are_compared_at_their_own_guidance(self):
        assert baseline(SHARP, self.ROWS) == DDIM
        assert baseline(Row("x", "DDIMScheduler", Steering(k=2.0), guidance=2.0), self.ROWS) == LOW
        assert baseline(Row("x", "DDIMScheduler", Steering(k=2.0), guidance=3.0), self.ROWS) is None

    def test_a_sweep_is_compared_with_the_first_stock_row(self):
        assert baseline(LOW, self.ROWS) == DDIM
        assert baseline(DDIM, self.ROWS) is None

    def test_another_sampler_is_no_baseline(self):
        assert baseline(Row("x", "EulerDiscreteScheduler", Steering(k=2.0)), self.ROWS) is None


class TestWeights:
    PLAN = ImagePlan("a/model", PROMPTS, (DDIM,), images_per_prompt=2)

    def test_names_what_was_not_given(self):
        lacks = Weights().lacks(self.PLAN)
        assert list(lacks) == list(NAMES)
        assert "--inception FILE not given" in lacks["fid"] and "--reference FOLDER not given" in lacks["fid"]
        assert "--clip FOLDER not given" in lacks["clip_fd"] and "--reference FOLDER not given" in lacks["clip_fd"]
        for name in ("clip", "diversity"):
            assert "--clip FOLDER not given" in lacks[name] and "--reference" not in lacks[name]

    def test_names_what_is_not_there(self, tmp_path):
        lacks = Weights(tmp_path / "inception.pt", tmp_path / "real", tmp_path / "clip").lacks(self.PLAN)
        assert f"--inception FILE is {tmp_path}/inception.pt, and it is not there" in lacks["fid"]
        assert f"--reference FOLDER is {tmp_path}/real" in lacks["fid"]
        assert f"--clip FOLDER is {tmp_path}/clip" in lacks["clip"]

    def test_one_image_makes_no_distance_and_one_a_prompt_no_diversity(self, tmp_path):
        lacks = Weights(clip=tiny_clip(tmp_path)).lacks(ImagePlan("a/model", PROMPTS[:1], (DDIM,)))
        assert lacks["fid"] == lacks["clip_fd"] == "1 image a row, and it needs 2 or more"
        assert lacks["diversity"] == "1 image a prompt, and it needs 2 or more"
        assert "clip" not in lacks


@pytest.fixture
def images(tmp_path):
    """A plan of three rows with its images drawn by a random number generator instead of a model."""
    plan = ImagePlan("a/model", PROMPTS, (DDIM, SHARP, LOW), images_per_prompt=2, steps=2)
    rng = np.random.default_rng(0)
    for row in plan.rows:
        for path in plan.image_paths(tmp_path / "out", row):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)).save(path)
    return plan, tmp_path / "out"


class TestMeasure:
    def test_a_row_is_at_no_distance_from_its_own_images(self, images, tmp_path):
        plan, out = images
        measured = measure(plan, out, Weights(tiny_inception(tmp_path / "inception.pt"), reference=out / "ddim"))
        fids = [figures.fid for figures in measured.rows]
        assert fids[0] == pytest.approx(0, abs=1e-5)
        assert min(fids[1:]) > 10 * abs(fids[0]) + 1e-4
        assert measured.references == 8
        assert set(measured.missing) == {"clip", "clip_fd", "diversity"}

    def test_references_of_any_size_are_cut_and_resized(self, images, tmp_path):
        plan, out = images
        for index, path in enumerate(plan.image_paths(out, DDIM)):
            (tmp_path / "real").mkdir(exist_ok=True)
            wide = np.zeros((16, 30, 3), np.uint8)  # 3 black columns either side
            wide[:, 3:27] = read_pixels(path)
            Image.fromarray(wide).save(tmp_path / "real" / f"{index}.png")
        weights = Weights(tiny_inception(tmp_path / "inception.pt"), reference=tmp_path / "real")
        assert measure(plan, out, weights).rows[0].fid == pytest.approx(0, abs=1e-5)

    def test_clip_error_is_over_prompts(self, images, tmp_path):
        plan, out = images
        folder = tiny_clip(tmp_path / "clip")
        figures = measure(plan, out, Weights(clip=folder)).rows[0]
        paths = plan.image_paths(out, DDIM)
        scores = ClipScorer(folder, CPU).scores(map(read_pixels, paths), [p for p in PROMPTS for _ in range(2)])
        by_prompt = [scores[index : index + 2].mean() for index in (0, 2, 4, 6)]
        assert figures.clip == pytest.approx(np.mean(by_prompt))
        assert figures.clip_standard_error == pytest.approx(np.std(by_prompt, ddof=1) / 2)

    def test_diversity_is_within_prompts_and_its_error_over_them(self, images, tmp_path):
        plan, out = images
        for image in range(2):
            Image.new("RGB", (24, 16)).save(plan.image_path(out, DDIM, 0, image))
        folder = tiny_clip(tmp_path / "clip")
        figures = measure(plan, out, Weights(clip=folder)).rows[0]
        features = ClipScorer(folder, CPU).image_features(map(read_pixels, plan.image_paths(out, DDIM)))
        by_prompt = diversity(features.reshape(4, 2, -1))
        assert by_prompt[0] == pytest.approx(0, abs=1e-7) and by_prompt[1:].min() > 1e-5
        assert figures.diversity == pytest.approx(np.mean(by_prompt))
        assert figures.diversity_standard_error == pytest.approx(np.std(by_prompt, ddof=1) / 2)

    def test_a_row_is_at_no_distance_from_its_own_images_in_clip_features(self, images, tmp_path):
        plan, out = images
        weights = Weights(clip=tiny_clip(tmp_path / "clip"), reference=out / "ddim")
        measured = measure(plan, out, weights)
        own, other, _ = measured.rows
        assert own.clip_fd == pytest.approx(0, abs=1e-9) and own.clip_fd_standard_error > own.clip_fd
        assert other.clip_fd > 1e-5
        assert own.fid is None and measured.references == 8 and measured.features == {"clip_fd": 16}

    def test_figures_without_foreign_weights(self, images):
        plan, out = images
        Image.new("RGB", (24, 16)).save(plan.image_path(out, SHARP, 3, 1))
        stock, sharp, low = measure(plan, out, Weights()).rows
        assert (stock.stock, sharp.stock, low.stock) == (None, "DDIM", "DDIM")
        assert stock.distance_to_stock is None
        pairs = zip(plan.image_paths(out, SHARP), plan.image_paths(out, DDIM), strict=True)
        expected = np.mean([pixel_distance(read_pixels(a), read_pixels(b)) for a, b in pairs])
        assert sharp.distance_to_stock == pytest.approx(expected)
        assert sharp.high_frequency < low.high_frequency  # one of its images is black
        assert (stock.black, sharp.black, sharp.n) == (0, 1, 8)


class TestReport:
    def test_what_is_missing_is_empty_and_explained(self, images):
        plan, out = images
        measured = measure(plan, out, Weights())
        table = table_dict(plan, measured)
        assert [row["fid"] for row in table["rows"]] == [None] * 3
        assert [row["clip"] for row in table["rows"]] == [None] * 3
        markdown = table_markdown(plan, measured)
        assert markdown.splitlines()[4].startswith("| DDIM | - | - | - | 7.5 | - | ")
        assert "* FID is not measured: missing: the Inception network (--inception FILE not given" in markdown
        assert "* CLIP is not measured: missing: the CLIP model (--clip FOLDER not given" in markdown

    def test_few_images_and_black_ones_are_pointed_out(self, images, tmp_path):
        plan, out = images
        Image.new("RGB", (24, 16)).save(plan.image_path(out, SHARP, 3, 1))
        markdown = table_markdown(
            plan, measure(plan, out, Weights(tiny_inception(tmp_path / "i.pt"), reference=out / "ddim"))
        )
        assert "FID: 8 images a row against 8 real ones" in markdown
        assert "FID from no more images than its 12 features is biased upwards" in markdown
        assert "DDIM + PSR: 1 of 8 images are black" in markdown

    def test_a_distance_in_clip_features_is_not_called_fid(self, images, tmp_path):
        plan, out = images
        measured = measure(plan, out, Weights(clip=tiny_clip(tmp_path / "clip"), reference=out / "ddim"))
        markdown = table_markdown(plan, measured)
        assert "FD (CLIP): 8 images a row against 8 real ones" in markdown
        assert "that of the CLIP model's image features, not Inception's" in markdown
        assert "FD (CLIP) from no more images than its 16 features" in markdown
        assert "* FID:" not in markdown and "FID is not measured" in markdown
        row = table_dict(plan, measured)["rows"][1]
        assert f"| {row['clip_fd']:.4f} ± {row['clip_fd_standard_error']:.4f} |" in markdown
        assert f"| {row['diversity']:.3f} ± {row['diversity_standard_error']:.3f} |" in markdown

    def test_files(self, images, tmp_path):
        plan, out = images
        weights = Weights(tiny_inception(tmp_path / "i.pt"), out / "ddim", tiny_clip(tmp_path / "clip"))
        complete = measure(plan, out, weights)
        names = [path.name for path in write_report(plan, complete, out)]
        assert names == ["table.json", "table.md", "contact_sheet.png", "fid_clip.png"]
        assert json.loads((out / "table.json").read_text())["missing"] == {}
        write_report(plan, measure(plan, out, Weights()), out)
        assert not (out / "fid_clip.png").exists()  # its figures are no longer those of the table

    def test_contact_sheet_shows_the_first_image_of_each_prompt(self, images):
        plan, out = images
        shown = [axes.get_images()[0].get_array() for axes in contact_sheet(plan, out).axes]
        assert len(shown) == 12
        np.testing.assert_array_equal(shown[5], read_pixels(plan.image_path(out, SHARP, 1, 0)))

    def test_figures_over_k_have_a_line_for_each_sigma_with_the_stock_row_at_1(self):
        settings = {(2.0, 0.5): 7.0, (0.5, 0.5): 4.0, (2.0, 1.0): 9.0}
        rows = [
            Figures(Row(str(place), "DDIMScheduler", Steering(*place)), 1, 0, value, None, None)
            for place, value in settings.items()
        ]
        rows.append(Figures(DDIM, 1, 0, 5.0, None, None))
        rows.append(Figures(DDPM, 1, 0, 5.0, None, None))
        figure = k_sigma_chart(Measured(rows, None, dict.fromkeys(NAMES, "no weights")))
        (axes,) = figure.axes  # no empty panels
        found = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        assert found == {"σ = 0.5": [[0.5, 4.0], [1.0, 5.0], [2.0, 7.0]], "σ = 1": [[1.0, 5.0], [2.0, 9.0]]}

    def test_one_k_alone_makes_no_chart_over_k(self):
        rows = [Figures(row, 1, 0, 1.0, None, None) for row in (DDIM, SHARP)]
        assert k_sigma_chart(Measured(rows, None, dict.fromkeys(NAMES, ""))) is None
