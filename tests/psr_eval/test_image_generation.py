"""Images for the table: what is read, what is refused, that rows share their noise, and that a run resumes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_eval.image_files import read_pixels
from psr_eval.image_generation import ImagePlan, generate, load_pipeline, row_scheduler
from psr_eval.image_rows import Row, guidance_sweep, read_prompts, read_rows
from tests.tiny_pipelines import tiny_stable_diffusion

TABLE = Path(__file__).resolve().parents[2] / "config" / "reproduce" / "image.yaml"
DDIM = Row("DDIM", "DDIMScheduler")
SHARP = Row("DDIM + PSR", "DDIMScheduler", Steering(k=2.0, sigma=1.0))
DDPM = Row("DDPM", "DDPMScheduler")
PROMPTS = ("a cat", "a red tram", "an island")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("model"))


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def plan_of(model: Path, rows=(DDIM,), **settings) -> ImagePlan:
    return ImagePlan(str(model), PROMPTS, rows, **{"steps": 2, "batch_size": 2, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestRows:
    def test_default_rows_are_those_of_table_1_3(self):
        rows = read_rows(TABLE)
        assert [(row.scheduler.removesuffix("Scheduler"), row.steering.method, row.steering.k) for row in rows] == [
            ("DDIM", "none", 1.0),
            ("DDIM", "psr", 0.95),
            ("DDPM", "none", 1.0),
            ("DDPM", "nns", 0.96),
            ("DDPM", "nes", 1.01),
            ("DDPM", "psr", 0.9),
            ("EulerDiscrete", "none", 1.0),
            ("EulerDiscrete", "psr", 0.95),
        ]
        assert {row.steering.sigma for row in rows} == {1.0}
        assert {row.guidance for row in rows} == {7.5}
        assert len({row.slug for row in rows}) == 8

    def test_rows_of_figure_a_12_are_a_grid(self):
        rows = read_rows(TABLE.with_name("image_k_sigma.yaml"))
        steered = {(row.scheduler, row.steering.k, row.steering.sigma) for row in rows if not row.is_stock}
        samplers, ks, sigmas = (sorted(set(column)) for column in zip(*steered, strict=True))
        assert len(rows) - 2 == len(steered) == len(samplers) * len(ks) * len(sigmas)
        assert samplers == sorted({row.scheduler for row in rows if row.is_stock}) == ["DDIMScheduler", "DDPMScheduler"]

    @pytest.mark.parametrize(
        ("entry", "complaint"),
        [
            ("{name: a, scheduler: DDIMScheduler, cfg: 3}", "row 1 a: unknown field cfg"),
            ("{name: a, scheduler: DDIM}", "row 1 a: scheduler 'DDIM' is no scheduler class"),
            ("{name: a, scheduler: StableDiffusionPipeline}", "is no scheduler class"),
            ("{name: a, scheduler: DDIMScheduler, steering: {method: psd}}", "row 1 a: steering.method is 'psd'"),
            ("{name: a, scheduler: DDIMScheduler, steering: {kappa: 2}}", "row 1 a: steering has no field kappa"),
            ("{name: a, scheduler: DDIMScheduler, steering: 2}", "row 1 a: steering is 2, expected fields"),
            ("{name: a, scheduler: DDIMScheduler, guidance: high}", "row 1 a: guidance is 'high'"),
            ("{name: '?', scheduler: DDIMScheduler}", "name is '\\?', expected at least one letter"),
            ("{scheduler: DDIMScheduler}", "expected name and scheduler"),
        ],
    )
    def test_what_is_wrong_with_a_row_is_named(self, tmp_path, entry, complaint):
        path = tmp_path / "rows.yaml"
        path.write_text(f"rows:\n  - {entry}\n")
        with pytest.raises(ValueError, match=complaint) as error:
            read_rows(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize("text", ["", "[]", "rows: []", "rows: [{}]\nmore: 1", "rows: {a: 1}", "a: [", "rows: 1"])
    def test_other_documents_are_refused_naming_the_file(self, tmp_path, text):
        path = tmp_path / "rows.yaml"
        path.write_text(text)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_rows(path)

    def test_a_row_may_bring_its_own_guidance(self, tmp_path):
        path = tmp_path / "rows.yaml"
        path.write_text("rows: [{name: a, scheduler: DDIMScheduler, guidance: 3}, {name: b, scheduler: DDIMScheduler}]")
        assert [row.guidance for row in read_rows(path, guidance=5.0)] == [3.0, 5.0]

    def test_sweep_adds_stock_ddim_rows_once(self):
        fresh = guidance_sweep([DDIM, SHARP, DDPM], [10, 2.5, 7.5, 2.5])
        assert [(row.name, row.guidance) for row in fresh] == [("DDIM, guidance 2.5", 2.5), ("DDIM, guidance 10", 10)]
        assert all(row.is_stock and row.scheduler == "DDIMScheduler" for row in fresh)

    @pytest.mark.parametrize("names", [("DDIM", "DDIM"), ("DDIM (1)", "ddim 1")])
    def test_rows_that_would_share_a_folder_are_refused(self, model, names):
        with pytest.raises(ValueError, match="names must differ"):
            plan_of(model, [Row(name, "DDIMScheduler") for name in names])


class TestPrompts:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("p.txt", "# two\n\n a cat \n\na dog\n"),
            ("p.json", '["a cat", " a dog"]'),
            ("p.jsonl", '{"prompt": "a cat", "id": 1}\n\n{"caption": "a dog"}\n'),
        ],
    )
    def test_formats(self, tmp_path, name, text):
        (tmp_path / name).write_text(text)
        assert read_prompts(tmp_path / name) == ["a cat", "a dog"]

    @pytest.mark.parametrize(
        ("name", "text", "complaint"),
        [
            ("p.txt", "# nothing\n", "holds no prompt"),
            ("p.json", '{"prompt": "a"}', "is a dict, expected a list"),
            ("p.json", '["a", 3]', "entry 2 is 3"),
            ("p.json", "[", "Expecting value"),
            ("p.jsonl", '{"prompt": "a"}\n{"text": "b"}', "line 2: expected an object with a text"),
            ("p.jsonl", '{"prompt": "a"}\n\n{', "line 3: "),
            ("p.csv", "a", "ending '.csv', expected one of: .txt, .json, .jsonl"),
        ],
    )
    def test_complaints_name_file_and_place(self, tmp_path, name, text, complaint):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=complaint) as error:
            read_prompts(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="none.txt do not exist"):
            read_prompts(tmp_path / "none.txt")


class TestLoading:
    def test_a_missing_folder_is_named(self):
        with pytest.raises(FileNotFoundError, match="model folder ./nowhere does not exist"):
            load_pipeline("./nowhere", torch.float32)

    def test_a_hub_id_that_cannot_be_had_says_what_to_do(self, offline):
        with pytest.raises(OSError, match="nobody/nothing cannot be loaded.*hf download nobody/nothing --local-dir"):
            load_pipeline("nobody/nothing", torch.float32)

    def test_a_folder_that_is_no_pipeline(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="holds no model_index.json"):
            load_pipeline(str(tmp_path), torch.float32)

    def test_a_single_file_says_how_to_convert(self, tmp_path):
        (tmp_path / "model.ckpt").touch()
        with pytest.raises(ValueError, match="is a file.*from_single_file"):
            load_pipeline(str(tmp_path / "model.ckpt"), torch.float32)

    def test_pickled_weights_are_never_opened(self, model, tmp_path):
        folder = shutil.copytree(model, tmp_path / "pickled")
        (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "weights.bin")
        with pytest.raises(ValueError, match=r"unet holds .bin weights only.*use_safetensors=False"):
            load_pipeline(str(folder), torch.float32)

    def test_a_component_without_weights_is_an_error_of_one_kind(self, model, tmp_path):
        folder = shutil.copytree(model, tmp_path / "cut")
        (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
        with pytest.raises(OSError, match=f"model {folder} cannot be loaded"):
            load_pipeline(str(folder), torch.float32)


class TestRowScheduler:
    def test_keeps_the_models_noise_schedule(self, model):
        own = load_pipeline(str(model), torch.float32).scheduler
        for name in ("DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler", "LCMScheduler"):
            scheduler = row_scheduler(own, Row("a", name))
            assert type(scheduler) is getattr(diffusers, name)
            torch.testing.assert_close(scheduler.alphas_cumprod, own.alphas_cumprod, rtol=0, atol=0)

    @pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"])
    def test_keeps_what_the_model_predicts_and_is_steered(self, name):
        own = diffusers.PNDMScheduler(prediction_type="v_prediction")
        scheduler = row_scheduler(own, Row("a", name, Steering(k=0.9)))
        assert scheduler.config.prediction_type == "v_prediction"
        assert scheduler.steering == Steering(k=0.9)

    @pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler"])
    def test_latents_are_not_clipped_where_the_model_does_not_say_so(self, name):
        own = diffusers.PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True)
        assert "clip_sample" not in own.config
        assert row_scheduler(own, Row("a", name)).config.clip_sample is False

    def test_a_steering_that_a_scheduler_cannot_take_names_the_row(self):
        row = Row("my row", "DDIMScheduler", Steering(method="nns", k=0.9))
        with pytest.raises(ValueError, match="row my row: .*nns"):
            row_scheduler(diffusers.DDIMScheduler(), row)

    def test_a_scheduler_that_cannot_be_steered_names_the_row(self):
        row = Row("my row", "PNDMScheduler", Steering(k=0.9))
        with pytest.raises(ValueError, match="row my row: cannot steer PNDMScheduler"):
            row_scheduler(diffusers.DDIMScheduler(), row)

    def test_a_scheduler_of_another_family_is_refused(self):
        with pytest.raises(ValueError, match="FlowMatchEulerDiscreteScheduler does not fit this model"):
            row_scheduler(diffusers.DDIMScheduler(), Row("a", "FlowMatchEulerDiscreteScheduler"))


class TestGenerate:
    def test_an_image_is_what_the_pipeline_draws_from_its_addressed_noise(self, model, tmp_path):
        row = Row("mild", "DDIMScheduler", guidance=3.0)
        plan = plan_of(model, [row], seed=5, images_per_prompt=2)
        generate(plan, tmp_path / "out")
        pipeline = load_pipeline(str(model), torch.float32)  # its own scheduler is DDIM
        for prompt in range(3):
            noises = [noise_generator(5, prompt, image) for image in range(2)]
            texts = [PROMPTS[prompt]] * 2
            expected = pipeline(texts, num_inference_steps=2, guidance_scale=3.0, generator=noises).images
            for image in range(2):
                found = read_pixels(plan.image_path(tmp_path / "out", row, prompt, image))
                np.testing.assert_array_equal(found, np.asarray(expected[image]))

    def test_k_1_is_the_stock_row_and_other_k_is_not(self, model, tmp_path):
        same = Row("k 1", "DDIMScheduler", Steering(k=1.0))
        plan = plan_of(model, [DDIM, same, SHARP])
        generate(plan, tmp_path / "out")
        stock, first, sharp = ([p.read_bytes() for p in plan.image_paths(tmp_path / "out", row)] for row in plan.rows)
        assert stock == first
        assert all(a != b for a, b in zip(stock, sharp, strict=True))
        assert len(set(stock)) == 3

    def test_stochastic_samplers_share_the_noise_of_every_step(self, model, tmp_path):
        nearly = Row("nearly", "DDPMScheduler", Steering(method="nes", k=1.0 + 1e-6))
        plan = plan_of(model, [DDPM, nearly])
        generate(plan, tmp_path / "out")
        for pair in zip(*(plan.image_paths(tmp_path / "out", row) for row in plan.rows), strict=True):
            a, b = (read_pixels(path).astype(int) for path in pair)
            assert np.abs(a - b).max() <= 1  # of 255

    def test_size_is_as_asked(self, model, tmp_path):
        plan = plan_of(model, height=16, width=24)
        generate(plan, tmp_path / "out")
        assert read_pixels(plan.image_path(tmp_path / "out", DDIM, 0, 0)).shape == (16, 24, 3)

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"steps": 0}, "steps is 0"),
            ({"images_per_prompt": 0}, "images_per_prompt is 0"),
            ({"batch_size": -1}, "batch_size is -1"),
            ({"height": 32}, "height is 32 and width is None; give both or neither"),
            ({"seed": -1}, "seed is -1"),
            ({"dtype": "float8"}, "dtype is 'float8'"),
        ],
    )
    def test_settings_out_of_range_are_named(self, model, settings, complaint):
        with pytest.raises(ValueError, match=complaint):
            plan_of(model, **settings)

    def test_every_refusal_comes_before_the_first_image(self, model, tmp_path):
        rows = [DDIM, Row("last", "DDIMScheduler", Steering(method="nns", k=0.9))]
        with pytest.raises(ValueError, match="row last"):
            generate(plan_of(model, rows), tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestResume:
    def test_an_interrupted_run_goes_on_and_ends_the_same(self, model, tmp_path):
        plan = plan_of(model, [DDIM, DDPM, SHARP])
        assert generate(plan, tmp_path / "whole") == 9

        def interrupt(made: int, to_make: int, row: str) -> None:
            if made >= 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            generate(plan, tmp_path / "cut", interrupt)
        (tmp_path / "cut" / "ddpm" / ".00001_00.png.123.tmp").write_bytes(b"half an image")  # as a kill leaves it
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").rglob("*.png")}
        assert len(kept) == 5  # a row of 3 in batches of 2, then a batch of the next row

        calls = []
        assert generate(plan, tmp_path / "cut", lambda *call: calls.append(call)) == 4
        assert calls == [(0, 4, ""), (1, 4, "DDPM"), (3, 4, "DDIM + PSR"), (4, 4, "DDIM + PSR")]
        assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
        assert all(path.stat().st_mtime_ns == time for path, time in kept.items())

    def test_one_image_of_a_batch_is_made_again_the_same(self, model, tmp_path):
        plan = plan_of(model)
        generate(plan, tmp_path)
        before = contents(tmp_path)
        plan.image_path(tmp_path, DDIM, 1, 0).unlink()
        assert generate(plan, tmp_path) == 1
        assert contents(tmp_path) == before

    def test_further_rows_join(self, model, tmp_path):
        generate(plan_of(model, [DDIM]), tmp_path)
        assert generate(plan_of(model, [DDIM, SHARP]), tmp_path) == 3
        assert generate(plan_of(model, [SHARP]), tmp_path) == 0
        assert set(json.loads((tmp_path / "run.json").read_text())["rows"]) == {"ddim", "ddim-psr"}

    @pytest.mark.parametrize(
        ("settings", "difference"),
        [
            ({"steps": 3}, "steps 2 there, 3 now"),
            ({"seed": 1}, "seed 0 there, 1 now"),
            ({"height": 16, "width": 16}, "height None there, 16 now"),
            ({"rows": [Row("DDIM", "DDIMScheduler", guidance=3.0)]}, "row ddim: guidance 7.5 there, 3.0 now"),
            ({"rows": [Row("DDIM", "DDIMScheduler", Steering(k=3.0))]}, "row ddim: steering .*'k': 3.0"),
            ({"dtype": "bfloat16"}, "weights_sha256 .*dtype float32 there, bfloat16 now"),
        ],
    )
    def test_other_settings_are_refused_by_name(self, model, tmp_path, settings, difference):
        generate(plan_of(model), tmp_path)
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=f"made with other settings: .*{difference}"):
            generate(plan_of(model, **settings), tmp_path)
        assert contents(tmp_path) == before

    def test_a_run_without_images_binds_nobody(self, model, tmp_path):
        with pytest.raises(ValueError, match="divisible by 8"):
            generate(plan_of(model, [DDIM, DDPM], height=30, width=30), tmp_path)
        assert generate(plan_of(model, [DDIM], height=32, width=32), tmp_path) == 3

    def test_other_prompts_are_refused(self, model, tmp_path):
        generate(plan_of(model), tmp_path)
        with pytest.raises(ValueError, match="prompts_sha256"):
            generate(ImagePlan(str(model), ("x", "y", "z"), [DDIM], steps=2, batch_size=2), tmp_path)

    def test_a_retrained_model_is_refused_and_a_moved_one_is_not(self, model, tmp_path):
        generate(plan_of(model), tmp_path / "out")
        moved = shutil.copytree(model, tmp_path / "moved")
        assert generate(plan_of(moved), tmp_path / "out") == 0
        pipeline = load_pipeline(str(moved), torch.float32)
        pipeline.unet.conv_in.bias.data += 1e-6
        pipeline.save_pretrained(moved)
        with pytest.raises(ValueError, match="weights_sha256"):
            generate(plan_of(moved), tmp_path / "out")

    def test_a_folder_of_something_else_is_left_alone(self, model, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(ValueError, match=r"is not empty and holds no run\.json"):
            generate(plan_of(model), tmp_path)
        (tmp_path / "run.json").write_text("{}")
        with pytest.raises(ValueError, match="is not the manifest of this command"):
            generate(plan_of(model), tmp_path)
