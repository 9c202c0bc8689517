"""Every task over the real graph: what the policy node makes of the topics is what direct evaluation observes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from psr_cli.graph import suite_root
from psr_eval.bag_reader import BagReader, decode
from psr_eval.rollouts import RolloutPlan, Rollouts
from psr_policy.checkpoint import save_policy
from psr_policy.config import PolicyConfig, UnetOptions
from psr_policy.dataset import action_names, unit_actions
from psr_policy.policy import DiffusionPolicy
from sim.env import Observation
from sim.environments import make_env
from tests.end_to_end.graph import running_graph

pytestmark = pytest.mark.ros
SEED, STEPS = 100_000, 20
CONTRACTS = {"Can": "can", "Square": "square", "ToolHang": "tool_hang", "Transport": "transport"}


def untrained(task: str) -> DiffusionPolicy:
    """A policy for the task with random weights, whose hands stay within a few centimetres of where they begin."""
    env = make_env(task)
    observation: Observation = env.reset(SEED)
    env.close()
    arms = env.task.robots
    torch.manual_seed(1)
    policy = DiffusionPolicy(
        PolicyConfig(
            network="unet",
            obs_keys=env.task.obs_keys,
            action_dim=env.task.action_dim,
            action_names=action_names(env.task.action_dim),
            network_options=UnetOptions((16, 32), 16, 3, 4),
        )
    )
    obs = torch.from_numpy(np.concatenate(list(observation.features.values()))).float()
    start = torch.cat([torch.cat([torch.from_numpy(hand.position), torch.zeros(7)]) for hand in observation.hands])
    spread = torch.tensor([0.02] * 3 + [1.0] * 7).repeat(arms)
    actions = torch.stack([start - spread, start + spread]).float()
    policy.normalizer.fit(torch.stack([obs - 0.3, obs + 0.3]), actions, unit_actions=unit_actions(len(start)))
    return policy.eval()


@pytest.mark.parametrize("task", list(CONTRACTS))
def test_a_graphs_chunks_are_those_of_direct_evaluation(tmp_path, task):
    checkpoint = tmp_path / "policy"
    save_policy(checkpoint, untrained(task), {"data": "none: random weights"})
    contract = suite_root() / "config" / "contracts" / f"{CONTRACTS[task]}.yaml"
    with running_graph(tmp_path, task=task, checkpoint=str(checkpoint), contract=str(contract)) as graph:
        (result,) = graph.run(SEED, 1, STEPS)
        bag = graph.bag
    assert (result.task, result.steps, result.reason) == (task, STEPS, "")
    published = [decode(message) for message in BagReader(bag).messages(["psr_interfaces/msg/ActionChunk"])]
    direct = Rollouts(RolloutPlan(task, checkpoint, max_steps=STEPS)).run(SEED, keep_chunks=True)
    assert len(published) == len(direct.chunks) == 3
    for chunk, rows in zip(published, direct.chunks, strict=True):
        np.testing.assert_array_equal(np.asarray(chunk.data).reshape(chunk.horizon, chunk.dim), rows)
