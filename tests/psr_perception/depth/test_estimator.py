"""The depth estimator: the stock pipeline at k = 1, addressed noise, warm starts, and refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from psr_core.schedulers import steer
from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_perception.depth.estimator import ENSEMBLING, INJECTED, DepthEstimator
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.settings import DepthSettings
from tests.tiny_pipelines import SCHEDULE, tiny_marigold

STOCK = Steering()
SHARP = Steering(k=1.3, sigma=10)  # the setting for depth that has been published
QUICK = DepthSettings(num_inference_steps=3, processing_resolution=0)
LEADING = DDIMScheduler(**SCHEDULE, prediction_type="v_prediction")
TRAILING = DDIMScheduler.from_config(LEADING.config, timestep_spacing="trailing")
ZERO_SNR = DDIMScheduler.from_config(TRAILING.config, rescale_betas_zero_snr=True)
LCM = LCMScheduler.from_config(LEADING.config)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return load_depth_pipeline(tiny_marigold(tmp_path_factory.mktemp("marigold")))


@pytest.fixture
def estimator(pipeline):
    return DepthEstimator(pipeline)


def picture(height=33, width=47, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def with_scheduler(pipeline, scheduler):
    other = copy.copy(pipeline)
    other._internal_dict = copy.copy(pipeline._internal_dict)
    other.scheduler = scheduler
    return other


def stock_output(pipeline, scheduler, image, plan, latents):
    """What diffusers itself makes of the image from these latents."""
    stock = with_scheduler(pipeline, scheduler)
    stock.set_progress_bar_config(disable=True)
    return stock(
        Image.fromarray(image),
        num_inference_steps=plan.num_inference_steps,
        ensemble_size=plan.ensemble_size,
        processing_resolution=plan.processing_resolution,
        match_input_resolution=plan.match_input_resolution,
        ensembling_kwargs=ENSEMBLING,
        latents=latents,
        output_uncertainty=plan.uncertainty,
        output_latent=True,
    )


def assert_same(estimate, output):
    assert np.array_equal(estimate.relative, output.prediction[0, :, :, 0])
    assert torch.equal(estimate.latents, output.latent)
    if output.uncertainty is None:
        assert estimate.uncertainty is None
    else:
        assert np.array_equal(estimate.uncertainty, output.uncertainty[0, :, :, 0])


class TestStockPipeline:
    @pytest.mark.parametrize(
        ("size", "steps", "members"), [((32, 48), 1, 1), ((33, 47), 5, 1), ((17, 90), 2, 1), ((33, 47), 2, 3)]
    )
    def test_is_met_bit_for_bit_at_k_one(self, pipeline, estimator, size, steps, members):
        plan = DepthSettings(steps, members, processing_resolution=0, uncertainty=members > 1)
        image = picture(*size)
        estimate = estimator.estimate(image, plan, STOCK, 0)
        assert_same(estimate, stock_output(pipeline, LEADING, image, plan, estimate.initial_latents))

    @pytest.mark.parametrize("resolution", [24, 96])
    def test_is_met_at_other_resolutions(self, pipeline, estimator, resolution):
        plan = DepthSettings(2, processing_resolution=resolution)
        estimate = estimator.estimate(picture(), plan, STOCK, 0)
        assert_same(estimate, stock_output(pipeline, LEADING, picture(), plan, estimate.initial_latents))
        assert estimate.relative.shape == (33, 47)

    def test_maps_may_stay_as_small_as_what_was_processed(self, pipeline, estimator):
        plan = DepthSettings(2, 3, processing_resolution=24, uncertainty=True, match_input_resolution=False)
        estimate = estimator.estimate(picture(), plan, STOCK, 0)
        assert_same(estimate, stock_output(pipeline, LEADING, picture(), plan, estimate.initial_latents))
        assert estimate.relative.shape == estimate.uncertainty.shape == (16, 24)

    @pytest.mark.parametrize("scheduler", [TRAILING, ZERO_SNR, LCM], ids=["trailing", "zero SNR", "LCM"])
    def test_is_met_with_the_schedulers_of_other_checkpoints(self, pipeline, scheduler):
        plan = DepthSettings(4, 3, processing_resolution=0, uncertainty=True)
        estimator = DepthEstimator(with_scheduler(pipeline, scheduler))
        estimate = estimator.estimate(picture(), plan, STOCK, 5)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(noise_generator(plan.seed, 5, INJECTED).initial_seed())
            expected = stock_output(pipeline, scheduler, picture(), plan, estimate.initial_latents)
        assert_same(estimate, expected)

    def test_a_pair_is_averaged(self, pipeline, estimator):
        """Of two, diffusers would take the smaller one, and report no uncertainty at all."""
        plan = DepthSettings(2, 2, processing_resolution=0, uncertainty=True)
        estimate = estimator.estimate(picture(), plan, STOCK, 0)
        lower = stock_output(pipeline, LEADING, picture(), plan, estimate.initial_latents)
        assert torch.equal(estimate.latents, lower.latent)
        assert estimate.uncertainty.max() > 0 == lower.uncertainty.max()

    def test_pipeline_is_left_alone_and_its_networks_are_shared(self, pipeline, estimator):
        estimator.estimate(picture(), QUICK, SHARP, 0)
        assert pipeline.scheduler.steering == STOCK
        assert estimator._pipeline.unet is pipeline.unet
        assert estimator._pipeline.vae is pipeline.vae

    def test_maps_are_float32_in_the_unit_range(self, estimator):
        estimate = estimator.estimate(picture(), DepthSettings(2, 3, 0, uncertainty=True), SHARP, 0)
        for found in (estimate.relative, estimate.uncertainty):
            assert found.dtype == np.float32
            assert found.shape == (33, 47)
            assert found.min() >= 0
        assert estimate.relative.max() <= 1
        assert estimate.uncertainty.max() > 0

    def test_default_settings_are_the_checkpoints(self, estimator):
        assert estimator.default_settings == DepthSettings(num_inference_steps=4, processing_resolution=0)

    def test_members_in_one_batch_agree_but_for_the_last_bits(self, pipeline, estimator):
        plan = DepthSettings(2, 3, 0, uncertainty=True)
        one_by_one = estimator.estimate(picture(), plan, SHARP, 0)
        together = DepthEstimator(pipeline, batch_size=3).estimate(picture(), plan, SHARP, 0)
        torch.testing.assert_close(together.latents, one_by_one.latents, rtol=1e-4, atol=1e-4)


class TestSteering:
    def test_is_what_steer_does_to_the_pipeline(self, pipeline, estimator):
        estimate = estimator.estimate(picture(), QUICK, SHARP, 0)
        assert_same(estimate, stock_output(pipeline, steer(LEADING, SHARP), picture(), QUICK, estimate.initial_latents))

    def test_is_turned_at_every_frame(self, estimator):
        first, sharp, again = (estimator.estimate(picture(), QUICK, dial, 0).relative for dial in (STOCK, SHARP, STOCK))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, sharp)

    @pytest.mark.parametrize("k", [0.25, 1.0, 4.0])
    def test_latents_of_gaussian_data_get_the_variance_that_k_says(self, pipeline, monkeypatch, k):
        """A network that knows N(0.3, 0.5²): steered, in closed form, its latents are N(0.3, 0.5²/k)."""
        mean, spread, table = 0.3, 0.5, LEADING.alphas_cumprod

        def gaussian_v(latents, timestep, **_):
            x, alpha, sigma_t = latents[:, 4:], table[timestep].sqrt(), (1 - table[timestep]).sqrt()
            eps = sigma_t * (x - alpha * mean) / (alpha**2 * spread**2 + sigma_t**2)
            return (alpha * eps - sigma_t * (x - sigma_t * eps) / alpha,)

        monkeypatch.setattr(pipeline.unet, "forward", gaussian_v)
        dial = Steering(k=k, sigma=spread, integrator="gaussian")
        latents = DepthEstimator(pipeline).estimate(picture(96, 96), DepthSettings(10, 1, 0), dial, 0).latents
        assert latents.numel() > 9000
        assert float(latents.mean()) == pytest.approx(mean, abs=0.03)
        assert float(latents.std()) == pytest.approx(spread / k**0.5, rel=0.05)

    def test_that_the_scheduler_cannot_take_is_refused_and_the_dial_stays(self, estimator):
        estimator.estimate(picture(), QUICK, SHARP, 0)
        with pytest.raises(ValueError, match="DDIMScheduler cannot take steering.method 'nns'.*use DDPMScheduler"):
            estimator.estimate(picture(), QUICK, Steering(k=2, method="nns"), 0)
        assert estimator.scheduler.steering == SHARP

    def test_lcm_is_steered_too(self, pipeline):
        estimator = DepthEstimator(with_scheduler(pipeline, LCM))
        stock, sharp = (estimator.estimate(picture(), QUICK, dial, 0).relative for dial in (STOCK, SHARP))
        assert not np.array_equal(stock, sharp)


class TestNoise:
    @pytest.mark.parametrize("scheduler", [LEADING, LCM], ids=["DDIM", "LCM"])
    def test_follows_from_its_address_whatever_ran_before(self, pipeline, scheduler):
        estimator = DepthEstimator(with_scheduler(pipeline, scheduler))
        plan = DepthSettings(3, 3, 0, uncertainty=True)
        first = estimator.estimate(picture(), plan, SHARP, 7)
        estimator.estimate(picture(20, 20), QUICK, STOCK, 8)
        torch.manual_seed(99)
        state = torch.get_rng_state()
        again = estimator.estimate(picture(), plan, SHARP, 7)
        assert np.array_equal(first.relative, again.relative)
        assert np.array_equal(first.uncertainty, again.uncertainty)
        assert torch.equal(torch.get_rng_state(), state)  # nor is anything drawn from the process' own numbers

    def test_differs_by_seed_frame_and_member(self, estimator):
        plan = DepthSettings(1, 3, 0)
        latents = [
            estimator.estimate(picture(), plan, STOCK, 0).initial_latents,
            estimator.estimate(picture(), plan, STOCK, 1).initial_latents,
            estimator.estimate(picture(), DepthSettings(1, 3, 0, seed=1), STOCK, 0).initial_latents,
        ]
        assert len({tuple(member.flatten().tolist()) for member in torch.cat(latents)}) == 9

    def test_of_a_member_does_not_depend_on_the_ensemble(self, estimator):
        one, three = (estimator.estimate(picture(), DepthSettings(1, n, 0), STOCK, 4) for n in (1, 3))
        assert torch.equal(one.initial_latents[0], three.initial_latents[0])

    def test_injected_by_lcm_follows_the_seed(self, pipeline):
        estimator = DepthEstimator(with_scheduler(pipeline, LCM))
        plan = DepthSettings(2, 1, 0, warm_start=0.5)  # both frames begin from the same noise
        one = estimator.estimate(picture(), plan, STOCK, 0).latents
        estimator.reset()
        assert torch.equal(estimator.estimate(picture(), plan, STOCK, 1).latents, one)


class TestWarmStart:
    PLAN = DepthSettings(2, 3, processing_resolution=0, warm_start=0.1)

    def test_blends_the_last_latents_into_the_same_noise_at_every_frame(self, estimator):
        cold = estimator.estimate(picture(), self.PLAN, STOCK, 4)
        warm = estimator.estimate(picture(seed=1), self.PLAN, STOCK, 5)
        torch.testing.assert_close(warm.initial_latents, 0.9 * cold.initial_latents + 0.1 * cold.latents)

    def test_begins_from_the_noise_of_frame_zero(self, estimator):
        cold = estimator.estimate(picture(), DepthSettings(2, 3, 0), STOCK, 0)
        estimator.reset()
        assert torch.equal(estimator.estimate(picture(), self.PLAN, STOCK, 9).initial_latents, cold.initial_latents)

    @pytest.mark.parametrize("why", ["reset", "image size", "ensemble"])
    def test_is_forgotten_on(self, estimator, why):
        cold = estimator.estimate(picture(), self.PLAN, STOCK, 0)
        if why == "reset":
            estimator.reset()
        elif why == "image size":  # one pixel less: the latents' size is the same
            estimator.estimate(picture(34, 48), self.PLAN, STOCK, 1)
        else:
            estimator.estimate(picture(), DepthSettings(2, 4, 0, warm_start=0.1), STOCK, 1)
        assert torch.equal(estimator.estimate(picture(), self.PLAN, STOCK, 2).initial_latents, cold.initial_latents)

    def test_is_forgotten_after_a_result_that_is_not_finite(self, pipeline, estimator, monkeypatch):
        cold = estimator.estimate(picture(), self.PLAN, STOCK, 0)
        with monkeypatch.context() as patch:
            patch.setattr(pipeline.unet, "forward", lambda latents, *_, **__: (latents[:, 4:] * float("nan"),))
            with pytest.raises(ValueError, match="not finite at frame_seed 1 .*float32; use k nearer to 1, or load"):
                estimator.estimate(picture(), QUICK, STOCK, 1)
        assert torch.equal(estimator.estimate(picture(), self.PLAN, STOCK, 2).initial_latents, cold.initial_latents)

    def test_off_leaves_no_trace(self, estimator):
        cold = estimator.estimate(picture(), QUICK, STOCK, 1)
        estimator.estimate(picture(seed=1), self.PLAN, STOCK, 0)
        assert np.array_equal(estimator.estimate(picture(), QUICK, STOCK, 1).relative, cold.relative)


class TestSettings:
    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ({"num_inference_steps": 0}, "num_inference_steps is 0, expected a whole number from 1"),
            ({"num_inference_steps": 2.0}, "num_inference_steps is 2.0, expected a whole number"),
            ({"ensemble_size": 0}, "ensemble_size is 0, expected a whole number from 1"),
            ({"ensemble_size": True}, "ensemble_size is True"),
            ({"uncertainty": True}, "ensemble_size is 1; use 2 or more"),
            ({"uncertainty": 1, "ensemble_size": 3}, "uncertainty is 1, expected true or false"),
            ({"match_input_resolution": None}, "match_input_resolution is None, expected true or false"),
            ({"processing_resolution": -8}, "processing_resolution is -8, expected a whole number from 0"),
            ({"warm_start": 1.0}, "warm_start is 1.0, expected 0 .off. to below 1"),
            ({"warm_start": -0.1}, "warm_start is -0.1"),
            ({"warm_start": float("nan")}, "warm_start is nan"),
            ({"warm_start": True}, "warm_start is True"),
            ({"seed": -1}, "seed is -1, expected a whole number from 0"),
            ({"seed": 2**64}, "seed is 18446744073709551616"),
        ],
    )
    def test_that_cannot_be_are_refused_by_name(self, fields, complaint):
        with pytest.raises(ValueError, match=complaint):
            DepthSettings(**fields)

    @pytest.mark.parametrize(
        ("image", "plan", "complaint"),
        [
            (picture(), DepthSettings(2, processing_resolution=33), "is 33, expected .* a multiple of 2.* use 32"),
            (picture(1, 90), DepthSettings(2, processing_resolution=24), "24 leaves no pixel of the short side"),
            (picture(), DepthSettings(1000, processing_resolution=0), "num_inference_steps is 1000, .*at most 999"),
        ],
    )
    def test_that_do_not_fit_the_checkpoint_or_image_are_refused(self, estimator, image, plan, complaint):
        with pytest.raises(ValueError, match=complaint):
            estimator.estimate(image, plan, STOCK, 0)

    @pytest.mark.parametrize(
        ("plan", "dial", "complaint"),
        [
            (DepthSettings(2, processing_resolution=33), STOCK, "is 33, expected .* a multiple of 2"),
            (DepthSettings(1000, processing_resolution=0), STOCK, "num_inference_steps is 1000, .*at most 999"),
            (QUICK, Steering(method="nns"), "DDIMScheduler cannot take steering.method 'nns'"),
        ],
    )
    def test_can_be_checked_without_an_image(self, estimator, plan, dial, complaint):
        before = estimator.scheduler.steering
        estimator.check(QUICK, SHARP)
        with pytest.raises(ValueError, match=complaint):
            estimator.check(plan, dial)
        assert estimator.scheduler.steering == before

    @pytest.mark.parametrize("invariance", [(False, False), (False, True)])
    def test_ensemble_that_cannot_be_aligned_is_refused(self, pipeline, invariance):
        other = with_scheduler(pipeline, LEADING)
        other.scale_invariant, other.shift_invariant = invariance
        estimator = DepthEstimator(other)
        with pytest.raises(ValueError, match="ensemble_size is 3, .*use ensemble_size 1"):
            estimator.estimate(picture(), DepthSettings(1, 3, 0), STOCK, 0)
        assert estimator.estimate(picture(), QUICK, STOCK, 0).relative.shape == (33, 47)

    def test_frame_seed_and_batch_size_are_checked(self, pipeline, estimator):
        with pytest.raises(ValueError, match="frame_seed is -1"):
            estimator.estimate(picture(), QUICK, STOCK, -1)
        with pytest.raises(ValueError, match="batch_size is 0"):
            DepthEstimator(pipeline, batch_size=0)

    def test_half_precision_on_the_cpu_is_refused(self, pipeline):
        half = with_scheduler(pipeline, LEADING)
        half.unet = copy.deepcopy(pipeline.unet)
        half.vae, half.text_encoder = copy.deepcopy(pipeline.vae), copy.deepcopy(pipeline.text_encoder)
        with pytest.raises(ValueError, match="dtype is float16 and device is cpu.*use float32 or bfloat16"):
            DepthEstimator(half.to(dtype=torch.float16))


class TestImages:
    @pytest.mark.parametrize(
        ("image", "complaint"),
        [
            (picture().astype(np.float32), "dtype float32, expected a uint8 array"),
            (picture().astype(np.int8), "dtype int8"),
            (picture().tolist(), "type list"),
            (picture()[:, :, 0], r"shape \(33, 47\), expected \(H, W, 3\)"),
            (picture()[:, :, :1], r"shape \(33, 47, 1\)"),
            (np.dstack([picture(), picture()[:, :, 0]]), r"shape \(33, 47, 4\)"),
            (picture()[None], r"shape \(1, 33, 47, 3\)"),
            (picture()[:0], r"shape \(0, 47, 3\)"),
        ],
    )
    def test_of_another_kind_are_refused_by_name(self, estimator, image, complaint):
        with pytest.raises(ValueError, match="image_rgb has " + complaint):
            estimator.estimate(image, QUICK, STOCK, 0)

    def test_may_be_views_and_read_only_and_are_not_written(self, estimator):
        """As they come from a message: flipped channels, a buffer of bytes."""
        image = picture()
        expected = estimator.estimate(image, QUICK, STOCK, 0).relative
        flipped = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
        bytes_only = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
        for same in (flipped, bytes_only):
            assert np.array_equal(estimator.estimate(same, QUICK, STOCK, 0).relative, expected)
        assert np.array_equal(image, picture())

    @settings(max_examples=12)
    @given(height=st.integers(5, 40), width=st.integers(5, 40), resolution=st.sampled_from([0, 16, 40]))
    def test_of_any_size_give_maps_of_that_size(self, pipeline, height, width, resolution):
        plan = DepthSettings(1, processing_resolution=resolution)
        if resolution and min(height, width) * resolution < max(height, width):
            return  # refused, as tested above
        relative = DepthEstimator(pipeline).estimate(picture(height, width), plan, SHARP, 0).relative
        assert relative.shape == (height, width)
        assert 0 <= relative.min() <= relative.max() <= 1
