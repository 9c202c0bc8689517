"""TrainingRun: what lies in the folder, and that stopping and resuming leaves no trace in the result."""

from __future__ import annotations

import json
import re

import pytest
import torch

from psr_core.training_run import TrainingRun
from psr_policy.checkpoint import load_policy, read_description
from psr_policy.dataset import load_demonstrations
from psr_policy.train import PolicyTrainSettings, Trainer
from psr_policy.training_run import policy_run

KEYS = ("object", "robot0_eef_pos")
CARD = {"command": "psr train policy", "data": {"file": "demos.hdf5", "sha256": "12"}, "git_revision": "abc"}


@pytest.fixture
def make_run(demos, tiny_config, tmp_path):
    def make(name: str, card=CARD, resume=False, save_dtype="float32", **settings) -> TrainingRun:
        train, valid = (load_demonstrations(demos, KEYS, split) for split in ("train", "valid"))
        wanted = {"steps": 12, "batch_size": 8, "lr": 1e-3, "warmup_steps": 2, **settings}
        trainer = Trainer(tiny_config(), PolicyTrainSettings(**wanted), train, valid)
        return policy_run(trainer, tmp_path / name, card, resume=resume, save_dtype=save_dtype)

    return make


def train(run: TrainingRun, until: int = 10**6, **options) -> bool:
    def silent(line: str) -> None:
        pass

    return run.train(
        should_stop=lambda: run.trainer.step >= until,
        **{"report": silent, "log_every": 2, "validate_every": 6, **options},
    )


def logged(run: TrainingRun) -> list[dict]:
    return [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]


class TestStopAndResume:
    @pytest.mark.parametrize("stop", [1, 6, 7])
    def test_ends_with_the_same_bytes_and_log_as_an_uninterrupted_run(self, make_run, stop):
        whole, part = make_run("whole"), make_run("part")
        assert train(whole)
        assert not train(part, until=stop)
        resumed = make_run("part", resume=True)
        assert resumed.trainer.step == stop
        assert train(resumed)
        weights = [(run.out / "policy.safetensors").read_bytes() for run in (whole, resumed)]
        assert weights[0] == weights[1]
        assert logged(whole)[-1]["valid_loss"] == logged(resumed)[-1]["valid_loss"]
        assert [entry["step"] for entry in logged(resumed)] == [2, 4, 6, 8, 10, 12]

    def test_what_was_logged_after_the_last_save_is_not_logged_twice(self, make_run):
        run = make_run("p")
        train(run, until=4)
        run.train(should_stop=lambda: False, report=lambda line: None, log_every=2)
        saved = torch.load(run.out / "training_state.pt", weights_only=True)
        assert saved["state"]["step"] == 12
        # As if the process had died at step 12 after a save at step 4.
        early = make_run("q")
        train(early, until=4)
        (early.out / "log.jsonl").write_text((run.out / "log.jsonl").read_text())
        assert [entry["step"] for entry in logged(make_run("q", resume=True))] == [2, 4]

    def test_resuming_a_finished_run_changes_nothing(self, make_run):
        run = make_run("p")
        train(run)
        before = {path.name: path.read_bytes() for path in run.out.iterdir()}
        assert train(make_run("p", resume=True))
        assert {path.name: path.read_bytes() for path in run.out.iterdir()} == before

    def test_resume_in_an_empty_folder_starts_from_the_beginning(self, make_run):
        assert make_run("new", resume=True).trainer.step == 0

    def test_a_run_is_not_overwritten_unasked(self, make_run):
        train(make_run("p"), until=1)
        with pytest.raises(FileExistsError, match="already holds a training run; add --resume"):
            make_run("p")

    def test_a_run_with_other_settings_or_data_is_not_continued(self, make_run):
        train(make_run("p"), until=1)
        with pytest.raises(ValueError, match="other settings: steps = 12, now 13; resume with the same values"):
            make_run("p", resume=True, steps=13)
        with pytest.raises(ValueError, match="other data: sha256 = '12', now '34'"):
            make_run("p", resume=True, card={**CARD, "data": {"file": "demos.hdf5", "sha256": "34"}})

    def test_a_damaged_state_is_named(self, make_run):
        run = make_run("p")
        train(run, until=1)
        path = run.out / "training_state.pt"
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match="training_state.pt is damaged"):
            make_run("p", resume=True)


class TestPolicyFolder:
    def test_holds_the_averaged_weights_with_their_card(self, make_run):
        run = make_run("p", seed=5)
        train(run)
        policy = load_policy(run.out)
        for name, tensor in run.trainer.averaged.state_dict().items():
            assert torch.equal(policy.state_dict()[name], tensor)
        card = read_description(run.out)["card"]
        assert card["command"] == CARD["command"]
        assert card["data"] == CARD["data"]
        assert card["seed"] == 5
        assert card["settings"]["batch_size"] == 8
        assert card["metrics"]["steps"] == 12
        assert card["metrics"]["valid_loss"] == run.trainer.validation_loss()
        assert "float16_max_action_difference" not in card["metrics"]

    def test_half_precision_says_what_it_costs(self, make_run):
        run = make_run("p", save_dtype="float16")
        train(run)
        card = read_description(run.out)["card"]
        assert card["weights_dtype"] == "float16"
        assert 0 < card["metrics"]["float16_max_action_difference"] < 0.05

    def test_is_there_while_training_goes_on(self, make_run):
        run = make_run("p")
        seen = []
        train(run, save_seconds=0, report=lambda line: seen.append((run.out / "policy.json").exists()), log_every=2)
        assert seen[-1]


def test_progress_says_step_loss_and_time_left(make_run):
    lines: list[str] = []
    train(make_run("p"), report=lines.append, log_every=4)
    assert len(lines) == 3
    number = r"\d+\.\d+"
    expected = rf"step 12/12 loss {number} valid {number} lr 0\.0e\+00 {number} steps/s, 0:00:00 left"
    assert re.fullmatch(expected, lines[-1])
