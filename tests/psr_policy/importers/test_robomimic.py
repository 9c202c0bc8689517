"""robomimic checkpoints: its inverse normaliser, its order of observations, its averaged weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from psr_policy.importers.foreign import STEP_PERIOD_UNKNOWN, to_native
from psr_policy.importers.formats import open_source, read
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.comparison import actions, eps
from tests.psr_policy.importers.writers import write_robomimic


def load(path):
    return read(open_source(path))


class TestRoundTrip:
    def test_predicts_and_samples_the_same(self, tmp_path):
        policy = tiny_policy()
        imported = to_native(load(write_robomimic(tmp_path / "p.pth", policy)))
        torch.testing.assert_close(eps(imported), eps(policy), rtol=0, atol=1e-6)
        torch.testing.assert_close(actions(imported), actions(policy), rtol=0, atol=2e-6)
        assert imported.config.obs_keys == policy.config.obs_keys
        assert imported.config.network_options == policy.config.network_options

    def test_without_statistics_of_observations_they_pass_as_they_are(self, tmp_path):
        policy = tiny_policy()
        foreign = load(write_robomimic(tmp_path / "p.pth", policy, normalized_obs=False))
        obs = torch.randn(3, 2, 5)
        assert torch.equal(to_native(foreign).normalizer.obs.normalize(obs), obs)
        assert any("no statistics" in note for note in foreign.notes)

    def test_actions_are_raw_scale_times_normalised_plus_offset(self, tmp_path):
        scale, offset = np.linspace(0.1, 3, 10), np.linspace(-4, 4, 10)
        stats = {"actions": {"scale": [scale.tolist()], "offset": [offset.tolist()]}}
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), lambda p: p.update(action_normalization_stats=stats))
        policy = to_native(load(path))
        normalised = torch.linspace(-1, 1, 5)[:, None].expand(5, 10)
        raw = policy.normalizer.action.unnormalize(normalised).numpy()
        np.testing.assert_allclose(raw, normalised.numpy() * scale + offset, atol=1e-6)
        np.testing.assert_allclose(policy.action_low, offset - scale, atol=1e-6)
        np.testing.assert_allclose(policy.action_high, offset + scale, atol=1e-6)


class TestWhatIsRead:
    def test_observations_in_sorted_order_whatever_the_configuration_lists(self, tmp_path):
        keys = (("a_last", 2), ("b_middle", 1), ("z_first", 2))
        policy = tiny_policy(obs_keys=keys)
        assert load(write_robomimic(tmp_path / "p.pth", policy)).config["obs_keys"] == keys

    def test_plain_weights_where_no_average_was_kept(self, tmp_path):
        path = write_robomimic(
            tmp_path / "p.pth", tiny_policy(), change_config=lambda c: c["algo"]["ema"].update(enabled=False)
        )
        assert all((tensor == 0).all() for tensor in load(path).weights.values())

    def test_its_origin_and_control_rate(self, tmp_path):
        foreign = load(write_robomimic(tmp_path / "p.pth", tiny_policy()))
        expected = {"task": "Lift", "sampler": "ddim", "num_inference_steps": 10, "epoch": 600, "seed": 7, "ema": True}
        assert expected.items() <= foreign.origin.items()
        assert foreign.config["step_period"] == 0.05
        assert STEP_PERIOD_UNKNOWN not in foreign.notes

    def test_no_control_rate_is_said(self, tmp_path):
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), lambda payload: payload.pop("env_metadata"))
        assert STEP_PERIOD_UNKNOWN in load(path).notes

    def test_statistics_of_the_older_kind(self, tmp_path):
        stats = {
            "object": {"mean": [[1.0, 2.0, 3.0]], "std": [[1.0, 2.0, 4.0]]},
            "robot0_eef_pos": {"mean": [[0.0, -1.0]], "std": [[0.5, 0.25]]},
        }
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), lambda p: p.update(obs_normalization_stats=stats))
        field = to_native(load(path)).normalizer.obs
        normalised = field.normalize(torch.tensor([2.0, 0.0, 3.0, 1.0, -1.0]))
        torch.testing.assert_close(normalised, torch.tensor([1.0, -1.0, 0.0, 2.0, 0.0]))

    def test_an_action_of_several_parts(self, tmp_path):
        parts = {"action/pos": 3, "action/rot_6d": 6, "action/gripper": 1}

        def change(payload):
            one = {key: {"scale": [[1.0] * size], "offset": [[0.5] * size]} for key, size in parts.items()}
            payload["action_normalization_stats"] = one

        def change_config(config):
            formats = {"action/rot_6d": {"normalization": None, "format": "rot_6d"}}
            config["train"].update(action_keys=list(parts), action_config=formats)

        foreign = load(write_robomimic(tmp_path / "p.pth", tiny_policy(), change, change_config))
        names = foreign.config["action_names"]
        assert (names[0], names[3], names[9]) == ("pos_0", "rot_6d_0", "gripper_0")
        assert any("action/rot_6d" in note for note in foreign.notes)

    def test_numpy_scalars_beside_the_policy_do_not_matter(self, tmp_path):
        best = {"epoch": 3, "best_valid_loss": np.float64(0.5)}
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), lambda p: p.update(variable_state=best))
        assert load(path).origin["epoch"] == 3


class TestCannotBeRepresented:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda p: p.update(algo_name="bc"), "file.algo_name is 'bc', expected 'diffusion_policy'"),
            (lambda p: p.update(config="{"), "config is not readable JSON"),
            (lambda p: p.update(config="[]"), "config.algo.unet.enabled is missing"),
            (lambda p: p["model"].update(ema=None), "file.model.ema is None, expected weights, as config.algo.ema"),
            (lambda p: p["model"]["ema"].clear(), "down_modules.0.0.blocks.0.block.0.weight is missing"),
            (lambda p: p["model"]["ema"].update({"policy.obs_encoder.nets.0.weight": torch.zeros(3)}), "obs_encoder"),
            (lambda p: p["shape_metadata"]["all_shapes"].update(object=[3, 84, 84]), r"all_shapes.object is \[3, 84"),
            (lambda p: p["shape_metadata"]["all_shapes"].pop("object"), "all_shapes.object is None, expected one size"),
            (lambda p: p["action_normalization_stats"]["actions"].pop("offset"), "actions.offset is None"),
            (lambda p: p["action_normalization_stats"]["actions"].update(scale=[[0.0] * 10]), "a scale of zero"),
            (
                lambda p: p["obs_normalization_stats"]["object"].update(scale=[[1.0]]),
                "object.scale is .* of 3 numbers",
            ),
            (
                lambda p: p["action_normalization_stats"]["actions"].update(offset="x"),
                "actions.offset is 'x', expected",
            ),
        ],
    )
    def test_names_what_is_wrong(self, tmp_path, change, told):
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), change)
        with pytest.raises(ValueError, match=told) as error:
            to_native(load(path))
        assert str(path) in str(error.value)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda c: c["observation"]["modalities"]["obs"].update(rgb=["agentview_image"]), "agentview_image"),
            (lambda c: c["observation"]["modalities"].update(goal={"low_dim": ["object"]}), "goal.low_dim is"),
            (lambda c: c["algo"]["unet"].update(enabled=False), "config.algo.unet.enabled is False, expected True"),
            (lambda c: c["algo"].update(language_conditioned=True), "config.algo.language_conditioned is True"),
            (lambda c: c["algo"]["ddim"].update(enabled=False), "config.algo.ddpm.enabled is False, expected true, or"),
            (lambda c: c["algo"]["ddim"].update(steps_offset=1), "config.algo.ddim.steps_offset is 1, expected 0"),
            (lambda c: c["algo"]["horizon"].pop("action_horizon"), "config.algo.horizon.action_horizon is missing"),
            (lambda c: c["train"].update(action_keys="actions"), "config.train.action_keys is 'actions', expected a l"),
        ],
    )
    def test_names_the_field_of_the_configuration(self, tmp_path, change, told):
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), change_config=change)
        with pytest.raises(ValueError, match=told) as error:
            to_native(load(path))
        assert str(path) in str(error.value)

    def test_the_configuration_stays_json(self, tmp_path):
        """What the writer of these tests makes of a policy is what the importer takes: text, not objects."""
        payload = open_source(write_robomimic(tmp_path / "p.pth", tiny_policy())).payload
        assert json.loads(payload["config"])["algo"]["ddim"]["enabled"] is True
