"""Steered diffusers schedulers: identical at k = 1, right in distribution, stock on disk."""

import copy
import json
import pickle

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler

from psr_core.schedulers import steer
from psr_core.steering import Steering

CONFIG = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}
CLASSES = [DDIMScheduler, DDPMScheduler]
MEAN, SPREAD = 0.3, 0.2


def _prediction(scheduler, x, t):
    """What an ideal network would say for N(MEAN, SPREAD^2) data, in the scheduler's prediction type."""
    alpha_bar = scheduler.alphas_cumprod[t]
    alpha, sigma_t = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    eps = sigma_t * (x - alpha * MEAN) / (alpha_bar * SPREAD**2 + 1 - alpha_bar)
    x0 = MEAN + alpha * SPREAD**2 * (x - alpha * MEAN) / (alpha_bar * SPREAD**2 + 1 - alpha_bar)
    return {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - sigma_t * x0}[scheduler.config.prediction_type]


def _sample(scheduler, steps, n=20000, seed=0):
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, generator=generator)
    for t in scheduler.timesteps:
        x = scheduler.step(_prediction(scheduler, x, t), t, x, generator=generator).prev_sample
    return x


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
class TestSampling:
    def test_k_one_is_bit_identical_to_stock(self, cls, kind):
        stock = cls(**CONFIG, prediction_type=kind)
        steered = steer(stock, Steering(k=1.0, sigma=0.3))
        assert torch.equal(_sample(stock, 10, n=50), _sample(steered, 10, n=50))

    @pytest.mark.parametrize("k", [0.5, 4.0])
    def test_variance_is_divided_by_k_and_the_mean_stays(self, cls, kind, k):
        scheduler = steer(cls(**CONFIG, prediction_type=kind, clip_sample=False), Steering(k=k, sigma=SPREAD))
        x = _sample(scheduler, 100)
        assert x.mean().item() == pytest.approx(MEAN, abs=0.02)
        assert x.var().item() == pytest.approx(SPREAD**2 / k, rel=0.25)


class TestWrapper:
    @pytest.mark.parametrize("cls", CLASSES)
    def test_is_saved_as_the_stock_class(self, cls, tmp_path):
        steered = steer(cls(**CONFIG, prediction_type="v_prediction"), Steering(k=2))
        steered.save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "scheduler_config.json").read_text())
        assert saved["_class_name"] == cls.__name__
        loaded = cls.from_pretrained(tmp_path)
        assert type(loaded) is cls
        for name, value in {**CONFIG, "prediction_type": "v_prediction"}.items():
            assert loaded.config[name] == value

    def test_leaves_the_original_alone(self):
        stock = DDIMScheduler(**CONFIG)
        steer(stock, Steering(k=2))
        assert type(stock) is DDIMScheduler
        assert not hasattr(stock, "steering")

    def test_steering_again_replaces_the_dial(self):
        once = steer(DDIMScheduler(**CONFIG), Steering(k=2))
        twice = steer(once, Steering(k=4))
        reference = steer(DDIMScheduler(**CONFIG), Steering(k=4))
        assert torch.equal(_sample(twice, 10, n=50), _sample(reference, 10, n=50))
        assert once.steering.k == 2

    def test_dial_can_be_turned_between_calls(self):
        scheduler = steer(DDIMScheduler(**CONFIG), Steering())
        before = _sample(scheduler, 10, n=50)
        scheduler.steering = Steering(k=3, sigma=0.2)
        turned = _sample(scheduler, 10, n=50)
        scheduler.steering = Steering()
        assert not torch.equal(before, turned)
        assert torch.equal(before, _sample(scheduler, 10, n=50))

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
    def test_copies_and_pickles_stay_steered(self, duplicate):
        scheduler = steer(DDIMScheduler(**CONFIG), Steering(k=3, sigma=0.2))
        assert torch.equal(_sample(duplicate(scheduler), 10, n=50), _sample(scheduler, 10, n=50))

    def test_learned_variance_is_left_alone(self):
        stock = DDPMScheduler(**CONFIG, variance_type="learned_range")
        steered = steer(stock, Steering(k=3, sigma=0.2))
        x, eps, rest = torch.randn(3, 2, 4, 8, generator=torch.Generator().manual_seed(0))
        out = steered._steer(torch.cat([eps, rest], dim=1), 50, x)
        assert torch.equal(out[:, 4:], rest)
        assert (out[:, :4] / eps).std() < 1e-5

    def test_refuses_other_schedulers_by_name(self):
        with pytest.raises(TypeError, match="cannot steer EulerDiscreteScheduler; expected DDIMScheduler or DDPM"):
            steer(EulerDiscreteScheduler(), Steering())
