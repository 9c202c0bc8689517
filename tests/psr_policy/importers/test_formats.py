"""Which format a checkpoint has, saving in the native form, and what is told about each."""

from __future__ import annotations

import json

import pytest
import torch

from psr_core.files import file_sha256
from psr_policy.checkpoint import load_policy, read_description, save_policy
from psr_policy.importers.describe import as_text, describe
from psr_policy.importers.foreign import STEP_PERIOD_UNKNOWN, renamed
from psr_policy.importers.formats import open_source, read, save
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.chi_writer import write_chi
from tests.psr_policy.importers.comparison import eps
from tests.psr_policy.importers.test_lerobot import MIN_MAX, lerobot_policy, statistics
from tests.psr_policy.importers.writers import write_lerobot, write_robomimic

FOREIGN = ["chi", "robomimic", "lerobot"]


@pytest.fixture(params=[*FOREIGN, "native"])
def checkpoint(request, tmp_path):
    """(format, path, policy) of a sound checkpoint."""
    policy = lerobot_policy() if request.param == "lerobot" else tiny_policy()
    path = tmp_path / {"chi": "epoch=1.ckpt", "robomimic": "model.pth"}.get(request.param, "folder")
    if request.param == "chi":
        write_chi(path, policy)
    elif request.param == "robomimic":
        write_robomimic(path, policy)
    elif request.param == "lerobot":
        write_lerobot(path, policy, statistics(policy), MIN_MAX)
    else:
        save_policy(path, policy, {"command": "psr train policy"})
    return request.param, path, policy


class TestFormat:
    def test_is_seen_from_the_contents(self, checkpoint):
        format, path, _ = checkpoint
        assert open_source(path).format == format

    def test_another_one_than_asked_for_is_refused(self, checkpoint):
        format, path, _ = checkpoint
        other = "lerobot" if format == "chi" else "chi"
        with pytest.raises(ValueError, match=f"is a checkpoint of format {format}, not {other}; leave --format out"):
            open_source(path, other)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no checkpoint at .*nowhere"):
            open_source(tmp_path / "nowhere")

    def test_tensors_of_no_known_kind(self, tmp_path):
        torch.save({"weight": torch.zeros(1)}, tmp_path / "w.pt")
        with pytest.raises(ValueError, match=r"w.pt holds weight; expected cfg and state_dicts .*, or model, config"):
            open_source(tmp_path / "w.pt")

    def test_a_list_is_of_no_known_kind(self, tmp_path):
        torch.save([1], tmp_path / "w.pt")
        with pytest.raises(ValueError, match="w.pt holds list; expected"):
            open_source(tmp_path / "w.pt")

    def test_the_folder_above_lerobots(self, tmp_path):
        policy = lerobot_policy()
        write_lerobot(tmp_path / "run" / "pretrained_model", policy, statistics(policy), MIN_MAX)
        with pytest.raises(ValueError, match=r"run is no policy folder: .*; try .*run/pretrained_model"):
            open_source(tmp_path / "run")

    def test_a_layout_nobody_foresaw_is_a_known_error(self, tmp_path):
        path = write_robomimic(tmp_path / "p.pth", tiny_policy(), lambda p: p["model"].update(ema={3: None}))
        with pytest.raises(ValueError, match="p.pth is not laid out as a checkpoint of robomimic diffusion policy"):
            read(open_source(path))


class TestSave:
    @pytest.mark.parametrize("checkpoint", FOREIGN, indirect=True)
    def test_writes_what_loads_to_the_same_policy(self, checkpoint, tmp_path):
        _, path, policy = checkpoint
        saved = save(read(open_source(path)), tmp_path / "out", "psr convert A B")
        loaded = load_policy(tmp_path / "out")
        assert torch.equal(eps(loaded), eps(saved))
        torch.testing.assert_close(eps(loaded), eps(policy), rtol=0, atol=1e-6)

    def test_the_card_says_where_it_comes_from(self, tmp_path):
        path = write_chi(tmp_path / "epoch=26.ckpt", tiny_policy())
        save(read(open_source(path)), tmp_path / "out", "psr convert A B")
        card = read_description(tmp_path / "out")["card"]
        origin = card["converted_from"]
        assert card["command"] == "psr convert A B"
        assert (origin["format"], origin["name"], origin["sha256"]) == ("chi", "epoch=26.ckpt", file_sha256(path))
        assert origin["says"]["epoch"] == 26
        assert STEP_PERIOD_UNKNOWN in card["notes"]

    def test_does_not_overwrite_a_policy(self, tmp_path):
        foreign = read(open_source(write_chi(tmp_path / "p.ckpt", tiny_policy())))
        save(foreign, tmp_path / "out", "")
        with pytest.raises(FileExistsError, match="out holds a policy already"):
            save(foreign, tmp_path / "out", "")

    def test_native_ones_need_no_conversion(self, tmp_path):
        save_policy(tmp_path / "p", tiny_policy(), {})
        with pytest.raises(ValueError, match="is in the native form already"):
            read(open_source(tmp_path / "p"))


