"""Depth settings on a tiny random Marigold: rows share their noise, the order does not matter, and runs go on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, LCMScheduler

from psr_core.steering import Steering
from psr_eval.depth_estimates import DepthData, DepthRun, evenly_spread, measure, open_data, with_sampler
from psr_eval.depth_rows import Row
from psr_perception.depth.datasets import DepthDataset, Sample
from psr_perception.depth.estimator import DepthSettings
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.metrics import evaluate_depth
from tests.psr_eval.depth_rooms import DDIM, DDIM2, psr, write_test_rooms
from tests.tiny_pipelines import tiny_marigold

SETTINGS = DepthSettings(num_inference_steps=2, processing_resolution=0)
DDPM = Row("ddpm")
ROWS = (DDIM, DDIM2, psr(2), DDPM)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return load_depth_pipeline(tiny_marigold(tmp_path_factory.mktemp("weights") / "tiny"))


@pytest.fixture(scope="module")
def run(pipeline):
    return DepthRun(pipeline, ROWS, SETTINGS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(write_test_rooms(tmp_path_factory.mktemp("data") / "rooms"))


class TestData:
    def test_is_the_test_split(self, data):
        assert (data.name, len(data.dataset)) == ("rooms", 4)
        assert data.processing_resolution is data.alignment_max_res is None

    def test_other_files_are_other_data(self, data, tmp_path):
        same, other = write_test_rooms(tmp_path / "same"), write_test_rooms(tmp_path / "other")
        image = other / data.dataset.names[0]
        image.write_bytes(image.read_bytes() + b" ")
        assert open_data(same).sha256 == data.sha256 != open_data(other).sha256

    def test_a_benchmark_brings_its_facts(self, tmp_path):
        for name in ("a.jpg", "b.bin"):
            (tmp_path / name).touch()
        (tmp_path / "list.txt").write_text("a.jpg b.bin\n")
        found = open_data(tmp_path, "eth3d", tmp_path / "list.txt")
        assert (found.name, found.processing_resolution, found.alignment_max_res) == ("eth3d", 756, 1024)

    def test_benchmark_and_list_belong_together(self, tmp_path):
        with pytest.raises(ValueError, match="--benchmark nyuv2 needs --list"):
            open_data(tmp_path, "nyuv2")
        with pytest.raises(ValueError, match="--list is list.txt, but .* give --benchmark"):
            open_data(tmp_path, None, "list.txt")

    @pytest.mark.parametrize(("wanted", "numbers"), [(None, list(range(10))), (2, [0, 5]), (4, [0, 2, 5, 7])])
    def test_images_are_evenly_spread(self, wanted, numbers):
        assert evenly_spread(10, wanted) == numbers

    @pytest.mark.parametrize(
        ("available", "wanted", "told"),
        [(1, None, "has 1 test image"), (10, 1, "--images is 1, expected 2"), (10, 11, "is 11, expected 2 .* to 10")],
    )
    def test_numbers_that_cannot_be_are_refused(self, available, wanted, told):
        with pytest.raises(ValueError, match=told):
            evenly_spread(available, wanted)


class TestSamplers:
    def test_ddpm_has_the_checkpoints_schedule_and_the_pipeline_keeps_its_own(self, pipeline):
        made = with_sampler(pipeline, "ddpm")
        assert isinstance(made.scheduler, DDPMScheduler)
        assert torch.equal(made.scheduler.alphas_cumprod, pipeline.scheduler.alphas_cumprod)
        assert made.scheduler.config.prediction_type == "v_prediction"
        assert made.scheduler.config.clip_sample is False
        assert made.unet is pipeline.unet
        assert not isinstance(pipeline.scheduler, DDPMScheduler)

    def test_a_distilled_checkpoint_is_refused(self, pipeline):
        distilled = with_sampler(pipeline, "ddim")
        distilled.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
        with pytest.raises(ValueError, match="sampler is LCMScheduler: .* use one with DDIMScheduler"):
            DepthRun(distilled, ROWS, SETTINGS)


class TestNoise:
    def test_follows_from_the_address_whatever_ran_before(self, run, data):
        rgb = data.dataset[0].rgb
        for row in (DDIM, DDPM):
            first = run.estimate(row, 3, rgb)
            torch.rand(3)
            run.estimate(DDPM, 1, rgb)
            assert np.array_equal(run.estimate(row, 3, rgb), first)
            assert not np.array_equal(run.estimate(row, 2, rgb), first)

    def test_rows_share_it(self, run, data):
        rgb = data.dataset[0].rgb
        assert np.array_equal(run.estimate(Row("ddim", 1, Steering(k=1)), 0, rgb), run.estimate(DDIM, 0, rgb))
        less = Row("ddpm", 1, Steering(k=1 + 1e-5, method="nns"))
        close = np.abs(run.estimate(less, 0, rgb) - run.estimate(DDPM, 0, rgb)).max()
        far = np.abs(run.estimate(DDPM, 1, rgb) - run.estimate(DDPM, 0, rgb)).max()
        assert close < 1e-3 < far

    def test_the_global_generator_is_left_alone(self, run, data):
        before = torch.random.get_rng_state()
        run.estimate(DDPM, 0, data.dataset[0].rgb)
        assert torch.equal(torch.random.get_rng_state(), before)


class TestMeasuring:
    def test_figures_are_those_of_the_estimate(self, run, data, tmp_path):
        found = measure(run, [DDIM, psr(2)], data, [1, 3], tmp_path / "images.jsonl")
        sample = data.dataset[3]
        relative = run.estimate(psr(2), 3, sample.rgb)
        expected = evaluate_depth(relative, sample.depth, sample.valid, data.dataset.min_depth, data.dataset.max_depth)
        assert found[psr(2)][1] == expected
        assert [len(metrics) for metrics in found.values()] == [2, 2]

    def test_goes_on_image_by_image_with_the_same_figures(self, run, data, tmp_path):
        rows, path = [DDIM, psr(2)], tmp_path / "images.jsonl"

        def stop(done, total, name):
            if done == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            measure(run, rows, data, [0, 1, 2], path, stop)
        entries = [json.loads(line)["settings"] for line in path.read_text().splitlines()]
        assert [entry["image"] for entry in entries] == [0, 0, 1]
        reports = []
        resumed = measure(run, rows, data, [0, 1, 2], path, lambda *report: reports.append(report))
        assert reports[0][:2] == (0, 3)
        assert resumed == measure(run, rows, data, [0, 1, 2], tmp_path / "other.jsonl")

    def test_other_settings_and_data_are_measured_anew(self, pipeline, run, data, tmp_path):
        path = tmp_path / "images.jsonl"
        first = measure(run, [DDIM], data, [0, 1], path)
        other = DepthRun(pipeline, [DDIM], DepthSettings(num_inference_steps=2, processing_resolution=0, seed=5))
        assert measure(other, [DDIM], data, [0, 1], path) != first
        elsewhere = DepthData("x", data.dataset, "another")
        reports = []
        measure(run, [DDIM], elsewhere, [0, 1], path, lambda *report: reports.append(report))
        assert reports[-1][:2] == (2, 2)
        measure(run, [DDIM], data, [0, 1], path, lambda *report: pytest.fail("was there already"))

    def test_what_cannot_be_measured_is_named(self, run, data, tmp_path):
        def load(number):
            return Sample("dark.png", data.dataset[0].rgb, data.dataset[0].depth, np.zeros((16, 24), bool))

        dark = DepthData("dark", DepthDataset(0.1, 20.0, ("dark.png",), load), "")
        with pytest.raises(ValueError, match="DDIM on image 0, dark.png: none of the 384 pixels is valid"):
            measure(run, [DDIM], dark, [0], tmp_path / "images.jsonl")

    def test_steps_that_there_are_not_are_refused_with_the_row(self, pipeline, data, tmp_path):
        much = DepthRun(pipeline, [DDIM], DepthSettings(num_inference_steps=1001, processing_resolution=0))
        with pytest.raises(ValueError, match="DDIM on image 0, rgb/000000.png: num_inference_steps is 1001"):
            measure(much, [DDIM], data, [0, 1], tmp_path / "images.jsonl")
