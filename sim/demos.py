"""Record a scripted expert's demonstrations in robomimic's HDF5 layout.

    data/            attrs: env_args (JSON), total, and how the file was made (command, expert, grade, seeds, ...)
    data/demo_<i>/   attrs: num_samples, seed, model_file; obs/<key> (T, D), actions (T, 7), rewards, dones (T), states
    mask/train, mask/valid   names of the demonstrations; every tenth is held out

Actions are absolute poses in the world frame as axis-angle (sim.actions), 7 numbers for each arm.
obs[t] is what was seen before actions[t].
Every episode follows from its seed alone, so the file's content does not depend on workers or interruptions.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from psr_core.files import git_revision
from sim.actions import CONVENTION, ROW_DIM, action_to_row, row_to_action
from sim.env import SimEnv
from sim.experts import expert_class
from sim.tasks import get_task
from sim.worker import serve_parent

STEPS_AFTER_SUCCESS = 9  # the policy should learn to hold what it has lifted
_UNFINISHED = "unfinished"  # where an episode is written until it is whole
_DEMO_ROBOSUITE_TYPE = 1  # robomimic's EnvType.ROBOSUITE_TYPE


@dataclass(frozen=True)
class Demo:
    """One episode of T control steps: obs name -> (T, D), actions (T, 7 an arm), rewards (T), states (T, S)."""

    seed: int
    success: bool
    obs: dict[str, NDArray[np.float64]]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64]
    states: NDArray[np.float64]
    model_xml: str


@dataclass(frozen=True)
class DemoReport:
    """What a recording holds: demonstrations kept, seeds on which the expert failed, control steps kept."""

    kept: int
    failed_seeds: tuple[int, ...]
    total_steps: int


def record_demo(env: SimEnv, seed: int, grade: str = "proficient") -> Demo:
    """Run the task's expert on one seed until shortly after success, or until it has taken too long."""
    expert = expert_class(env.task.name, grade)(seed, grade)
    observation = env.reset(seed)
    model_xml = env.model_xml()
    actions, observations, states, rewards = [], [], [], []
    succeeded_at = None
    while observation.step < expert.max_steps:
        if succeeded_at is not None and observation.step - succeeded_at >= STEPS_AFTER_SUCCESS:
            break
        observations.append(observation.features)
        states.append(env.state())
        actions.append(row_to_action(expert.act(observation).reshape(-1, ROW_DIM)))
        # Not the expert's row, whose last bits differ: what is stored must replay to the same end, contacts and all.
        observation = env.step(action_to_row(actions[-1]).ravel())
        rewards.append(observation.reward)
        if succeeded_at is None and observation.success:
            succeeded_at = observation.step
    return Demo(
        seed=seed,
        success=observation.success,
        obs={name: np.stack([features[name] for features in observations]) for name, _ in env.task.obs_keys},
        actions=np.stack(actions).reshape(len(actions), -1),
        rewards=np.array(rewards),
        states=np.stack(states),
        model_xml=model_xml,
    )


def record_demos(
    task: str,
    episodes: int,
    first_seed: int,
    out: Path | str,
    *,
    grade: str = "proficient",
    workers: int = 1,
    command: str,
    progress: Callable[[DemoReport], None] = lambda report: None,
) -> DemoReport:
    """Record until `episodes` demonstrations succeeded, on seeds first_seed, first_seed + 1, ...; resumes a file.

    The file is whole after every episode, so an interrupted recording goes on where it stopped when called again.
    Raises ValueError for a task or grade without an expert, when the file was made for another task, grade, first seed
    or expert, or when the expert fails too often.
    """
    expert = expert_class(get_task(task).name, grade)
    if episodes < 1 or workers < 1 or first_seed < 0:
        raise ValueError(
            f"episodes is {episodes}, workers {workers}, first_seed {first_seed}; expected at least 1, 1 and 0"
        )
    out = Path(out)
    identity = {"task": task, "grade": grade, "first_seed": first_seed, "expert": expert.version}
    report = _open_recording(out, identity, command)
    progress(report)
    next_seed = first_seed + report.kept + len(report.failed_seeds)
    if report.kept >= episodes:
        return report
    for demo in _in_order(task, grade, count(next_seed), workers):
        report = _append(out, demo)
        progress(report)
        if report.kept >= episodes:
            break
        if len(report.failed_seeds) > 10 + report.kept:
            raise ValueError(
                f"the expert failed on {len(report.failed_seeds)} of {len(report.failed_seeds) + report.kept} seeds "
                f"of {task}, first {list(report.failed_seeds)[:10]}; expected few: is the scene what it was made for?"
            )
    return report


