"""`psr reproduce policy` by command line alone, on tiny random policies."""

from __future__ import annotations

import json
import shlex

import pytest
import torch
import yaml

from psr_cli.main import main
from psr_policy.checkpoint import save_policy
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.dataset import ARM_ACTION_NAMES
from psr_policy.policy import DiffusionPolicy
from sim.tasks import TASKS
from tests.psr_eval.counter import CountingPlan

ROWS = """
rows:
  - {sampler: ddim}
  - {sampler: ddim, steering: {k: [0.5, 2.0], sigma: 0.5}}
"""


def _save(folder, obs_keys, names, seed=0):
    torch.manual_seed(seed)
    options = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3)
    config = PolicyConfig("unet", obs_keys, len(names), names, num_train_timesteps=10, network_options=options)
    policy = DiffusionPolicy(config).eval()
    policy.normalizer.fit(torch.randn(50, config.obs_dim), torch.rand(50, len(names)) * 0.2 + 0.8)
    save_policy(folder, policy, {"command": "none: random weights"})


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Runs `psr reproduce policy` in a folder of its own that holds rows.yaml; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.yaml").write_text(ROWS)
    fixed = "reproduce policy --steps 2 --workers 1 --batch 1 --settings rows.yaml"
    return lambda options: main(shlex.split(f"{fixed} {options}"))


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """Episodes that are counted instead of simulated, for the checkpoints one and two; returns the seeds played."""
    for seed, name in enumerate(("one", "two")):
        _save(tmp_path / name, (("count", 1),), ("x", "y"), seed)
    played = []

    class Counted(CountingPlan):
        def player(self, config):
            player = super().player(config)
            begin = player.begin
            player.begin = lambda seed: played.append(seed) or begin(seed)
            return player

    monkeypatch.setattr("psr_eval.rollouts.RolloutPlan", Counted)
    return played


def test_plays_lift_and_writes_a_default_folder(reproduce, tmp_path, capsys):
    _save(tmp_path / "arm", TASKS["Lift"].obs_keys, ARM_ACTION_NAMES)
    (tmp_path / "rows.yaml").write_text(ROWS.replace("[0.5, 2.0]", "2.0"))
    assert reproduce("--checkpoint arm --episodes 2 --max-steps 3") == 0
    captured = capsys.readouterr()
    assert "No gain: on the selection half no setting scored above DDIM" in captured.out
    assert "4/4 episodes, 0 s left (arm@" in captured.err
    out = tmp_path / "runs" / "reproduce" / "policy" / "Lift"
    report = json.loads((out / "table.json").read_text())
    assert report["score"] == "success"
    assert [row["episodes"] for row in report["rows"]] == [2, 2]
    assert yaml.safe_load((out / "confirmed.yaml").read_text())["/policy"]["ros__parameters"]["sampler"] == "ddim"


def test_the_score_is_the_tasks(reproduce, counting, tmp_path):
    assert reproduce("--task PushT --checkpoint one two --episodes 4 --out out") == 0
    report = json.loads((tmp_path / "out" / "table.json").read_text())
    assert report["score"] == "max_reward"
    assert report["settings"]["checkpoints"] == sorted(report["settings"]["checkpoints"])
    assert [len(row["scores"]) for row in report["rows"]] == [2, 2, 2]
    assert all(row["spread"] >= 0 for row in report["rows"])
    assert (tmp_path / "out" / "heatmap.png").exists()
    assert counting == list(range(100_000, 100_004)) * 6


def test_goes_on_where_it_was_interrupted(reproduce, counting, tmp_path, monkeypatch, capsys):
    from psr_eval.outcome_log import OutcomeLog

    add = OutcomeLog.add

    def interrupted(self, outcome):
        add(self, outcome)
        if len(counting) == 5:
            raise KeyboardInterrupt

    command = "--checkpoint one --episodes 4 --first-seed 7 --out out"
    with monkeypatch.context() as patch:
        patch.setattr(OutcomeLog, "add", interrupted)
        assert reproduce(command) == 130
    assert "interrupted: out keeps the episodes played" in capsys.readouterr().err
    assert not (tmp_path / "out" / "table.md").exists()
    assert reproduce(command) == 0
    assert counting == [7, 8, 9, 10] * 3
    table = (tmp_path / "out" / "table.json").read_text()
    assert reproduce(command) == 0
    assert len(counting) == 12
    assert (tmp_path / "out" / "table.json").read_text() == table


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--episodes 1", "--episodes is 1, expected 2 or more: one for each half"),
        ("--workers 0", "--workers is 0, expected 1 or more"),
        ("--task Cook", "task 'Cook' is unknown"),
        ("--checkpoint nowhere", "no policy folder at nowhere"),
        ("--settings none.yaml", "settings none.yaml do not exist; give a YAML file like config/reproduce/policy.yaml"),
        ("--steps 11", "DDIM on one: num_inference_steps is 11, expected an integer from 1 to 10"),
        ("--checkpoint one one", "checkpoints one and one hold the same weights"),
    ],
)
def test_errors_are_one_line_before_anything_is_played(reproduce, counting, tmp_path, capsys, options, told):
    assert reproduce(f"--checkpoint one --out out {options}") == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), counting) == (1, [])
    assert told in error
    assert not (tmp_path / "out").exists()
