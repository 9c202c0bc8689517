"""Bags made by hand: small, with known content, written by the suite's own writer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from rosbags.interfaces import Nodetype

from psr_core.steering import Steering
from psr_eval.bag_writer import BagWriter
from psr_eval.definitions import typestore

SECOND = 10**9
START = 1_760_000_000 * SECOND
OUTCOMES = ("success", "failure", "aborted")


def encode(msgtype: str, **fields) -> bytes:
    """CDR bytes of a message whose other fields are zero or empty; nested messages are given as dicts."""
    store = typestore(msgtype)
    return bytes(store.serialize_cdr(_message(store, msgtype, fields), msgtype))


def _message(store, msgtype, fields):
    known = dict(store.fielddefs[msgtype][1])
    assert set(fields) <= set(known), set(fields) - set(known)
    return store.types[msgtype](**{name: _value(store, kind, fields.get(name)) for name, kind in known.items()})


def _value(store, kind, value):
    node, content = kind
    if node == Nodetype.NAME:
        return _message(store, content, value or {})
    if node == Nodetype.BASE:
        default = {"string": "", "bool": False}.get(content[0], 0.0 if "float" in content[0] else 0)
        return default if value is None else value
    element = content[0]
    if element[0] == Nodetype.BASE and element[1][0] != "string":
        return np.asarray([] if value is None else value, dtype=element[1][0].replace("byte", "uint8"))
    return [_value(store, element, item) for item in (value or [])]


def stamp(nanoseconds: int) -> dict:
    return {"sec": nanoseconds // SECOND, "nanosec": nanoseconds % SECOND}


def picture_of_nothing(step: int) -> np.ndarray:
    """(16, 16, 3) uint8, for bags that need a camera and no content."""
    return np.full((16, 16, 3), step, dtype=np.uint8)


@dataclass(frozen=True)
class Run:
    """What the episodes of a synthetic bag have in common."""

    steering: Steering = field(default_factory=Steering)
    task: str = "lift"
    checkpoint: str = "lift_unet@0123456789ab"
    sampler: str = "ddim"
    num_inference_steps: int = 16
    mode: str = "lockstep"
    steps: int = 16
    latency: float = 0.03


class SyntheticBag:
    """A bag with whole episodes, as the suite records them; `now` is the wall clock in ns, `sim` the simulated in s."""

    def __init__(self, folder, run=None, start=START):
        self.writer = BagWriter(folder, {"machine": "synthetic"})
        self.run = run or Run()
        self.now, self.sim, self.episode = start, 0.0, 0
        self.flushed = []  # (bytes in the file, complete episodes) after each flush

    def put(self, topic, msgtype, **fields):
        self.now += 1_000_000
        self.writer.add_topic(topic, msgtype)
        self.writer.write(topic, encode(msgtype, **fields), self.now + 200_000, self.now)

    def state(self, seed, step, status=1, **fields):
        self.put(
            "/episode/state",
            "psr_interfaces/msg/EpisodeState",
            header={"stamp": stamp(round(self.sim * SECOND))},
            task=self.run.task,
            episode=self.episode,
            seed=seed,
            step=step,
            status=status,
            **fields,
        )

    def chunk(self, step, steering=None, started=None, **fields):
        run = self.run
        self.put(
            "/policy/chunk",
            "psr_interfaces/msg/ActionChunk",
            header={"stamp": stamp(round(self.sim * SECOND))},
            session=7,
            episode=self.episode,
            step=step,
            horizon=1,
            dim=10,
            n_action_steps=8,
            data=np.zeros(10),
            steering=(steering or run.steering).to_dict(),
            sampler=run.sampler,
            num_inference_steps=run.num_inference_steps,
            checkpoint=run.checkpoint,
            sampling_started=stamp(started or self.now),
            latency=stamp(round(run.latency * SECOND)),
            **fields,
        )

    def result(self, seed, outcome, **fields):
        run = self.run
        content = dict(
            header={"stamp": stamp(round(self.sim * SECOND))},
            task=run.task,
            episode=self.episode,
            seed=seed,
            outcome=OUTCOMES.index(outcome),
            success=outcome == "success",
            steps=run.steps,
            checkpoint=run.checkpoint,
            steering=run.steering.to_dict(),
            sampler=run.sampler,
            num_inference_steps=run.num_inference_steps,
            chunks=2,
            latency_mean=run.latency,
            latency_max=run.latency,
            mode=run.mode,
        )
        self.put("/episode/result", "psr_interfaces/msg/EpisodeResult", **(content | fields))
        self.writer.flush()
        self.flushed.append((self.writer.size, len(self.flushed) + 1))

    def image(self, pixels):
        height, width, _ = pixels.shape
        self.put(
            "/camera/image_raw",
            "sensor_msgs/msg/Image",
            header={"stamp": stamp(round(self.sim * SECOND))},
            height=height,
            width=width,
            encoding="rgb8",
            step=3 * width,
            data=pixels.reshape(-1),
        )

    def play(self, seed, outcome="success", picture=None, **fields):
        """One whole episode; picture(step) -> (H, W, 3) uint8 adds a camera."""
        self.episode += 1
        for step in range(self.run.steps):
            if picture:
                self.image(picture(step))
            self.state(seed, step, await_chunk=step % 8 == 0)
            if step % 8 == 0:
                self.chunk(step)
            self.sim += 0.05
            self.now += 5_000_000
        self.result(seed, outcome, **fields)

    def turn(self, name, value, node="/policy"):
        """A parameter event: the dial is turned, or a node declares it."""
        kinds = {bool: (1, "bool_value"), float: (3, "double_value"), str: (4, "string_value")}
        number, key = kinds[type(value)]
        change = [{"name": name, "value": {"type": number, key: value}}]
        self.put("/parameter_events", "rcl_interfaces/msg/ParameterEvent", node=node, changed_parameters=change)

    def close(self):
        self.writer.close()
        return self.writer.folder


@pytest.fixture
def bag(tmp_path):
    """bag(name="run", **what differs from Run) -> SyntheticBag in a fresh folder."""
    made = []

    def make(name="run", start=START, **differences):
        made.append(SyntheticBag(tmp_path / name, replace(Run(), **differences), start))
        return made[-1]

    yield make
    for one in made:
        one.writer.close()


@pytest.fixture(name="encode")
def _encode():
    return encode
