"""Stable Diffusion as a prior: levels, predictions, text, guidance, latents, LoRA's critic; what folders it refuses."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior, perpendicular
from psr_core.distillation.latents import LatentPrior, levels_of
from psr_core.distillation.lora import LoraCritic
from psr_core.distillation.method import View
from psr_core.distillation.methods import make_method
from psr_core.distillation.prior_folder import TEXT, open_prior
from psr_core.predictions import clean_and_noise
from tests.psr_core.distillation.tiny_priors import SIZE, change_json, tiny_text_to_image
from tests.psr_core.distillation.toys import LEVELS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_text_to_image(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def prior(folder):
    return open_prior(folder).load()


def noise(prior, rows, seed=0):
    return torch.randn(rows, *prior.shape, generator=torch.Generator().manual_seed(seed))


class FakeUNet(torch.nn.Module):
    """Predicts the mean of the text's features everywhere, and notes what it was asked."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(sample_size=2)
        self.dtype, self.device = torch.float32, torch.device("cpu")
        self.asked = []

    def forward(self, x, timestep, encoder_hidden_states, return_dict):
        self.asked.append(timestep)
        return (encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1).expand_as(x),)


class FakeVAE(torch.nn.Module):
    """Latents are the red channel's 2 x 2 means, four times."""

    def __init__(self, scale):
        super().__init__()
        self.config = SimpleNamespace(latent_channels=4, in_channels=3, scaling_factor=scale, block_out_channels=[1, 1])
        self.config = _Mapping(vars(self.config))
        self.dtype = torch.float32

    def encode(self, image):
        red = torch.nn.functional.avg_pool2d(image[:, :1], 2).expand(-1, 4, -1, -1)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: red))

    def decode(self, z, return_dict):
        return (z[:, :3].repeat_interleave(2, 2).repeat_interleave(2, 3),)


class _Mapping(dict):
    """A configuration as diffusers has them."""

    __getattr__ = dict.__getitem__


class FakePrior(LatentPrior):
    """A LatentPrior of the fakes."""

    conditions = ("text",)

    def __init__(self, kind="epsilon", scale=1.0):
        levels = torch.tensor(LEVELS.alphas_cumprod)
        super().__init__(
            FakeUNet(), FakeVAE(scale), SimpleNamespace(config={"prediction_type": kind}, alphas_cumprod=levels)
        )

    def arguments(self, x, condition):
        return x, {"encoder_hidden_states": condition["text"]}

    def unconditional(self, x):
        return {"text": torch.zeros(len(x), 1, 1)}


def text_of(*values):
    return {"text": torch.tensor(values).view(-1, 1, 1)}


class TestPrediction:
    @pytest.mark.parametrize("scale", [0.0, 1.0, 7.5, -2.0])
    def test_guidance_is_the_librarys(self, scale):
        from psr_core.distillation.guidance import Prompt

        prior = FakePrior()
        said = GuidedPrior(prior).noise(torch.zeros(2, *prior.shape), 300, Prompt(text_of(1.0, 3.0)), scale)
        expected = torch.tensor([0 + scale * (1.0 - 0), 0 + scale * (3.0 - 0)])
        assert torch.allclose(said, expected.view(2, 1, 1, 1).expand_as(said))

    @pytest.mark.parametrize(("t", "timestep"), [(1, 0), (300, 299), (1000, 999), (2.5, 1.5), (0.3, 0)])
    def test_time_1_is_the_first_timestep(self, t, timestep):
        prior = FakePrior()
        prior.noise(torch.zeros(2, *prior.shape), t, text_of(1.0, 1.0))
        assert prior.unet.asked[0].tolist() == [timestep] * 2

    @pytest.mark.parametrize("t", [1, 400, 1000])
    def test_v_is_turned_into_noise(self, t):
        prior, x = FakePrior("v_prediction"), torch.randn(2, 4, 2, 2, generator=torch.Generator().manual_seed(0))
        level = prior.levels.level(t)
        assert torch.allclose(prior.noise(x, t, text_of(2.0, 2.0)), level.alpha * 2 + level.sigma_t * x, atol=1e-6)

    @pytest.mark.parametrize("t", [20, 700])
    def test_v_of_the_same_network_is_its_prediction_converted(self, prior, tmp_path, t):
        same = open_prior(tiny_text_to_image(tmp_path / "v", "v_prediction")).load()
        x, condition = noise(prior, 2), prior.prompt("a cat", 2).positive
        said = prior.noise(x, t, condition)
        assert torch.allclose(
            same.noise(x, t, condition), clean_and_noise("v_prediction", said, x, LEVELS.level(t))[1], atol=1e-5
        )

    def test_its_noise_levels_are_the_schedulers(self, prior):
        assert prior.levels.last == 1000
        assert prior.levels.level(500).alpha == pytest.approx(LEVELS.level(500).alpha, rel=1e-5)

    def test_answers_in_the_dtype_it_is_asked_in_and_lets_gradients_through(self, prior):
        x = noise(prior, 1).double().requires_grad_()
        said = prior.noise(x, 500, prior.prompt("a cat", 1).positive)
        said.sum().backward()
        assert said.dtype == torch.float64 and x.grad.abs().max() > 0
        assert all(parameter.grad is None for parameter in prior.unet.parameters())


