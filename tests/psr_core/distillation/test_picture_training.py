"""Pictures distilled from a tiny Stable Diffusion: every method and kind of picture, calls, seeds, resuming."""

from __future__ import annotations

import pytest
import torch

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.methods import METHODS
from psr_core.distillation.picture_training import PictureSettings, PictureTrainer
from psr_core.distillation.pictures import noise_pictures
from psr_core.distillation.prior_folder import open_prior
from psr_core.distillation.schedule import AnnealedTimes
from psr_core.samplers import sample_ode
from psr_core.steering import Steering
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_text_to_image

QUICK = {"msd": {"sampler_steps": 2}, "sdi": {"inversion_steps": 3}}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return open_prior(tiny_text_to_image(tmp_path_factory.mktemp("sd"))).load()


def settings_of(method="dsd", **fields):
    fields = {"steps": 3, "seeds": 2, "options": QUICK.get(method, {}), **fields}
    return PictureSettings("a cat", method, negative="a blur" if method == "nfsd" else None, **fields)


def trained(prior, settings, steps=None):
    trainer = PictureTrainer(settings, prior, {})
    for _ in range(settings.steps if steps is None else steps):
        trainer.train_step()
    return trainer


def reloaded(state, tmp_path):
    torch.save(state, tmp_path / "state.pt")
    return torch.load(tmp_path / "state.pt", weights_only=True)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_moves_the_pictures(prior, method):
    settings = settings_of(method)
    trainer = PictureTrainer(settings, prior, {})
    before = trainer.images()
    assert before.shape == (2, 3, SIZE, SIZE)
    assert trainer.train_step() > 0
    after = trainer.images()
    assert (after - before).abs().max() > 1e-4
    assert after.min() >= 0 and after.max() <= 1
    assert (after[0] - after[1]).abs().max() > 1e-3


@pytest.mark.parametrize("picture", ["pixels", "mlp"])
@pytest.mark.parametrize("method", ["dsd", "hifa", "msd"])
def test_kinds_of_picture(prior, picture, method):
    trainer = PictureTrainer(settings_of(method, picture=picture), prior, {})
    before = trainer.images()
    trainer.train_step()
    assert (trainer.images() - before).abs().max() > 1e-5


CALLS = {
    "sds": (1, 2),
    "asd": (2, 3),
    "consistent3d": (2, 4),
    "vsd": (3, 4),
    "hifa": (1, 2),
    "nfsd": (1, 3),
    "msd": (4, 8),
}


@pytest.mark.parametrize("method", CALLS)
def test_calls_of_an_iteration_by_picture(prior, method):
    trainer = trained(prior, settings_of(method), 2)
    calls = trainer.calls()
    assert (calls["guided_each"], calls["model_each"]) == CALLS[method]
    assert calls["guided"] == 2 * 2 * calls["guided_each"]


def test_dsd_on_latents_is_guided_ddim(prior):
    settings = settings_of(steps=6, options={"grid": 6}, guidance=2.0)
    trainer = trained(prior, settings)
    method, view = trainer.run.method, trainer.run.scene.view(0)
    guided = GuidedPrior(prior)

    def denoiser(x, level):
        t = prior.levels.time(level.sigma_t / level.alpha)
        return guided.noise(x, t, view.prompt, 2.0)

    levels = [prior.levels.level(t) for t in prior.levels.grid(6)]
    truth = sample_ode(denoiser, method.cache.start(view), levels, Steering())
    assert (trainer.picture.x - truth).abs().max() < 1e-4 * truth.abs().max()


def test_a_seed_has_its_picture_whatever_stands_beside(prior):
    together = trained(prior, settings_of(seeds=3)).images()
    alone = trained(prior, settings_of(seed=2, seeds=1)).images()
    assert torch.allclose(together[2:], alone, atol=1e-5)


def test_steering_guidance_and_perpendicular_texts_count(prior):
    plain = trained(prior, settings_of()).images()
    for fields in (
        {"steering": Steering(k=3.0, sigma=0.5)},
        {"guidance": 1.5},
        {"perpendicular": ("a hat",)},
        {"published": True, "options": {}},
    ):
        assert (trained(prior, settings_of(**fields)).images() - plain).abs().max() > 1e-4