class TestNames:
    @pytest.fixture
    def foreign(self, tmp_path):
        return read(open_source(write_chi(tmp_path / "p.ckpt", tiny_policy())))

    def test_of_ones_own_replace_the_files(self, foreign):
        names = tuple("abcdefghij")
        config = renamed(foreign, (("keypoint", 4), ("agent", 1)), names, 0.1).config
        assert config["obs_keys"] == (("keypoint", 4), ("agent", 1))
        assert (config["action_names"], config["step_period"]) == (names, 0.1)

    def test_a_step_period_settles_the_note(self, foreign):
        assert STEP_PERIOD_UNKNOWN in renamed(foreign).notes
        assert STEP_PERIOD_UNKNOWN not in renamed(foreign, step_period=0.1).notes

    def test_must_cover_the_numbers_there_are(self, foreign):
        with pytest.raises(ValueError, match="obs keys name 4 numbers, but one observation of .*p.ckpt has 5"):
            renamed(foreign, obs_keys=(("keypoint", 4),))
        with pytest.raises(ValueError, match="2 action names, but one action of .*p.ckpt has 10 numbers"):
            renamed(foreign, action_names=("x", "y"))


class TestDescription:
    def test_of_each_format_is_that_of_its_policy(self, checkpoint):
        format, path, policy = checkpoint
        facts = describe(path)
        assert (facts["format"], facts["usable"], facts["why_not"]) == (format, True, None)
        told, config = facts["policy"], policy.config
        assert told["parameters"] == sum(p.numel() for p in policy.model.parameters())
        assert (told["horizon"], told["executed"]) == (config.horizon, [1, 1 + config.n_action_steps])
        assert told["scheduler"]["num_train_timesteps"] == 20
        assert sum(len(row["scale"]) for row in told["obs"]) == config.obs_dim
        assert [row["name"] for row in told["actions"]] == list(load_names(facts, policy))
        assert json.loads(json.dumps(facts, allow_nan=False)) == json.loads(json.dumps(facts))
        assert str(path) in as_text(facts)

    def test_of_what_cannot_be_converted_says_why_and_what_is_known(self, tmp_path):
        path = write_chi(tmp_path / "p.ckpt", tiny_policy(), lambda cfg: cfg["policy"].update(obs_as_local_cond=True))
        facts = describe(path)
        assert (facts["format"], facts["usable"], facts["says"]["epoch"]) == ("chi", False, 26)
        assert "cfg.policy.obs_as_local_cond is True" in facts["why_not"]
        assert "not usable" in as_text(facts)

    def test_of_what_cannot_be_opened_gives_its_sha256(self, tmp_path):
        (tmp_path / "p.ckpt").write_bytes(b"not a checkpoint")
        facts = describe(tmp_path / "p.ckpt")
        assert facts["sha256"] == file_sha256(tmp_path / "p.ckpt")
        assert (facts["format"], facts["usable"]) == (None, False)
        assert "format       unknown" in as_text(facts)

    def test_of_a_native_policy_that_is_unsound(self, tmp_path):
        save_policy(tmp_path / "p", tiny_policy(), {})
        (tmp_path / "p" / "policy.safetensors").write_bytes(b"")
        facts = describe(tmp_path / "p")
        assert (facts["format"], facts["usable"]) == ("native", False)
        assert "truncated or damaged" in facts["why_not"]


def load_names(facts, policy):
    count = policy.config.action_dim
    return policy.config.action_names if facts["format"] == "native" else tuple(f"action_{i}" for i in range(count))