class TestText:
    def test_another_text_is_another_condition(self, prior):
        x, told = noise(prior, 1), [prior.prompt(text, 1).positive for text in ("a cat", "a dog", "a cat")]
        cat, dog, again = (prior.noise(x, 500, one) for one in told)
        assert torch.equal(cat, again) and (cat - dog).abs().max() > 1e-4

    def test_the_unconditional_is_the_empty_text_or_the_negative_one(self, folder, prior):
        x = noise(prior, 2)
        assert torch.equal(prior.unconditional(x)["text"], prior.features(["", ""]))
        away = open_prior(folder).load(empty="blurry")
        assert torch.equal(away.unconditional(x)["text"], prior.features(["blurry"] * 2))
        empty, positive = (prior.noise(x, 500, {"text": prior.features([text] * 2)}) for text in ("blurry", "a cat"))
        said = GuidedPrior(away).noise(x, 500, prior.prompt("a cat", 2), 4.0)
        assert torch.allclose(said, empty + 4 * (positive - empty), atol=1e-5)

    def test_perpendicular_texts_add_only_what_the_prompt_does_not_say(self, prior):
        x = noise(prior, 2)
        prompt = prior.prompt("a cat", 2, perpendicular={"a dog": -1.5, "a hat": -0.5})
        empty, cat, dog, hat = (
            prior.noise(x, 500, {"text": prior.features([text] * 2)}) for text in ("", "a cat", "a dog", "a hat")
        )
        aim = cat - empty
        others = -1.5 * perpendicular(dog - empty, aim) - 0.5 * perpendicular(hat - empty, aim)
        guided = GuidedPrior(prior)
        assert torch.allclose(guided.noise(x, 500, prompt, 3.0), empty + 3 * (aim + others), atol=1e-5)
        assert (guided.guided, guided.model) == (2, 8)

    def test_nfsd_has_its_negative_prompt(self, prior):
        prompt = prior.prompt("a cat", 2, negative="a blur")
        assert torch.equal(prompt.negative["text"], prior.features(["a blur"] * 2))

    @pytest.mark.parametrize("field", ["prompt", "negative", "perpendicular"])
    def test_an_empty_text_is_named(self, prior, field):
        words = {"text": "a cat", "negative": "a dog", "perpendicular": {"a hat": -1.0}}
        words |= {
            "prompt": {"text": " "},
            "negative": {"negative": ""},
            "perpendicular": {"perpendicular": {"": -1.0}},
        }[field]
        with pytest.raises(ValueError, match=f"{field}.* is empty"):
            prior.prompt(rows=1, **words)