def _in_order(task: str, grade: str, seeds: Iterator[int], workers: int) -> Iterator[Demo]:
    """Demonstrations in the seeds' order, computed ahead by processes of their own."""
    context = multiprocessing.get_context("spawn")  # a forked child would share the parent's threads and drivers
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(task,))
    try:
        ahead: deque[Future[Demo]] = deque()
        while True:
            while len(ahead) < 2 * workers:
                ahead.append(pool.submit(_work, next(seeds), grade))
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker_env: SimEnv | None = None  # one simulator for each worker process


def _start_worker(task: str) -> None:
    global _worker_env
    serve_parent()
    _worker_env = SimEnv(task)


def _work(seed: int, grade: str) -> Demo:
    assert _worker_env is not None
    return record_demo(_worker_env, seed, grade)


def _open_recording(out: Path, identity: dict[str, Any], command: str) -> DemoReport:
    """Begin the file, or check that an existing one is the same recording and see how far it is."""
    identity = {**identity, "action_convention": CONVENTION}
    if out.exists():
        return _resumed(out, identity)
    env = SimEnv(identity["task"])
    env_args = {
        "env_name": env.task.env_name,
        "env_version": env.version,
        "type": _DEMO_ROBOSUITE_TYPE,
        "env_kwargs": env.env_kwargs,
    }
    env.close()
    out.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(out, "w") as file:
        data = file.create_group("data")
        data.attrs.update(identity)
        data.attrs["env_args"] = json.dumps(env_args)
        data.attrs["command"] = command
        data.attrs["git_revision"] = git_revision()
        data.attrs["created"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        data.attrs["failed_seeds"] = np.zeros(0, dtype=np.int64)
        data.attrs["total"] = 0
    return DemoReport(kept=0, failed_seeds=(), total_steps=0)


def _resumed(out: Path, identity: dict[str, Any]) -> DemoReport:
    with h5py.File(out, "a") as file:
        attributes = file["data"].attrs if "data" in file else {}
        for field, expected in identity.items():
            found = attributes.get(field)
            if found != expected:
                raise ValueError(
                    f"{out}: {field} is {found!r}, expected {expected!r}; give another file name, or delete this one"
                )
        return _seal(file)


def _append(out: Path, demo: Demo) -> DemoReport:
    """Write one episode and close the file, so that what is on disk is whole whenever the recording stops."""
    with h5py.File(out, "a") as file:
        data = file["data"]
        if not demo.success:
            data.attrs["failed_seeds"] = np.append(data.attrs["failed_seeds"], demo.seed)
            return _seal(file)
        if _UNFINISHED in file:
            del file[_UNFINISHED]
        group = file.create_group(_UNFINISHED)
        steps = len(demo.actions)
        group.attrs.update({"num_samples": steps, "seed": demo.seed, "model_file": demo.model_xml})
        for name, values in demo.obs.items():
            group.create_dataset(f"obs/{name}", data=values)
        for name, values in (("actions", demo.actions), ("rewards", demo.rewards), ("states", demo.states)):
            group.create_dataset(name, data=values)
        group.create_dataset("dones", data=np.arange(1, steps + 1) == steps, dtype=np.int64)
        file.move(_UNFINISHED, f"data/demo_{len(data)}")  # only now does the demonstration count
        return _seal(file)


def _seal(file: h5py.File) -> DemoReport:
    """Make total and masks agree with the demonstrations in the file."""
    data = file["data"]
    names = [f"demo_{i}" for i in range(len(data))]
    total = sum(int(data[name].attrs["num_samples"]) for name in names)
    data.attrs["total"] = total
    for mask, demos in (("valid", names[9::10]), ("train", [n for i, n in enumerate(names) if i % 10 != 9])):
        if f"mask/{mask}" in file:
            del file[f"mask/{mask}"]
        file.create_dataset(f"mask/{mask}", data=np.array(demos, dtype="S16"))
    failed = tuple(int(seed) for seed in data.attrs["failed_seeds"])
    return DemoReport(kept=len(names), failed_seeds=failed, total_steps=total)
