"""Loading a depth pipeline: steerable, without a network, nothing foreign executed, and what it says when it cannot."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, LCMScheduler

from psr_core.steering import Steering
from psr_perception.depth.estimator import DepthEstimator
from psr_perception.depth.loading import load_depth_pipeline
from psr_perception.depth.settings import DepthSettings
from tests.tiny_pipelines import SCHEDULE, tiny_marigold, tiny_stable_diffusion

IMAGE = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
QUICK = DepthSettings(num_inference_steps=1, processing_resolution=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return tiny_marigold(tmp_path_factory.mktemp("marigold"))


@pytest.fixture
def checkpoint(saved, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def small_autoencoder(folder: Path, **differences) -> Path:
    layout = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(**{**layout, **blocks, **differences}).save_pretrained(folder)
    return folder


class _Bomb:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestWhatIsLoaded:
    def test_is_steerable_and_needs_no_network(self, saved, offline):
        pipeline = load_depth_pipeline(str(saved))
        assert pipeline.scheduler.steering == Steering()
        assert pipeline.dtype == torch.float32
        assert DepthEstimator(pipeline).estimate(IMAGE, QUICK, Steering(), 0).relative.shape == (33, 47)

    @pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
    def test_has_the_dtype_asked_for(self, saved, dtype):
        pipeline = load_depth_pipeline(saved, torch.device("cpu"), dtype)
        assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {torch.bfloat16}
        plan = DepthSettings(2, 3, 0, uncertainty=True)
        estimate = DepthEstimator(pipeline).estimate(IMAGE, plan, Steering(k=1.3, sigma=10), 0)
        assert estimate.latents.dtype == torch.bfloat16
        assert estimate.relative.dtype == estimate.uncertainty.dtype == np.float32

    def test_may_be_an_lcm_checkpoint_or_one_under_the_first_releases_class_name(self, checkpoint):
        LCMScheduler(**SCHEDULE, prediction_type="v_prediction").save_pretrained(checkpoint / "scheduler")
        index = {"_class_name": "MarigoldPipeline", "scheduler": ["diffusers", "LCMScheduler"], "prediction_type": None}
        edit(checkpoint / "model_index.json", **index)
        pipeline = load_depth_pipeline(checkpoint)
        assert isinstance(pipeline.scheduler, LCMScheduler)
        assert pipeline.scheduler.steering == Steering()

    def test_may_have_a_tiny_autoencoder(self, saved, tmp_path, offline):
        pipeline = load_depth_pipeline(saved, tiny_autoencoder=small_autoencoder(tmp_path / "taesd"))
        assert isinstance(pipeline.vae, AutoencoderTiny)
        estimate = DepthEstimator(pipeline).estimate(IMAGE, QUICK, Steering(), 0)
        assert estimate.latents.shape == (1, 4, 17, 24)
        assert np.isfinite(estimate.relative).all()


class TestRefusals:
    @pytest.mark.parametrize(
        ("device", "dtype", "complaint"),
        [
            ("cpu", "float16", "dtype is float16 and device is cpu.*use float32 or bfloat16"),
            ("cpu", "half", "dtype is 'half', expected one of: float32, float16, bfloat16"),
            ("cpu", torch.int8, "dtype is torch.int8, expected one of"),
            ("gpu", "float32", "device is 'gpu', expected cpu, cuda or cuda:<number>"),
        ],
    )
    def test_of_device_and_dtype_come_before_anything_is_read(self, device, dtype, complaint):
        with pytest.raises(ValueError, match=complaint):
            load_depth_pipeline("/nowhere", device, dtype)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_of_a_device_that_is_not_there(self):
        with pytest.raises(ValueError, match="device is cuda, but torch finds no CUDA device here; use cpu"):
            load_depth_pipeline("/nowhere", "cuda")

    def test_of_a_folder_that_is_not_there_or_is_a_file(self, saved, tmp_path):
        with pytest.raises(FileNotFoundError, match="checkpoint folder .*none does not exist.*hf download"):
            load_depth_pipeline(tmp_path / "none")
        with pytest.raises(ValueError, match="model_index.json is a file, expected a folder"):
            load_depth_pipeline(saved / "model_index.json")

    def test_of_a_folder_without_an_index(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no model_index.json; expected a Marigold depth"):
            load_depth_pipeline(tmp_path)

    def test_of_a_hub_id_where_there_is_no_network(self, offline, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(
            OSError, match="prs-eth/marigold-none cannot be loaded: .*hf download prs-eth/marigold-none"
        ):
            load_depth_pipeline("prs-eth/marigold-none")

    def test_of_another_kind_of_pipeline(self, tmp_path):
        folder = tiny_stable_diffusion(tmp_path)
        with pytest.raises(ValueError, match=f"{folder} is a StableDiffusionPipeline; expected a Marigold depth"):
            load_depth_pipeline(folder)

    def test_of_disparity(self, checkpoint):
        edit(checkpoint / "model_index.json", prediction_type="disparity")
        with pytest.raises(ValueError, match="checkpoint predicts disparity, not depth"):
            load_depth_pipeline(checkpoint)

    def test_of_a_scheduler_that_the_loop_is_not_made_for(self, checkpoint):
        edit(checkpoint / "model_index.json", scheduler=["diffusers", "EulerDiscreteScheduler"])
        with pytest.raises(ValueError, match="has a EulerDiscreteScheduler.* DDIMScheduler or LCMScheduler; put one"):
            load_depth_pipeline(checkpoint)

    @pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "scheduler", "tokenizer"])
    def test_of_a_missing_part(self, checkpoint, part):
        shutil.rmtree(checkpoint / part)
        with pytest.raises(FileNotFoundError, match=f"checkpoint lacks the part {part}/; download it again"):
            load_depth_pipeline(checkpoint)

    @pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
    def test_of_missing_weights(self, checkpoint, part):
        for weights in (checkpoint / part).glob("*.safetensors"):
            weights.unlink()
        with pytest.raises(FileNotFoundError, match=f"checkpoint/{part} holds no .safetensors weights; download"):
            load_depth_pipeline(checkpoint)

    @pytest.mark.parametrize("file", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"])
    def test_of_a_file_cut_short(self, checkpoint, file):
        path = checkpoint / file
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(OSError, match="checkpoint cannot be loaded: .*unet.*; is its download complete"):
            load_depth_pipeline(checkpoint)

    def test_of_weights_for_another_network(self, checkpoint):
        edit(checkpoint / "unet" / "config.json", block_out_channels=[64, 64])
        with pytest.raises(OSError, match="checkpoint cannot be loaded: .*expected shape"):
            load_depth_pipeline(checkpoint)


class TestForeignCode:
    def test_in_pickles_is_not_executed(self, checkpoint, tmp_path):
        weights = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
        weights.unlink()
        weights.with_suffix(".bin").write_bytes(pickle.dumps(_Bomb(tmp_path / "exploded")))
        with pytest.raises(ValueError, match="checkpoint/unet holds .bin weights only: pickles.*save_pretrained"):
            load_depth_pipeline(checkpoint)
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize("entry", ["_class_name", "unet"])
    def test_in_the_folder_is_not_executed(self, checkpoint, tmp_path, entry):
        code = f"from pathlib import Path\nPath({str(tmp_path / 'exploded')!r}).touch()\n"
        for place in (checkpoint, checkpoint / "unet"):
            (place / "own.py").write_text(code)
        edit(checkpoint / "model_index.json", **{entry: ["own", "Own"]})
        with pytest.raises((OSError, ValueError), match="checkpoint"):
            load_depth_pipeline(checkpoint)
        assert not (tmp_path / "exploded").exists()


class TestTinyAutoencoder:
    @pytest.mark.parametrize(
        ("differences", "complaint"),
        [
            ({"latent_channels": 8}, "has 8 latent channels, but the checkpoint's VAE has 4; use one"),
            (
                {"encoder_block_out_channels": (8,) * 3, "num_encoder_blocks": (1,) * 3},
                "has 3 resolutions, but the checkpoint's VAE has 2",
            ),
        ],
    )
    def test_with_other_latents_is_refused(self, saved, tmp_path, differences, complaint):
        with pytest.raises(ValueError, match=complaint):
            load_depth_pipeline(saved, tiny_autoencoder=small_autoencoder(tmp_path / "tiny", **differences))

    def test_that_is_none_is_refused(self, saved, tmp_path):
        with pytest.raises(FileNotFoundError, match="tiny_autoencoder folder .*none does not exist"):
            load_depth_pipeline(saved, tiny_autoencoder=tmp_path / "none")
        with pytest.raises(FileNotFoundError, match="holds no config.json; use madebyollin/taesd"):
            load_depth_pipeline(saved, tiny_autoencoder=tmp_path)
        with pytest.raises(ValueError, match="vae is a AutoencoderKL, expected an AutoencoderTiny"):
            load_depth_pipeline(saved, tiny_autoencoder=saved / "vae")
