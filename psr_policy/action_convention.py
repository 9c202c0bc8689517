"""Whether demonstrations command what a policy here must learn: absolute hand poses in the world frame.

Files in circulation do not say so reliably: those converted to absolute actions still name the controller that they
were recorded with. The numbers tell: an absolute command in the world frame stays near the hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from psr_core.rotations import Array

NEAR = 0.25  # m; a command runs ahead of the hand by a few centimetres, and another frame's origin lies further away
EXPECTED = "expected absolute poses in the world frame; convert the file (robomimic: robosuite_add_absolute_actions)"


def check_absolute(where: str, episode: Any) -> None:
    """Raises ValueError naming the file and what its actions seem to be: deltas, or poses in a robot's base frame.

    where: file and episode, for the message. episode: actions (T, 7 for each arm) and obs/robot<i>_eef_pos (T, 3); an
    arm whose hand was not recorded cannot be judged and passes.
    """
    actions = np.asarray(episode["actions"], dtype=np.float64)
    for arm in range(actions.shape[1] // 7):
        hand = np.asarray(episode.get(f"obs/robot{arm}_eef_pos", ()), dtype=np.float64)
        if hand.shape == (len(actions), 3):
            _check_arm(f"{where}: actions of arm {arm}", actions[:, 7 * arm : 7 * arm + 3], hand)


def _check_arm(where: str, commanded: Array, hand: Array) -> None:
    """Both (T, 3) in m."""
    ahead = np.median(commanded - hand, axis=0)
    if np.median(np.linalg.norm(commanded - hand, axis=1)) <= NEAR:
        return
    if _moves_with(commanded, hand):
        offset = ", ".join(f"{value:.2f}" for value in ahead)
        raise ValueError(
            f"{where} move with the hand at a distance of ({offset}) m, as poses in a robot's base frame do; {EXPECTED}"
        )
    raise ValueError(f"{where} neither stay near the hand nor move with it, as deltas do; {EXPECTED}")


def _moves_with(commanded: Array, hand: Array) -> bool:
    """Whether the hand's path, turned and moved as a whole, explains most of the commanded one."""
    commanded, hand = commanded - commanded.mean(axis=0), hand - hand.mean(axis=0)
    explained = np.linalg.svd(commanded.T @ hand, compute_uv=False).sum()
    unexplained = (commanded**2).sum() + (hand**2).sum() - 2 * explained
    return bool(unexplained < 0.25 * (hand**2).sum())