def test_times_are_an_option(prior):
    late = settings_of("sds", options={"times": AnnealedTimes(0.2, 0.1)})
    method = PictureTrainer(late, prior, {}).run.method
    assert [method.time(step) for step in range(3)] == [200, 167, 133]


def test_esd_knows_the_pictures_apart(prior):
    view = PictureTrainer(settings_of("esd"), prior, {}).run.scene.view(0)
    assert torch.equal(view.camera, torch.eye(2))


@pytest.mark.parametrize(
    ("method", "picture"), [("dsd", "latent"), ("vsd", "latent"), ("sds", "pixels"), ("msd", "mlp")]
)
def test_resumes_bit_for_bit(prior, method, picture, tmp_path):
    settings = settings_of(method, picture=picture, steps=4)
    whole, part = trained(prior, settings), trained(prior, settings, 2)
    resumed = PictureTrainer(settings, prior, {})
    resumed.resume(reloaded(part.state(), tmp_path))
    assert resumed.step == 2
    for _ in range(2):
        resumed.train_step()
    assert torch.equal(resumed.images(), whole.images())
    assert resumed.calls() == whole.calls()


def test_the_seeds_noise_of_dsd_is_in_the_state(prior, tmp_path):
    settings = settings_of(seed=5)
    state = reloaded(trained(prior, settings, 1).state(), tmp_path)
    starts = state["run"]["method"]["starts"]
    assert set(starts) == {5, 6} and starts[5].shape == prior.shape
    state["run"]["method"]["starts"] = {seed: noise + 1 for seed, noise in starts.items()}
    other = PictureTrainer(settings, prior, {})
    other.resume(state)
    kept = other.run.method.cache.start(other.run.scene.view(0))
    assert torch.equal(kept, torch.stack(list(starts.values())) + 1)


def test_msd_may_stop_of_itself(prior):
    trainer = trained(prior, settings_of("msd", options={"sampler_steps": 2, "threshold": 1e6}), 1)
    assert trainer.finished and trainer.step == 1
    assert trainer.train_step() == trainer.run.loss and trainer.step == 1


def test_pictures_start_from_their_seeds():
    seeds = torch.tensor([4, 9])
    assert torch.equal(noise_pictures((2, 3), seeds)[1:], noise_pictures((2, 3), seeds[1:]))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"negative": ""}, "negative is empty"),
        ({"perpendicular": ("a hat", " ")}, "perpendicular is empty"),
        ({"method": "gan"}, "method is 'gan', expected one of: sds"),
        ({"picture": "voxels"}, "picture is 'voxels', expected one of: latent, pixels, mlp"),
        ({"steps": 0}, "steps is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"lr": 0.0}, "lr is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"options": {"kappa": "fixed"}}, "dsd has no option kappa; expected some of: seed, guidance"),
        ({"method": "vsd", "options": {"guidance": 3.0, "critic": None}}, "options have critic, guidance"),
        ({"perpendicular_weight": float("nan")}, "perpendicular_weight is nan"),
        ({"method": "msd", "published": True}, "msd has no released code"),
        ({"method": "nfsd"}, "nfsd: negative is missing"),
        ({"method": "sds", "options": {"times": "late"}}, "times is 'late', expected an object of"),
    ],
)
def test_settings_out_of_range_are_named(fields, complaint):
    with pytest.raises(ValueError, match=complaint):
        PictureSettings(**{"prompt": "a cat", **fields})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"options": {"reading": "nearest"}}, "dsd.reading is 'nearest'"),
        ({"steering": Steering(k=2.0, method="nns")}, "distillation takes no sampler's steps"),
        ({"guidance": float("inf")}, "dsd.guidance is inf"),
    ],
)
def test_options_that_a_method_cannot_take_are_named_before_any_prediction(prior, monkeypatch, fields, complaint):
    monkeypatch.setattr(prior.unet, "forward", None)
    with pytest.raises(ValueError, match=complaint):
        PictureTrainer(settings_of(**fields), prior, {})
