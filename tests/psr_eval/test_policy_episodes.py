"""Every setting plays the same states on every checkpoint, once, whatever was interrupted."""

from __future__ import annotations

import json
import multiprocessing

import pytest
import torch

from psr_core.steering import Steering
from psr_eval.policy_episodes import by_row, jobs, play
from psr_eval.policy_rows import Row
from psr_eval.rollouts import run_episodes
from psr_policy.checkpoint import save_policy
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.policy import DiffusionPolicy
from tests.psr_eval.counter import NOWHERE, CountingPlan
from tests.psr_eval.policy_outcomes import DDIM, psr

BASE = CountingPlan("Counting", NOWHERE, num_inference_steps=2)
ROWS = [DDIM, psr(2.0)]
SEEDS = range(3)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two policies of different random weights, in folders of one name."""
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        options = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3)
        config = PolicyConfig("unet", (("count", 1),), 2, ("x", "y"), num_train_timesteps=10, network_options=options)
        policy = DiffusionPolicy(config).eval()
        policy.normalizer.fit(torch.arange(20.0)[:, None], torch.rand(50, 2) * 1000)
        folders.append(tmp_path_factory.mktemp("policies") / "counting")
        save_policy(folders[-1], policy, {"command": "none: random weights"})
    return folders


def _play(wanted, folder, seeds=SEEDS, batch=1, report=lambda *_: None):
    return play(wanted, seeds, folder, workers=1, batch=batch, report=report)


def _processes():
    return {child.pid for child in multiprocessing.active_children()}


def test_rows_and_checkpoints_each_have_every_seed(checkpoints, tmp_path):
    wanted = jobs(ROWS, checkpoints, BASE)
    found = by_row(_play(wanted, tmp_path))
    assert list(found) == ROWS
    rewards = set()
    for row in ROWS:
        assert [sorted(each) for each in found[row]] == [[0, 1, 2]] * 2
        rewards |= {tuple(outcome.max_reward for outcome in each.values()) for each in found[row]}
    assert len(rewards) == 4  # settings and checkpoints do reach the network
    assert len(list(tmp_path.glob("counting@*/*.jsonl"))) == 4


def test_what_was_played_is_not_played_again(checkpoints, tmp_path):
    wanted = jobs(ROWS, checkpoints, BASE)
    told = []

    def interrupt(done, total, name):
        told.append((done, total))
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _play(wanted, tmp_path, report=interrupt)
    assert told == [(done, 12) for done in range(5)]
    told.clear()
    resumed = _play(wanted, tmp_path, report=lambda done, total, name: told.append((done, total)))
    assert told == [(done, 8) for done in range(9)]
    whole = _play(wanted, tmp_path / "other")
    for job in wanted:
        assert [(o.seed, o.max_reward) for o in resumed[job].values()] == [
            (o.seed, o.max_reward) for o in whole[job].values()
        ]
    told.clear()
    more = _play(wanted, tmp_path, seeds=range(2), report=lambda *_: told.append(0))
    assert not told
    assert all(list(each) == [0, 1] for each in more.values())


def test_a_checkpoint_is_known_by_its_weights_and_not_by_its_place(checkpoints, tmp_path, monkeypatch):
    _play(jobs(ROWS, checkpoints[:1], BASE), tmp_path)
    monkeypatch.chdir(checkpoints[0])
    told = []
    _play(jobs(ROWS, [checkpoints[0] / ".." / "counting"], BASE), tmp_path, report=lambda *_: told.append(0))
    assert not told


def test_settings_share_their_processes_and_nothing_else(checkpoints, tmp_path):
    before = _processes()
    seen = []
    wanted = jobs(ROWS, checkpoints, BASE)
    found = _play(wanted, tmp_path, batch=2, report=lambda done, *_: seen.append(_processes() - before))
    assert len(seen[1]) == 1 and set(map(frozenset, seen[1:])) == {frozenset(seen[1])}
    assert _processes() == before
    alone = {outcome.seed: outcome.max_reward for outcome in run_episodes(wanted[-1].plan, SEEDS, batch=2)}
    assert {seed: outcome.max_reward for seed, outcome in found[wanted[-1]].items()} == alone


def test_other_settings_are_refused_before_anything_is_played(checkpoints, tmp_path):
    _play(jobs(ROWS[:1], checkpoints, BASE), tmp_path)
    told = []
    with pytest.raises(ValueError, match="holds episodes with batch = 1, but now it is 2"):
        _play(jobs(ROWS[::-1], checkpoints, BASE), tmp_path, batch=2, report=lambda *_: told.append(0))
    assert not told


def test_every_setting_is_on_disk_with_its_episodes(checkpoints, tmp_path):
    _play(jobs([DDIM], checkpoints[:1], BASE), tmp_path)
    (file,) = tmp_path.glob("counting@*/ddim.jsonl")
    settings = json.loads(file.read_text().splitlines()[0])["settings"]
    assert Steering.from_dict(settings["steering"]) == DDIM.steering
    assert (settings["sampler"], settings["num_inference_steps"], settings["noise_seed"]) == ("ddim", 2, 0)


def test_a_row_that_cannot_be_sampled_is_named(checkpoints):
    impossible = Row("ddim", Steering(k=2.0, method="nns"))
    with pytest.raises(ValueError, match="DDIM . nns k=2 on .*counting: DDIMScheduler cannot take"):
        jobs([DDIM, impossible], checkpoints, BASE)


def test_a_checkpoint_that_is_given_twice_is_refused(checkpoints):
    with pytest.raises(ValueError, match="hold the same weights, counting@"):
        jobs(ROWS, [checkpoints[0], checkpoints[0]], BASE)
