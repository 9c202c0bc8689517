"""`psr train policy`: from a file of demonstrations to a policy folder, by command line alone."""

from __future__ import annotations

import shlex
import signal
import sys

import numpy as np
import pytest

from psr_cli.stop_request import StopRequest
from psr_policy.checkpoint import load_policy, read_description
from tests.psr_cli.training_runs import psr_train
from tests.psr_policy.conftest import pusht_arrays, write_demos

SMALL = "--obs-keys object,robot0_eef_pos --steps 6 --batch-size 8 --horizon 8 --n-action-steps 4 --warmup-steps 2"
NETWORKS = {
    "unet": "--network unet --down-dims 8,16 --embed-dim 8 --kernel-size 3",
    "transformer": "--network transformer --layers 1 --heads 2 --width 8 --attention full --prediction sample",
}


@pytest.fixture
def psr(tmp_path, monkeypatch):
    """Runs `psr train policy` in a folder of its own that holds demos.hdf5; returns the exit code."""
    write_demos(tmp_path / "demos.hdf5")
    monkeypatch.chdir(tmp_path)
    with psr_train(f"policy --data demos.hdf5 --out out {SMALL}", monkeypatch) as run:
        yield lambda options, network="unet": run(f"{NETWORKS[network]} {options}")


@pytest.mark.parametrize("network", ["unet", "transformer"])
def test_trains_a_policy_whose_card_says_how(psr, capsys, network):
    assert psr("--save-dtype float16 --lr 1e-3 --seed 4", network) == 0
    policy = load_policy("out")
    assert policy.checkpoint_id in capsys.readouterr().out
    assert policy.config.network == network
    assert getattr(policy.config.network_options, "causal_attn", False) is False
    assert policy.config.prediction_type == {"unet": "epsilon", "transformer": "sample"}[network]
    assert policy.config.obs_keys == (("object", 3), ("robot0_eef_pos", 2))
    card = read_description("out")["card"]
    assert card["command"] == shlex.join(sys.argv)
    assert card["command"].startswith("psr train policy --data demos.hdf5")
    assert (card["data"]["file"], card["data"]["expert"]) == ("demos.hdf5", "random numbers")
    assert (card["data"]["train_episodes"], card["data"]["valid_episodes"]) == (2, 1)
    assert (card["seed"], card["settings"]["lr"]) == (4, 1e-3)


@pytest.mark.parametrize("network", ["unet", "transformer"])
def test_trains_on_pusht_demonstrations(psr, tmp_path, network):
    np.savez(tmp_path / "pusht.npz", **pusht_arrays())
    assert psr("--data pusht.npz --obs-keys keypoint,agent_pos --origin 'made up'", network) == 0
    policy = load_policy("out")
    assert policy.config.obs_keys == (("keypoint", 18), ("agent_pos", 2))
    assert (policy.config.action_names, policy.config.step_period) == (("x", "y"), 0.1)
    assert policy.action_low.min() > 10  # pixels, not the network's units
    data = read_description("out")["card"]["data"]
    assert (data["task"], data["origin"], data["valid_episodes"]) == ("PushT", "made up", 1)


def test_stops_when_asked_and_resumes_to_the_same_weights(psr, monkeypatch, tmp_path, capsys):
    assert psr("") == 0
    whole = (tmp_path / "out" / "policy.safetensors").read_bytes()
    (tmp_path / "out").rename(tmp_path / "whole")
    asked = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", lambda self: next(asked))
        assert psr("") == 130
    assert "stopped and saved at step 2" in capsys.readouterr().out
    assert psr("--resume") == 0
    assert (tmp_path / "out" / "policy.safetensors").read_bytes() == whole


def test_demonstrations_that_name_another_task_are_refused(psr, tmp_path, capsys):
    np.savez(tmp_path / "pusht.npz", **pusht_arrays())
    keys = "--data pusht.npz --obs-keys keypoint,agent_pos"
    assert psr(f"{keys} --task Square") == 2
    assert "pusht.npz holds demonstrations of task PushT, expected Square; choose its file" in capsys.readouterr().err
    assert psr(f"{keys} --task PushT") == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--data none.hdf5", "no demonstrations at none.hdf5"),
        ("--obs-keys object,colour", "demos.hdf5: data/demo_0 has no obs/colour"),
        ("--steps 0", "steps is 0"),
        ("--task Push", "task 'Push' is unknown; expected one of Can, Lift"),
        ("--task Can", "demos.hdf5 is not of task Can: object has 3 numbers, expected 14"),
        ("--horizon 7", "horizon is 7, expected a multiple of 2"),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(psr, capsys, options, told):
    assert psr(options) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_without_cuda_the_device_is_refused(psr, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert psr("--device cuda") == 2
    assert "device is cuda, but torch finds no CUDA device here; use cpu" in capsys.readouterr().err


def test_the_first_signal_asks_and_the_second_stops(psr):
    stop = StopRequest()
    assert not stop.requested()
    signal.raise_signal(signal.SIGTERM)
    assert stop.requested()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
