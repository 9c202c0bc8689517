"""Checkpoints that the reference code itself saved, with what it computes from them.

Runs where PSR_GOLDEN names a folder of NAME.ckpt with NAME_expected.npz: obs (B, To, Do) raw, noise (B, T, Da),
timesteps (B,), eps (B, T, Da), ddim10_trajectory (B, T, Da) raw and executed (B, Ta, Da).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from psr_policy.importers.foreign import to_native
from psr_policy.importers.formats import open_source, read
from psr_policy.policy import make_scheduler, set_timesteps

FOLDER = os.environ.get("PSR_GOLDEN", "")
CHECKPOINTS = sorted(Path(FOLDER).glob("*.ckpt")) if FOLDER else []

pytestmark = pytest.mark.skipif(not CHECKPOINTS, reason="PSR_GOLDEN names no folder of checkpoints")


@pytest.fixture(params=CHECKPOINTS or [Path("none")], ids=lambda path: path.stem)
def golden(request):
    expected = np.load(request.param.with_name(f"{request.param.stem}_expected.npz"))
    return to_native(read(open_source(request.param))), {k: torch.from_numpy(v) for k, v in expected.items()}


@torch.no_grad()
def test_predicts_the_same_noise(golden):
    policy, expected = golden
    condition = policy.normalizer.obs.normalize(expected["obs"])
    eps = policy.model(expected["noise"], expected["timesteps"], condition)
    torch.testing.assert_close(eps, expected["eps"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_samples_and_executes_the_same_actions(golden):
    policy, expected = golden
    condition = policy.normalizer.obs.normalize(expected["obs"])
    scheduler, x = make_scheduler(policy.config, "ddim"), expected["noise"]
    set_timesteps(scheduler, 10)
    for timestep in scheduler.timesteps:
        x = scheduler.step(policy.model(x, timestep.expand(len(x)), condition), timestep, x).prev_sample
    actions = policy.normalizer.action.unnormalize(x)
    torch.testing.assert_close(actions, expected["ddim10_trajectory"], rtol=0, atol=2e-3)
    start = policy.config.n_obs_steps - 1
    executed = actions[:, start : start + policy.config.n_action_steps]
    torch.testing.assert_close(executed, expected["executed"], rtol=0, atol=2e-3)
