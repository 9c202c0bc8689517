"""Diffusion Policy checkpoints: the way in bit for bit, what is read, and what cannot be represented."""

from __future__ import annotations

import pytest
import torch

from psr_policy.importers.foreign import to_native
from psr_policy.importers.formats import open_source, read
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.chi_writer import write_chi
from tests.psr_policy.importers.comparison import actions, eps

NETWORKS = ["unet", "transformer"]


def convert(path):
    return to_native(read(open_source(path)))


class TestRoundTrip:
    @pytest.mark.parametrize("network", NETWORKS)
    def test_predicts_and_samples_the_same_bits(self, tmp_path, network):
        policy = tiny_policy(network)
        imported = convert(write_chi(tmp_path / "p.ckpt", policy))
        assert torch.equal(eps(imported), eps(policy))
        assert torch.equal(actions(imported), actions(policy))

    @pytest.mark.parametrize(
        ("network", "changes"),
        [
            ("unet", {"horizon": 12, "n_obs_steps": 3, "n_action_steps": 5}),
            ("unet", {"beta_schedule": "linear", "prediction_type": "sample", "clip_sample": False}),
            ("transformer", {"horizon": 10, "n_obs_steps": 1, "n_action_steps": 10}),
        ],
    )
    def test_keeps_timing_and_schedule(self, tmp_path, network, changes):
        policy = tiny_policy(network, **changes)
        imported = convert(write_chi(tmp_path / "p.ckpt", policy))
        names = ("obs_keys", "action_names")
        expected, found = ({k: v for k, v in p.config.to_dict().items() if k not in names} for p in (policy, imported))
        assert found == expected

    def test_latency_steps_count_as_the_reference_counts_them(self, tmp_path):
        path = write_chi(
            tmp_path / "p.ckpt", tiny_policy(), lambda cfg: cfg.update(n_action_steps=3, n_latency_steps=2)
        )
        foreign = read(open_source(path))
        assert to_native(foreign).config.n_action_steps == 5
        assert any("2 steps of latency" in note for note in foreign.notes)


class TestWhatIsRead:
    def test_the_plain_weights_where_no_average_was_kept(self, tmp_path):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), lambda cfg: cfg["training"].update(use_ema=False))
        weights = read(open_source(path)).weights
        assert all((tensor == 0).all() for tensor in weights.values())

    def test_its_origin(self, tmp_path):
        says = read(open_source(write_chi(tmp_path / "p.ckpt", tiny_policy()))).origin
        expected = {"epoch": 26, "global_step": 26, "task": "made_up_lowdim", "num_inference_steps": 100, "ema": True}
        assert expected.items() <= says.items()

    def test_numbers_without_names_become_one_feature(self, tmp_path):
        config = read(open_source(write_chi(tmp_path / "p.ckpt", tiny_policy()))).config
        assert config["obs_keys"] == (("obs", 5),)
        assert config["action_names"][:2] == ("action_0", "action_1")

    def test_names_of_robosuite_tasks(self, tmp_path):
        keys = (("object", 10), ("robot0_eef_pos", 3), ("robot0_eef_quat", 4), ("robot0_gripper_qpos", 2))
        policy = tiny_policy(obs_keys=keys)
        task = {"obs_keys": [name for name, _ in keys], "abs_action": True}
        foreign = read(open_source(write_chi(tmp_path / "p.ckpt", policy, lambda cfg: cfg["task"].update(task))))
        config = foreign.config
        assert any("object:10" in note for note in foreign.notes)
        assert config["obs_keys"] == keys
        assert config["action_names"] == policy.config.action_names

    def test_the_tensors_outlive_the_file(self, tmp_path):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy())
        foreign = read(open_source(path))
        path.write_bytes(bytes(path.stat().st_size))
        assert torch.equal(eps(to_native(foreign)), eps(tiny_policy()))


class TestReferences:
    def told(self, tmp_path, change, *told):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), change)
        with pytest.raises(ValueError) as error:
            read(open_source(path))
        for text in ("p.ckpt", *told):
            assert text in str(error.value)

    @pytest.mark.parametrize(
        "text", ["${eval:'4+4'}", "${eval:${horizon}*2}", "${oc.env:HOME}", "x${horizon}", "${a..b}"]
    )
    def test_an_expression_is_refused_where_its_value_is_needed(self, tmp_path, text):
        self.told(tmp_path, lambda cfg: cfg["policy"].update(horizon=text), "cfg.policy.horizon", text, "not evaluated")

    def test_elsewhere_it_does_not_matter(self, tmp_path):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), lambda cfg: cfg["task"].update(name="${eval:'1/0'}"))
        assert "task" not in read(open_source(path)).origin

    def test_that_leads_nowhere(self, tmp_path):
        self.told(tmp_path, lambda cfg: cfg.pop("horizon"), "cfg.horizon is missing")

    def test_that_leads_back_to_itself(self, tmp_path):
        self.told(tmp_path, lambda cfg: cfg.update(horizon="${policy.horizon}"), "does not lead back to itself")

    def test_through_a_reference_to_a_group(self, tmp_path):
        def change(cfg):
            cfg["shared"] = cfg["policy"]["model"]
            cfg["policy"]["model"] = "${shared}"

        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), change)
        assert torch.equal(eps(convert(path)), eps(tiny_policy()))


