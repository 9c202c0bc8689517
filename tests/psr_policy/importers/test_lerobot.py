"""LeRobot folders: both layouts of the statistics, its modes, and dimensions that never moved."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from psr_policy.importers.foreign import to_native
from psr_policy.importers.formats import open_source, read
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.comparison import actions, eps, raw_obs
from tests.psr_policy.importers.writers import write_lerobot

KEYS = (("observation.state", 2), ("observation.environment_state", 3))
MIN_MAX = {"STATE": "MIN_MAX", "ENV": "MIN_MAX", "ACTION": "MIN_MAX", "VISUAL": "MEAN_STD"}
MEAN_STD = {"STATE": "MEAN_STD", "ENV": "MEAN_STD", "ACTION": "MIN_MAX"}
LAYOUTS = pytest.mark.parametrize("old", [False, True], ids=["new", "old"])


def lerobot_policy(**changes):
    """A policy whose ranges are powers of two, so that its normaliser is the same in every order of arithmetic."""
    policy = tiny_policy(obs_keys=KEYS, **changes)
    for field in (policy.normalizer.obs, policy.normalizer.action):
        low = -torch.arange(len(field.scale)) / 4 - 0.5
        field.min.copy_(low)
        field.max.copy_(low + 4)
        field.scale.fill_(0.5)
        field.offset.copy_(-1 - low / 2)
    return policy


def statistics(policy, names=("min", "max", "mean", "std")):
    """Those the policy was fitted to, by feature."""
    found, start = {}, 0
    for key, size in KEYS:
        part = slice(start, start + size)
        found[key] = {name: getattr(policy.normalizer.obs, name)[part].clone() for name in names}
        start += size
    found["action"] = {name: getattr(policy.normalizer.action, name).clone() for name in names}
    return found


def load(folder):
    return to_native(read(open_source(folder)))


def edit(path, change):
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))


class TestRoundTrip:
    @LAYOUTS
    def test_predicts_and_samples_the_same(self, tmp_path, old):
        policy = lerobot_policy()
        names = ("min", "max") if old else ("min", "max", "mean", "std")
        imported = load(write_lerobot(tmp_path / "p", policy, statistics(policy, names), MIN_MAX, old))
        assert imported.config.obs_keys == KEYS
        torch.testing.assert_close(eps(imported), eps(policy), rtol=0, atol=1e-6)
        torch.testing.assert_close(actions(imported), actions(policy), rtol=0, atol=2e-6)
        assert (imported.action_low == policy.action_low).all() and (imported.action_high == policy.action_high).all()

    def test_sizes_and_timing(self, tmp_path):
        policy = lerobot_policy(horizon=12, n_obs_steps=3, n_action_steps=5, prediction_type="sample")
        imported = load(write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX))
        names = ("action_names", "step_period")
        expected, found = ({k: v for k, v in p.config.to_dict().items() if k not in names} for p in (policy, imported))
        assert found == expected
        assert imported.config.step_period == 0.1

    def test_marks_of_a_compiled_network_are_dropped(self, tmp_path):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX)
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        compiled = {name.replace("unet.", "unet._orig_mod."): tensor for name, tensor in tensors.items()}
        safetensors.torch.save_file(compiled, folder / "model.safetensors")
        torch.testing.assert_close(eps(load(folder)), eps(policy), rtol=0, atol=1e-6)


class TestNormalisation:
    @LAYOUTS
    def test_mean_and_deviation_of_observations(self, tmp_path, old):
        policy = lerobot_policy()
        stats = statistics(policy)
        if old:
            stats = {
                key: {n: t for n, t in s.items() if (n in ("mean", "std")) != (key == "action")}
                for key, s in stats.items()
            }
        imported = load(write_lerobot(tmp_path / "p", policy, stats, MEAN_STD, old))
        obs, field = raw_obs(policy), policy.normalizer.obs
        expected = (obs - field.mean) / (field.std + 1e-8)
        torch.testing.assert_close(imported.normalizer.obs.normalize(obs), expected, rtol=0, atol=1e-6)

    def test_a_type_without_a_mode_passes_as_it_is(self, tmp_path):
        policy = lerobot_policy()
        imported = load(
            write_lerobot(tmp_path / "p", policy, statistics(policy), {"STATE": "MIN_MAX", "ACTION": "MIN_MAX"})
        )
        obs = raw_obs(policy)
        normalised = imported.normalizer.obs.normalize(obs)
        assert torch.equal(normalised[..., 2:], obs[..., 2:])
        assert not torch.equal(normalised[..., :2], obs[..., :2])

    def test_the_old_layout_widens_small_ranges_as_it_did_in_training(self, tmp_path):
        policy = lerobot_policy()
        stats = statistics(policy, ("min", "max"))
        stats["observation.state"] = {"min": torch.zeros(2), "max": torch.full((2,), 1e-7)}
        scales = {
            old: load(write_lerobot(tmp_path / str(old), policy, stats, MIN_MAX, old)).normalizer.obs.scale[0].item()
            for old in (False, True)
        }
        assert scales[False] == pytest.approx(2 / 1e-7, rel=1e-5)
        assert scales[True] == pytest.approx(2 / (1e-7 + 1e-8), rel=1e-5)

    def test_standard_scores_with_clipped_samples_are_pointed_out(self, tmp_path):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), {**MIN_MAX, "ACTION": "MEAN_STD"})
        assert any("clip_sample" in note for note in read(open_source(folder)).notes)
        imported, field = load(folder), policy.normalizer.action
        normalised = torch.randn(6, 10)
        expected = normalised * field.std + field.mean
        torch.testing.assert_close(imported.normalizer.action.unnormalize(normalised), expected, rtol=0, atol=1e-6)


class TestDimensionsThatNeverMoved:
    @LAYOUTS
    @pytest.mark.parametrize("value", [0.0, 0.3, -17.25, 1234.5])
    def test_observed_they_are_exactly_minus_one(self, tmp_path, old, value):
        policy = lerobot_policy()
        stats = statistics(policy, ("min", "max"))
        for name in ("min", "max"):
            stats["observation.state"][name][1] = value
        field = load(write_lerobot(tmp_path / "p", policy, stats, MIN_MAX, old)).normalizer.obs
        normalised = field.normalize(torch.tensor([0.0, value, 0.0, 0.0, 0.0]))
        assert normalised[1] == -1
        assert field.min[1] == field.max[1] == field.mean[1] == torch.tensor(value)

    @pytest.mark.parametrize("value", [0.0, 0.3, -17.25, 1234.5])
    def test_acted_they_are_their_value_whatever_the_network_says(self, tmp_path, value):
        policy = lerobot_policy()
        stats = statistics(policy)
        for name in ("min", "max", "mean"):
            stats["action"][name][4] = value
        imported = load(write_lerobot(tmp_path / "p", policy, stats, MIN_MAX))
        raw = imported.normalizer.action.unnormalize(torch.linspace(-1, 1, 9)[:, None].expand(9, 10))
        # LeRobot: (y + 1) / 2 * 1e-8 + min
        torch.testing.assert_close(raw[:, 4], torch.full((9,), value), rtol=1.2e-7, atol=1e-8)

    def test_a_deviation_of_zero_reads_as_the_mean(self, tmp_path):
        policy = lerobot_policy()
        stats = statistics(policy)
        stats["observation.state"]["std"][0] = 0
        field = load(write_lerobot(tmp_path / "p", policy, stats, MEAN_STD)).normalizer.obs
        assert field.normalize(field.mean)[0] == 0


class TestWhatIsRead:
    def test_its_origin(self, tmp_path):
        policy = lerobot_policy()
        foreign = read(open_source(write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX)))
        expected = {"data": "lerobot/made_up", "licence": "apache-2.0", "planned_steps": 200000, "sampler": "DDPM"}
        assert expected.items() <= foreign.origin.items()


class TestCannotBeRepresented:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda c: c.update(type="act"), "config.type is 'act', expected 'diffusion'"),
            (lambda c: c.pop("horizon"), "config.horizon is missing"),
            (lambda c: c["input_features"].update({"observation.images.top": {"type": "VISUAL"}}), "images.top"),
            (lambda c: c["input_features"].pop("observation.state"), "observation.state among them"),
            (
                lambda c: c["input_features"]["observation.state"].update(shape=[3, 4]),
                r"config.input_features.obs.*\[3, 4",
            ),
            (lambda c: c["output_features"].pop("action"), "config.output_features.action is None"),
            (lambda c: c.update(clip_sample_range=3.0), "config.clip_sample_range is 3.0, expected 1.0"),
            (lambda c: c.update(down_dims=[16, 8]), r"weights do not fit .*has shape"),
            (lambda c: c.update(n_action_steps=64), "n_action_steps is 64, expected at most"),
        ],
    )
    def test_names_the_field(self, tmp_path, change, told):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX, change=change)
        with pytest.raises(ValueError, match=told) as error:
            load(folder)
        assert str(folder) in str(error.value)

    @pytest.mark.parametrize("mode", ["QUANTILES", "QUANTILE10", "min_max", None])
    def test_names_the_mode(self, tmp_path, mode):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), {**MIN_MAX, "STATE": mode})
        with pytest.raises(
            ValueError, match=f"norm_map.STATE is {mode!r}, expected one of: IDENTITY, MIN_MAX, MEAN_STD"
        ):
            load(folder)

    @LAYOUTS
    def test_missing_statistics_are_not_passed_over(self, tmp_path, old):
        policy = lerobot_policy()
        stats = statistics(policy)
        del stats["observation.state"]["max"]
        folder = write_lerobot(tmp_path / "p", policy, stats, MIN_MAX, old)
        with pytest.raises(ValueError, match="no statistic max of observation.state, which MIN_MAX needs"):
            load(folder)

    def test_statistics_that_were_never_filled_in(self, tmp_path):
        policy = lerobot_policy()
        stats = statistics(policy)
        stats["action"]["max"].fill_(float("inf"))
        with pytest.raises(ValueError, match="statistic max of action is"):
            load(write_lerobot(tmp_path / "p", policy, stats, MIN_MAX, old=True))

    def test_a_processor_that_changes_numbers(self, tmp_path):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX)
        extra = {"registry_name": "delta_actions_processor", "config": {}}
        edit(folder / "policy_postprocessor.json", lambda c: c["steps"].append(extra))
        with pytest.raises(ValueError, match="step 'delta_actions_processor' might change numbers"):
            load(folder)

    def test_statistics_outside_the_folder(self, tmp_path):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX)
        edit(folder / "policy_preprocessor.json", lambda c: c["steps"][-1].update(state_file="../secret.safetensors"))
        with pytest.raises(ValueError, match="state_file is '../secret.safetensors', expected the name of a file in"):
            load(folder)

    def test_actions_without_bounds(self, tmp_path):
        policy = lerobot_policy(clip_sample=False)
        modes = {**MIN_MAX, "ACTION": "MEAN_STD"}
        stats = {**statistics(policy), "action": statistics(policy, ("mean", "std"))["action"]}
        with pytest.raises(ValueError, match="neither clip_sample nor statistics min and max bound the actions"):
            load(write_lerobot(tmp_path / "p", policy, stats, modes))

    @pytest.mark.parametrize(
        "name", ["policy_preprocessor.json", "policy_preprocessor_step_3_normalizer_processor.safetensors"]
    )
    def test_a_file_that_is_missing_or_damaged(self, tmp_path, name):
        policy = lerobot_policy()
        folder = write_lerobot(tmp_path / "p", policy, statistics(policy), MIN_MAX)
        (folder / name).write_bytes(b"{")
        with pytest.raises(ValueError, match=rf"{name} is (not readable JSON|truncated or damaged)"):
            load(folder)
        (folder / name).unlink()
        with pytest.raises(ValueError, match=f"has no {name}; copy the whole folder"):
            load(folder)
