"""How an object from a file behaves in the simulator: dropped, and lifted by the scripted expert; filmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from psr_core.media import Pixels, write_mp4
from psr_core.statistics import wilson_interval
from psr_eval.video import framed
from sim.drop_test import DropResult, drop_test
from sim.env import CONTROL_FREQUENCY, SimEnv
from sim.experts.asset import AssetExpert
from sim.extras import Extras
from sim.rendering import CameraConfig, choose_gl

HELD = 10  # control steps that an object must stay up
FILM_EVERY = 2  # control steps
VIDEO = "lift.mp4"


@dataclass(frozen=True)
class Attempt:
    """One episode: steps until the object had been up for HELD, or until it was given up; why: it failed, else ""."""

    seed: int
    success: bool
    steps: int
    why: str


@dataclass(frozen=True)
class AssetLifts:
    """An object's drop test, and the expert's attempts at lifting it. low, high: 95 % Wilson interval of the rate."""

    drop: DropResult
    attempts: tuple[Attempt, ...]

    @property
    def successes(self) -> int:
        return sum(attempt.success for attempt in self.attempts)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.successes, len(self.attempts))

    def results(self) -> dict[str, Any]:
        """Plain JSON, as a catalogue lists it: "drop_test" and "lift"."""
        low, high = self.interval
        lift = {"successes": self.successes, "episodes": len(self.attempts), "low": low, "high": high}
        return {"drop_test": {**asdict(self.drop), "problems": list(self.drop.problems)}, "lift": lift}

    def as_text(self) -> str:
        """A line about the drop, one about the attempts, and one for each kind of failure."""
        drop, (low, high) = self.drop, self.interval
        fit = "fits" if drop.graspable else "does not fit"
        lies = f"lies still after {drop.seconds:.2g} s" if drop.passed else "; ".join(drop.problems)
        lines = [
            f"dropped: {lies}; {1000 * drop.width:.0f} mm wide where it is narrowest, {fit} into the gripper",
            f"lifted on {self.successes} of {len(self.attempts)} seeds, 95 % interval {low:.0%} to {high:.0%}",
        ]
        reasons = Counter(attempt.why for attempt in self.attempts if not attempt.success)
        return "\n".join([*lines, *(f"  {count} times: {why}" for why, count in reasons.most_common())])


def lift_asset(
    asset: Path | str,
    seeds: Sequence[int],
    out: Path | None = None,
    *,
    extras: Extras | None = None,
    camera: str = "agentview",
    progress: Callable[[Sequence[Attempt]], None] = lambda attempts: None,
) -> AssetLifts:
    """Drops an object, then lets the expert lift it on each seed; films the first that succeeds, or the last.

    asset: folder or MJCF. out: folder of VIDEO, None for no film (nor where nothing draws). extras: what else stands in
    the scene. progress: told the attempts so far. Raises what load_asset raises.
    """
    drop = drop_test(asset)
    film = out is not None and choose_gl().ok
    env = SimEnv(
        "Lift", CameraConfig(camera, 384, 288) if film else None, replace(extras or Extras(), asset=str(asset))
    )
    attempts: list[Attempt] = []
    try:
        progress(attempts)
        for number, seed in enumerate(seeds, 1):
            filming = film and not any(attempt.success for attempt in attempts)
            attempt, frames = _attempt(env, asset, seed, filming)
            attempts.append(attempt)
            if out is not None and filming and (attempt.success or number == len(seeds)):
                write_mp4(frames, CONTROL_FREQUENCY / FILM_EVERY, out / VIDEO)
            progress(attempts)
    finally:
        env.close()
    return AssetLifts(drop, tuple(attempts))


def _attempt(env: SimEnv, asset: Path | str, seed: int, filming: bool) -> tuple[Attempt, list[Pixels]]:
    expert, observation, held, frames = AssetExpert(seed, asset), env.reset(seed), 0, []
    while observation.step < expert.max_steps and held < HELD:
        observation = env.step(expert.act(observation))
        held = held + 1 if observation.success else 0
        if filming and observation.step % FILM_EVERY == 0:
            title = f"{Path(asset).name}  seed {seed}"
            frames.append(framed(env.images().rgb, title, f"step {observation.step:3d}{'  up' if held else ''}"))
    why = "" if held >= HELD else expert.why_not()
    return Attempt(seed, not why, observation.step, why), frames
