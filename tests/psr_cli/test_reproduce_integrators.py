"""`psr reproduce integrators`: what it writes, and that it goes on where it was."""

from __future__ import annotations

import argparse
import json

import pytest
import torch

from psr_cli import reproduce_integrators
from psr_core.steering import Steering
from psr_policy.checkpoint import save_policy
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.dataset import ARM_ACTION_NAMES
from psr_policy.policy import DiffusionPolicy
from sim.tasks import TASKS


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A policy of random weights that observes what Lift shows."""
    torch.manual_seed(0)
    options = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3)
    fields = {"obs_keys": TASKS["Lift"].obs_keys, "num_train_timesteps": 20, "network_options": options}
    policy = DiffusionPolicy(PolicyConfig("unet", action_dim=10, action_names=ARM_ACTION_NAMES, **fields)).eval()
    policy.normalizer.fit(torch.randn(50, policy.config.obs_dim), torch.rand(50, 10) * 0.2 + 0.8)
    folder = tmp_path_factory.mktemp("policies") / "random"
    save_policy(folder, policy, {"command": "none: random weights"})
    return folder


def run(checkpoint, out, *more: str) -> int:
    parser = argparse.ArgumentParser()
    reproduce_integrators.add_parser(parser.add_subparsers())
    words = f"integrators --checkpoint {checkpoint} --out {out} --k 1 2 --sigma .1 --calls 2 4 --observations 2"
    words += " --noises 2 --refinement 2 --success-k 2 --episodes 2"
    args = parser.parse_args([*words.split(), *more])
    return int(args.run(args))


@pytest.fixture
def no_simulator(monkeypatch, checkpoint):
    """Observations and episodes without a simulator; lists what was asked for."""
    asked = []

    def observe(policy, task, n):
        asked.append("observations")
        return torch.randn(n, 2, policy.config.obs_dim, generator=torch.Generator().manual_seed(0))

    def episodes(plan, seeds, workers, batch):
        from psr_eval.player import Outcome

        asked.append("episodes")
        yield from (Outcome(seed, True, 1.0, 9, []) for seed in seeds)

    monkeypatch.setattr("psr_eval.integrators.observe", observe)
    monkeypatch.setattr("psr_eval.integrator_success.run_episodes", episodes)
    return asked


def test_writes_distances_success_and_pictures(no_simulator, checkpoint, tmp_path, capsys):
    assert run(checkpoint, tmp_path) == 0
    printed = capsys.readouterr().out
    for name in ("integrators.json", "integrators.md", "integrators_whole.png", "integrators_before_end.png"):
        assert str(tmp_path / name) in printed
        assert (tmp_path / name).stat().st_size > 0
    report = json.loads((tmp_path / "integrators.json").read_text())
    cells = [(Steering.from_dict(c["steering"]), c["calls"]) for group in report["groups"] for c in group["cells"]]
    assert len(set(cells)) == len(cells) == (3 + 4) * 2
    assert {(row["calls"], row["steering"]["integrator"]) for row in report["success"]} == {
        (calls, name) for calls in (2, 4) for name in ("plain", "gaussian", "gaussian2")
    }
    assert report["settings"]["checkpoint_id"].startswith("random@")


def test_what_is_finished_is_not_run_again(no_simulator, checkpoint, tmp_path):
    assert run(checkpoint, tmp_path, "--only", "distances") == 0
    assert no_simulator == ["observations"]
    first = json.loads((tmp_path / "integrators.json").read_text())
    assert first["success"] == []
    assert run(checkpoint, tmp_path) == 0
    assert no_simulator == ["observations", *["episodes"] * 6]
    assert run(checkpoint, tmp_path) == 0
    assert no_simulator == ["observations", *["episodes"] * 6]
    assert json.loads((tmp_path / "integrators.json").read_text())["groups"] == first["groups"]


def test_success_alone_needs_no_distances(no_simulator, checkpoint, tmp_path):
    assert run(checkpoint, tmp_path, "--only", "success") == 0
    report = json.loads((tmp_path / "integrators.json").read_text())
    assert (report["groups"], len(report["success"])) == ([], 6)
    assert "observations" not in no_simulator
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--observations", "0"], "--observations is 0, expected 1 or more"),
        (["--calls", "21"], "num_inference_steps is 21, expected an integer from 1 to 20"),
        (["--sigma", "0"], "steering.sigma is 0.0"),
    ],
)
def test_refuses_before_anything_runs(no_simulator, checkpoint, tmp_path, words, told):
    with pytest.raises(ValueError, match=told):
        run(checkpoint, tmp_path / "out", *words)
    assert no_simulator == []
    assert not (tmp_path / "out").exists()