class TestCannotBeRepresented:
    @pytest.mark.parametrize(
        ("network", "group", "fields", "told"),
        [
            ("unet", "policy", {"obs_as_local_cond": True}, "cfg.policy.obs_as_local_cond is True, expected False"),
            ("unet", "policy", {"obs_as_global_cond": False}, "cfg.policy.obs_as_global_cond is False, expected True"),
            ("unet", "policy", {"oa_step_convention": False}, "cfg.policy.oa_step_convention is False, expected True"),
            ("unet", "policy", {"pred_action_steps_only": True}, "cfg.policy.pred_action_steps_only is True"),
            ("unet", "policy", {"past_action": 3}, "cfg.policy.past_action = 3 is not known"),
            ("unet", "policy", {"_target_": "d.DiffusionUnetHybridImagePolicy"}, "DiffusionUnetHybridImagePolicy"),
            ("unet", "policy", {"horizon": 7}, "horizon is 7, expected a multiple of 2"),
            ("unet", "policy", {"horizon": "8"}, "cfg.policy.horizon is '8', expected an integer"),
            ("transformer", "policy", {"obs_as_cond": False}, "cfg.policy.obs_as_cond is False, expected True"),
            ("transformer", "policy.model", {"time_as_cond": False}, "cfg.policy.model.time_as_cond is False"),
            ("unet", "policy.model", {"down_dims": [8, "16"]}, r"cfg.policy.model.down_dims is \[8, '16'\]"),
            (
                "unet",
                "policy.model",
                {"cond_predict_scale": 1},
                "cfg.policy.model.cond_predict_scale is 1, expected true",
            ),
            ("unet", "policy.model", {"kernel_size": 5}, r"model.down_modules.0.0.* has shape .*, expected"),
            ("unet", "policy.model", {"n_groups": 3}, "down_dims is .*, expected multiples of n_groups = 3"),
            (
                "unet",
                "policy.noise_scheduler",
                {"variance_type": "learned"},
                "variance_type is 'learned', expected 'fix",
            ),
            ("unet", "policy.noise_scheduler", {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
            ("unet", "policy.noise_scheduler", {"thresholding": True}, "noise_scheduler.thresholding is True"),
            (
                "unet",
                "policy.noise_scheduler",
                {"_target_": "k.EulerDiscreteScheduler"},
                "expected one of: DDPMScheduler",
            ),
            ("unet", "policy.noise_scheduler", {"churn": 1}, "cfg.policy.noise_scheduler.churn = 1 is not known"),
            ("unet", "policy.model", {"attention": True}, "cfg.policy.model.attention = True is not known"),
            ("transformer", "policy.model", {"rope": True}, "cfg.policy.model.rope = True is not known"),
            ("unet", "policy.noise_scheduler", {"clip_sample_range": 2.0}, "clip_sample_range is 2.0, expected 1.0"),
            ("unet", "policy.noise_scheduler", {"beta_schedule": "linear", "beta_end": 0.1}, "beta_end is 0.1"),
            ("unet", "training", {"use_ema": "yes"}, "cfg.training.use_ema is 'yes', expected true or false"),
        ],
    )
    def test_names_field_value_and_what_was_expected(self, tmp_path, network, group, fields, told):
        def change(cfg):
            for name in group.split("."):
                cfg = cfg[name]
            cfg.update(fields)

        path = write_chi(tmp_path / "p.ckpt", tiny_policy(network), change)
        with pytest.raises(ValueError, match=told) as error:
            convert(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize(
        "name", ["horizon", "model", "noise_scheduler", "_target_", "obs_dim", "oa_step_convention"]
    )
    def test_a_missing_field_is_not_guessed(self, tmp_path, name):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), lambda cfg: cfg["policy"].pop(name))
        with pytest.raises(ValueError, match=rf"cfg.policy.{name}(.\w+)? is (missing|False)"):
            convert(path)


class TestUnfitTensors:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda s: s.pop("model.final_conv.1.bias"), "model.final_conv.1.bias is missing"),
            (
                lambda s: s.update({"model.local_cond_encoder.0.bias": torch.zeros(3)}),
                "local_cond_encoder.0.bias is unex",
            ),
            (lambda s: s["model.final_conv.1.bias"].fill_(float("nan")), "model.final_conv.1.bias holds NaN"),
            (lambda s: s.update({"model.final_conv.1.bias": torch.zeros(3)}), r"has shape \(3,\), expected \(10,\)"),
            (lambda s: s.update({"model.final_conv.1.bias": torch.zeros(10, dtype=torch.int64)}), "type torch.int64"),
            (lambda s: s.update({"model.final_conv.1.bias": 3}), "model.final_conv.1.bias is missing"),
            (lambda s: s.pop("normalizer.params_dict.action.scale"), "action.scale is missing; without its normaliser"),
            (lambda s: s.pop("normalizer.params_dict.obs.input_stats.max"), "obs.input_stats.max is missing"),
            (lambda s: s["normalizer.params_dict.obs.scale"].zero_(), "normaliser of obs: scale is zero"),
            (lambda s: s["normalizer.params_dict.obs.input_stats.std"].fill_(float("inf")), "obs.std holds NaN or inf"),
        ],
    )
    def test_are_named(self, tmp_path, change, told):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), change_state=change)
        with pytest.raises(ValueError, match=told) as error:
            convert(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize(
        "change",
        [
            lambda s: s["model.mask"].zero_(),
            lambda s: s.update({"model.memory_mask": torch.zeros(2, 2)}),
            lambda s: s.pop("model.mask"),
        ],
    )
    def test_attention_other_than_the_references(self, tmp_path, change):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy("transformer"), change_state=change)
        with pytest.raises(ValueError, match=r"model\.(memory_)?mask is not the mask"):
            convert(path)

    def test_weights_that_the_configuration_asks_for_and_are_not_there(self, tmp_path):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy())
        payload = open_source(path)
        del payload.payload["state_dicts"]["ema_model"]
        with pytest.raises(ValueError, match="state_dicts.ema_model is missing, which cfg.training.use_ema asks for"):
            read(payload)
