"""Whether the simulated Push-T is the one that people demonstrated: their actions, replayed, against what they saw.

python -m sim.pusht_replay pusht.npz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.pusht import PushTEnv, initial_state

Array = NDArray[np.float64]

TOLERANCE = 1e-3  # pixels; the recording is in single precision


@dataclass(frozen=True)
class Replay:
    """One episode: largest distance between replayed and recorded agent and block (pixels) and block angle (rad).

    seeded: it begins where initial_state(number of the episode) has it, to TOLERANCE. max_reward: with the last action.
    """

    agent: float
    block: float
    angle: float
    seeded: bool
    max_reward: float


def replay(env: PushTEnv, number: int, states: Array, actions: Array) -> Replay:
    """Repeats episode `number`, states (T, 5) before actions (T, 2), from its first state."""
    env.reset_to(initial_state(number))
    seeded = bool(np.abs(_difference(env.state(), states[0])).max() < TOLERANCE)
    env.place_exactly(states[0])
    rewards, found = [], [env.state()]
    for action in actions:
        rewards.append(env.step(action).reward)
        found.append(env.state())
    off = _difference(np.array(found[: len(states)]), states)
    agent, block = (float(np.linalg.norm(off[:, columns], axis=1).max()) for columns in ([0, 1], [2, 3]))
    return Replay(agent, block, float(np.abs(off[:, 4]).max()), seeded, max(rewards))


def replay_all(states: Array, actions: Array, episode_ends: NDArray[np.int64]) -> Iterator[Replay]:
    """Every episode of the arrays state (N, 5), action (N, 2) and episode_ends (E,) of the demonstrations."""
    env = PushTEnv()
    begins = [0, *episode_ends[:-1]]
    for number, (begin, end) in enumerate(zip(begins, episode_ends, strict=True)):
        yield replay(env, number, states[begin:end].astype(float), actions[begin:end].astype(float))
    env.close()


def main(path: str) -> int:
    """Prints what was found for a .npz file; 0 when nine of ten episodes are repeated to TOLERANCE."""
    with np.load(path, allow_pickle=False) as file:
        episodes = list(replay_all(file["state"], file["action"], file["episode_ends"]))
    block = np.array([episode.block for episode in episodes])
    exact = float(np.mean(block < TOLERANCE))
    print(
        f"{len(episodes)} episodes, {sum(e.seeded for e in episodes)} of them begin where their number's seed has them"
    )
    print(f"agent: at most {max(e.agent for e in episodes):.1e} pixels off")
    print(
        f"block: median {np.median(block):.1e}, at most {block.max():.1e} pixels and "
        f"{max(e.angle for e in episodes):.1e} rad off; {exact:.1%} of the episodes below {TOLERANCE:g} pixels"
    )
    print(f"mean of the episodes' largest reward: {np.mean([e.max_reward for e in episodes]):.4f}")
    return 0 if exact >= 0.9 else 1


def _difference(a: Array, b: Array) -> Array:
    """a - b of states (..., 5), the angle by the shorter way."""
    difference = np.array(a - b)
    difference[..., 4] = (difference[..., 4] + np.pi) % (2 * np.pi) - np.pi
    return difference


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
