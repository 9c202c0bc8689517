"""steer() inside unmodified diffusers pipelines: Stable Diffusion and Marigold, tiny ones made on the spot."""

import json

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    MarigoldDepthPipeline,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from PIL import Image

from psr_core.schedulers import steer
from psr_core.steering import Steering
from tests.tiny_pipelines import tiny_marigold, tiny_stable_diffusion

PSR = Steering(k=3, sigma=0.5)


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_stable_diffusion(tmp_path_factory.mktemp("sd")))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def marigold(tmp_path_factory):
    pipeline = MarigoldDepthPipeline.from_pretrained(tiny_marigold(tmp_path_factory.mktemp("marigold")))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _draw(pipeline, steps=3, guidance=7.5, **extra):
    generator = torch.Generator().manual_seed(0)
    answer = pipeline(
        "a cup",
        num_inference_steps=steps,
        guidance_scale=guidance,
        height=32,
        width=32,
        generator=generator,
        output_type="latent",
        **extra,
    )
    return answer.images


def _depth(pipeline):
    image = Image.fromarray(np.arange(32 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(32, 48, 3))
    return pipeline(image, num_inference_steps=3, generator=torch.Generator().manual_seed(0)).prediction


class TestStableDiffusion:
    @pytest.mark.parametrize(
        "cls",
        [
            DDIMScheduler,
            DDPMScheduler,
            EulerDiscreteScheduler,
            EulerAncestralDiscreteScheduler,
            HeunDiscreteScheduler,
            DPMSolverMultistepScheduler,
            UniPCMultistepScheduler,
            LCMScheduler,
        ],
    )
    def test_every_scheduler_runs_stock_at_k_one_and_steered_otherwise(self, stable_diffusion, cls):
        """Bit-identical at k = 1, also where the pipeline must hand its generator on to the step."""
        stock = steer(stable_diffusion, Steering())  # a copy, so that its scheduler can be swapped
        stock.scheduler = cls.from_config(stable_diffusion.scheduler.config)
        pipeline = steer(stock, Steering())
        expected = _draw(stock)
        assert torch.equal(_draw(pipeline), expected)
        pipeline.scheduler.steering = PSR
        steered = _draw(pipeline)
        assert steered.isfinite().all()
        assert not torch.equal(steered, expected)

    def test_the_pipeline_that_was_steered_is_left_alone(self, stable_diffusion):
        before, steered = _draw(stable_diffusion), steer(stable_diffusion, PSR)
        assert steered.unet is stable_diffusion.unet
        assert type(stable_diffusion.scheduler) is DDIMScheduler
        assert torch.equal(_draw(stable_diffusion), before)

    @pytest.mark.parametrize("integrator", ["gaussian", "gaussian2"])
    def test_integrators_run(self, stable_diffusion, integrator):
        latents = _draw(steer(stable_diffusion, Steering(k=2, sigma=0.5, integrator=integrator)))
        assert latents.isfinite().all()

    def test_what_is_rescaled_is_the_guided_prediction(self, stable_diffusion):
        """The step is handed u + g (c - u), and it is what it is handed that a step rescales."""
        pipeline, seen = steer(stable_diffusion, PSR), []
        scheduler_step = type(pipeline.scheduler).step

        def spy(self, model_output, timestep, sample, *rest, **named):
            seen.append((model_output, timestep, sample))
            return scheduler_step(self, model_output, timestep, sample, *rest, **named)

        spy.__wrapped__ = scheduler_step
        type(pipeline.scheduler).step = spy
        _draw(pipeline, guidance=5.0)
        model_output, timestep, sample = seen[0]
        tokens = pipeline.tokenizer(["a cup", ""], padding="max_length", max_length=77, return_tensors="pt").input_ids
        with torch.no_grad():
            text = pipeline.text_encoder(tokens)[0]
            cond, uncond = pipeline.unet(sample.expand(2, -1, -1, -1), timestep, text).sample
        torch.testing.assert_close(model_output[0], uncond + 5.0 * (cond - uncond), rtol=1e-4, atol=1e-4)

    def test_is_saved_stock_and_loads_unsteered(self, stable_diffusion, tmp_path):
        steer(stable_diffusion, PSR).save_pretrained(tmp_path)
        index = json.loads((tmp_path / "model_index.json").read_text())
        assert index["scheduler"] == ["diffusers", "DDIMScheduler"]
        loaded = StableDiffusionPipeline.from_pretrained(tmp_path)
        loaded.set_progress_bar_config(disable=True)
        assert type(loaded.scheduler) is DDIMScheduler
        assert torch.equal(_draw(loaded), _draw(stable_diffusion))

    def test_a_refused_steering_names_the_scheduler(self, stable_diffusion):
        with pytest.raises(ValueError, match="DDIMScheduler cannot take steering.method 'nns'"):
            steer(stable_diffusion, Steering(k=2, method="nns"))


class TestMarigold:
    def test_is_stock_at_k_one_and_steered_otherwise(self, marigold):
        stock = _depth(marigold)
        assert np.array_equal(_depth(steer(marigold, Steering())), stock)
        steered = _depth(steer(marigold, Steering(k=1.3, sigma=10)))
        assert np.isfinite(steered).all()
        assert not np.array_equal(steered, stock)

    def test_zero_terminal_snr_is_finite_at_every_integrator(self, marigold):
        for integrator in ("plain", "gaussian", "gaussian2"):
            pipeline = steer(marigold, Steering())
            config = {**pipeline.scheduler.config, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
            pipeline.scheduler = steer(DDIMScheduler.from_config(config), Steering(k=1.3, integrator=integrator))
            assert np.isfinite(_depth(pipeline)).all()