class TestLatents:
    def test_scale_and_range(self):
        prior = FakePrior(scale=0.25)
        image = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        means = torch.nn.functional.avg_pool2d(image[:, :1], 2)
        x = prior.encode(image)
        assert torch.allclose(x[:, :1], 0.25 * (2 * means - 1), atol=1e-6)
        assert torch.allclose(prior.decode(x)[:, :, ::2, ::2], means.expand(-1, 3, -1, -1), atol=1e-6)
        assert prior.decode(100 * x).amax() <= 1

    def test_size_is_the_models_or_as_asked(self, folder, prior):
        assert (prior.shape, prior.image_shape) == ((4, SIZE // 2, SIZE // 2), (3, SIZE, SIZE))
        larger = open_prior(folder).load(size=24)
        assert (larger.shape, larger.image_shape) == ((4, 12, 12), (3, 24, 24))
        assert larger.noise(noise(larger, 1), 500, larger.prompt("a cat", 1).positive).shape == (1, 4, 12, 12)

    def test_images_of_another_size_are_named(self, prior):
        with pytest.raises(ValueError, match=rf"images have shape \(1, 3, 8, 8\), expected \(B, 3, {SIZE}, {SIZE}\)"):
            prior.encode(torch.zeros(1, 3, 8, 8))

    def test_encoding_has_gradients(self, prior):
        image = torch.full((1, 3, SIZE, SIZE), 0.5, requires_grad=True)
        prior.encode(image).square().sum().backward()
        assert image.grad.abs().max() > 0


class TestLora:
    def view(self, prior, rows=2, cameras=0):
        seeds = torch.arange(rows)
        camera = torch.eye(rows) if cameras else None
        return View(noise(prior, rows), prior.prompt("a cat", rows), seeds, torch.zeros_like(seeds), camera)

    def test_at_first_it_predicts_as_the_prior_does_and_is_counted(self, prior):
        guided, view = GuidedPrior(prior), self.view(prior, cameras=2)
        said = LoraCritic(guided, 2).noise(view.x, 500, view, view.camera)
        assert torch.allclose(said, prior.noise(view.x, 500, view.prompt.positive), atol=1e-6)
        assert (guided.guided, guided.model) == (2, 2)

    def test_it_learns_the_renderings_and_leaves_the_prior_alone(self, prior):
        before = {name: value.clone() for name, value in prior.unet.state_dict().items()}
        view, guided = self.view(prior), GuidedPrior(prior)
        critic = LoraCritic(guided)
        method = make_method("vsd", guided, 60, critic=critic, critic_rate=2e-2)
        t, eps = 400, noise(prior, 2, seed=1)
        x = method.noised(view.x, eps, t)

        @torch.no_grad()
        def miss():
            return float((critic.noise(x, t, view, None) - eps).square().mean())

        first = miss()
        for step in range(25):
            method.gradients(view, step)
        assert miss() < 0.98 * first
        assert all(torch.equal(value, before[name]) for name, value in prior.unet.state_dict().items())

    def test_the_camera_matters_once_it_has_learned(self, prior):
        view, guided = self.view(prior, cameras=2), GuidedPrior(prior)
        critic = LoraCritic(guided, 2)
        method = make_method("esd", guided, 20, cameras=2, critic=critic, critic_rate=1e-2, camera_dropout=0.0)
        for step in range(5):
            method.gradients(view, step)
        one, other = (critic.noise(view.x, 500, view, camera) for camera in (view.camera, None))
        assert (one - other).abs().max() > 1e-4

    def test_of_another_prior_it_is_refused(self):
        with pytest.raises(ValueError, match="LoRA is for Stable Diffusion priors"):
            LoraCritic(GuidedPrior(FakePrior()))


class TestRefusals:
    """Before the weights are read: the copies have none."""

    @pytest.fixture
    def copy(self, folder, tmp_path):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors"))
        return copy

    def test_what_is_right_is_not_refused(self, copy):
        assert open_prior(copy).kind == TEXT

    @pytest.mark.parametrize(
        ("part", "fields", "complaint"),
        [
            (
                "scheduler/scheduler_config",
                {"prediction_type": "sample"},
                "prediction_type is 'sample', expected one of",
            ),
            ("scheduler/scheduler_config", {"rescale_betas_zero_snr": True}, "ends at pure noise"),
            ("scheduler/scheduler_config", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow matching"),
            ("scheduler/scheduler_config", {"_class_name": "os"}, "scheduler is os, expected one of diffusers'"),
            ("unet/config", {"in_channels": 9}, "unet in_channels is 9, expected 4"),
            ("unet/config", {"in_channels": 8}, "unet in_channels is 8, expected 4.*text-to-image"),
            ("unet/config", {"out_channels": 8}, "unet out_channels is 8, expected 4"),
            ("vae/config", {"latent_channels": 16}, "unet in_channels is 4, expected 16"),
            ("vae/config", {"shift_factor": 0.1}, "vae has shift_factor"),
            ("unet/config", {"cross_attention_dim": 8}, "cross_attention_dim is 8, expected 16, .*text_encoder"),
            ("unet/config", {"addition_embed_type": "text_time"}, "addition_embed_type is 'text_time'"),
            ("unet/config", {"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
            ("unet/config", {"_class_name": "MultiViewUNetModel"}, "unet is a MultiViewUNetModel, expected a UNet2D"),
        ],
    )
    def test_another_model_is_named(self, copy, part, fields, complaint):
        change_json(copy / f"{part}.json", **fields)
        with pytest.raises(ValueError, match=f"prior {copy}: .*{complaint}"):
            open_prior(copy)

    @pytest.mark.parametrize("part", ["unet", "vae", "scheduler", "text_encoder", "tokenizer"])
    def test_a_missing_part_is_named(self, copy, part):
        shutil.rmtree(copy / part)
        with pytest.raises(FileNotFoundError, match=f"{copy} lacks the part {part}/"):
            open_prior(copy)

    def test_a_part_that_the_index_does_not_know_is_named(self, copy):
        change_json(copy / "model_index.json", text_encoder=[None, None])
        with pytest.raises(ValueError, match="has no text_encoder in model_index.json"):
            open_prior(copy)

    def test_damaged_configuration_and_missing_weights_are_named(self, copy):
        with pytest.raises(OSError, match=f"prior {copy} cannot be loaded"):
            open_prior(copy).load()
        (copy / "unet" / "config.json").write_text("{")
        with pytest.raises(OSError, match=f"prior {copy} cannot be loaded"):
            open_prior(copy)

    def test_weights_that_would_be_random_are_named(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "more")
        change_json(copy / "unet" / "config.json", layers_per_block=2)
        with pytest.raises(ValueError, match="unet lacks [0-9]+ weights, such as"):
            open_prior(copy).load()

    def test_no_network_and_no_folder(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(OSError, match="prior nobody/nothing cannot be loaded.*hf download nobody/nothing.*--prior"):
            open_prior("nobody/nothing")
        with pytest.raises(FileNotFoundError, match="prior folder ./nowhere does not exist"):
            open_prior("./nowhere")

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [({"size": 17}, "size is 17 pixels, expected a multiple of 2"), ({"device": "tpu"}, "device is 'tpu'")],
    )
    def test_size_and_device_before_the_weights(self, copy, options, complaint):
        with pytest.raises(ValueError, match=complaint):
            open_prior(copy).load(**options)

    def test_a_table_of_levels_is_needed(self):
        with pytest.raises(ValueError, match="expected one with a table"):
            levels_of(SimpleNamespace())


def test_the_digest_is_of_all_networks(folder, prior, tmp_path):
    from psr_core.diffusers_folder import modules_sha256

    assert set(prior.parts) == {"unet", "vae", "text_encoder"}
    assert modules_sha256(prior.parts) == modules_sha256(open_prior(folder).load().parts)
    with torch.no_grad():
        other = open_prior(folder).load()
        next(other.text_encoder.parameters()).add_(1)
    assert modules_sha256(prior.parts) != modules_sha256(other.parts)
