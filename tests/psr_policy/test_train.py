"""Trainer: it learns, it averages, it is told wrong settings, and it repeats itself exactly."""

from __future__ import annotations

import math

import pytest
import torch

from psr_core.training import ema_decay, parameter_groups
from psr_policy.dataset import load_demonstrations
from psr_policy.train import PolicyTrainSettings, Trainer

KEYS = ("object", "robot0_eef_pos")
QUICK = {"steps": 40, "batch_size": 16, "lr": 3e-3, "warmup_steps": 4}


@pytest.fixture
def make_trainer(demos, tiny_config):
    def make(network: str = "unet", config=None, **settings) -> Trainer:
        train, valid = (load_demonstrations(demos, KEYS, split) for split in ("train", "valid"))
        return Trainer(config or tiny_config(network), PolicyTrainSettings(**{**QUICK, **settings}), train, valid)

    return make


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [t.clone() for t in (*trainer.policy.state_dict().values(), *trainer.averaged.state_dict().values())]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


class TestLearning:
    @pytest.mark.parametrize("network", ["unet", "transformer"])
    def test_the_loss_falls(self, make_trainer, network):
        trainer = make_trainer(network, steps=150)
        losses = [trainer.train_step() for _ in range(150)]
        assert sum(losses[-20:]) < 0.9 * sum(losses[:20])

    @pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
    def test_the_target_is_what_the_sampler_expects(self, make_trainer, tiny_config, prediction_type):
        """With the true answer for a network, the loss is zero: the scheduler turns its prediction into the actions."""
        trainer = make_trainer(config=tiny_config(prediction_type=prediction_type))
        obs, actions = trainer.train_data.batch(torch.arange(4))

        class Oracle(torch.nn.Module):
            def forward(self, noised, timesteps, condition):
                alpha_bar = trainer.alphas_cumprod[timesteps][:, None, None]
                noise = (noised - alpha_bar.sqrt() * actions) / (1 - alpha_bar).sqrt()
                velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * actions
                return {"epsilon": noise, "sample": actions, "v_prediction": velocity}[prediction_type]

        assert trainer._loss(Oracle(), obs, actions).item() < 1e-4

    def test_every_window_is_learned_from(self, make_trainer, monkeypatch):
        trainer = make_trainer(batch_size=4)
        count, seen, batch_loss = len(trainer.train_data.index), [], trainer.batch_loss

        def watched(index):
            seen.extend(index.tolist())
            return batch_loss(index)

        monkeypatch.setattr(trainer, "batch_loss", watched)
        for _ in range(count // 4):
            trainer.train_step()
        assert len(set(seen)) == len(seen) == count // 4 * 4

    def test_a_loss_that_is_not_finite_stops_the_run(self, make_trainer):
        trainer = make_trainer()
        trainer.train_data.actions.fill_(1e30)
        before = weights(trainer)
        with pytest.raises(ValueError, match=r"loss is (inf|nan) at step 0; train again with a smaller lr"):
            trainer.train_step()
        assert same(weights(trainer), before)

    def test_gradients_are_clipped_when_asked(self, make_trainer):
        free, clipped = make_trainer(), make_trainer(grad_clip=1e-3)
        for trainer in (free, clipped):
            trainer.train_step()
        norms = [
            math.sqrt(sum(float(p.grad.square().sum()) for p in t.policy.model.parameters())) for t in (free, clipped)
        ]
        assert norms[0] > 1e-2
        assert norms[1] == pytest.approx(1e-3, rel=1e-3)


class TestRepeatable:
    def test_the_same_seed_gives_the_same_bits_and_another_others(self, make_trainer):
        first, second, other = make_trainer(), make_trainer(), make_trainer(seed=1)
        for trainer in (first, second, other):
            for _ in range(3):
                trainer.train_step()
            torch.rand(5)  # what others draw in between does not matter
        assert same(weights(first), weights(second))
        assert not same(weights(first), weights(other))

    # The transformer has dropout, whose random numbers must be resumed too.
    @pytest.mark.parametrize("network", ["unet", "transformer"])
    def test_a_resumed_run_equals_an_uninterrupted_one(self, make_trainer, network):
        whole, first_part, second_part = (make_trainer(network) for _ in range(3))
        for _ in range(12):
            whole.train_step()
        for _ in range(5):
            first_part.train_step()
        second_part.resume(first_part.state())
        first_part.validation_loss()
        for _ in range(7):
            second_part.train_step()
        assert second_part.step == 12
        assert same(weights(whole), weights(second_part))

    def test_validation_does_not_disturb_and_repeats(self, make_trainer):
        plain, watched = make_trainer(), make_trainer()
        for _ in range(3):
            plain.train_step()
            watched.train_step()
            assert watched.validation_loss() == watched.validation_loss()
        assert same(weights(plain), weights(watched))


class TestSchedule:
    def test_warms_up_and_falls_to_zero(self, make_trainer):
        trainer = make_trainer(steps=100, warmup_steps=10, lr=1.0)
        rates = []
        for trainer.step in range(101):
            rates.append(trainer.learning_rate())
        assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
        assert rates[10] == max(rates) == 1.0
        assert rates[55] == pytest.approx(0.5)
        assert rates[100] == pytest.approx(0.0)

    def test_average_follows_its_decay(self, make_trainer):
        trainer = make_trainer()
        for _ in range(3):
            trainer.train_step()
        before = [p.clone() for p in trainer.averaged.model.parameters()]
        decay = ema_decay(3, trainer.settings.ema_power, trainer.settings.ema_max)
        trainer.train_step()
        pairs = zip(before, trainer.averaged.model.parameters(), trainer.policy.model.parameters(), strict=True)
        for old, new, current in pairs:
            torch.testing.assert_close(new, decay * old + (1 - decay) * current)

    def test_positions_and_biases_do_not_decay(self, make_trainer):
        model = make_trainer("transformer").policy.model
        decayed, kept = (group["params"] for group in parameter_groups(model, 0.1))
        assert {id(model.pos_emb), id(model.cond_pos_emb), id(model.head.bias)} <= {id(p) for p in kept}
        assert id(model.head.weight) in {id(p) for p in decayed}


class TestValidation:
    def test_is_none_without_held_out_episodes(self, demos, tiny_config):
        trainer = Trainer(tiny_config(), PolicyTrainSettings(**QUICK), load_demonstrations(demos, KEYS))
        assert trainer.validation_loss() is None
        assert trainer.sample_obs(5).shape == (5, 2, 5)

    def test_sample_obs_are_raw_observations(self, make_trainer, demos):
        valid = load_demonstrations(demos, KEYS, "valid")
        torch.testing.assert_close(make_trainer().sample_obs()[0, 0], valid.obs[0])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": 0}, "steps is 0, expected an integer >= 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"warmup_steps": -1}, "warmup_steps is -1, expected an integer >= 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"grad_clip": -1.0}, "grad_clip is -1.0"),
        ({"weight_decay": float("inf")}, "weight_decay is inf"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(changes, told):
    with pytest.raises(ValueError, match=told):
        PolicyTrainSettings(**changes)
