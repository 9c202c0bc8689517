"""The policy node: observation topics in, action chunks out. `python -m psr_policy.node`, or `ros2 run`."""

from __future__ import annotations

import secrets
import time
from array import array
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from psr_interfaces.msg import ActionChunk, EpisodeState

from psr_core.devices import torch_device
from psr_core.steering import Steering
from psr_policy.checkpoint import load_policy
from psr_policy.chunker import Chunk, ChunkSampler
from psr_policy.contract import load_contract
from psr_policy.gate import ActionLimits
from psr_policy.policy import SAMPLERS
from psr_policy.runner import PolicyRunner
from psr_policy.ticks import NewestMessages, Tick, TickMatcher
from psr_ros import qos
from psr_ros.lifecycle import ERROR, OK, Status, SuiteNode, run_alone
from psr_ros.messages import (
    NANOSECONDS,
    arrival_time,
    message_class,
    nanoseconds_to_time,
    seconds_to_duration,
    steering_to_message,
    time_to_nanoseconds,
)
from psr_ros.problem_log import ProblemLog
from psr_ros.steering_parameters import SteeringParameters

ROOT = Path(__file__).resolve().parents[1]
STATE_TOPIC = "/episode/state"


class PolicyNode(SuiteNode):
    """Samples an action chunk whenever one is due, under what the parameters say at that moment.

    Subscribes to the contract's topics, and to /episode/state with tick_source "topic"; publishes ~/chunk while active.
    A chunk that is not finite or outside the limits is not published, nor is any while observations are missing, too
    old, not finite or frozen: /diagnostics says why.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._runner: PolicyRunner | None = None
        super().__init__("policy", **kwargs)
        self.session = secrets.randbits(64)
        self._episode = 0
        self._log = ProblemLog(self.get_logger())
        self._subscriptions_by_topic: dict[str, Any] = {}
        self._timer: Any = None
        self._chunks: Any = None
        self.steering = SteeringParameters(self, refusal=self._refusal)
        self._declare_parameters()

    def _declare_parameters(self) -> None:
        declare = self.declare
        declare("checkpoint", str(ROOT / "models/lift_unet"), "Folder with policy.safetensors and policy.json.")
        declare("contract", str(ROOT / "config/contracts/lift.yaml"), "YAML file: which topics make up the features.")
        declare("sampler", "ddim", "How chunks are sampled.", choices=SAMPLERS, live=True)
        declare("num_inference_steps", 16, "Network calls for a chunk.", bounds=(1, 100), live=True)
        declare("noise_seed", 0, "Addresses the run's noise, together with seed and step.", bounds=(0, 2**63 - 1))
        declare("device", "cpu", "Where the network runs: cpu, cuda, cuda:1, ...")
        declare("threads", 0, "CPU threads of the network; 0 leaves torch's choice.", bounds=(0, 256))
        source = "A control step is: topic, a message on /episode/state (simulator); timer, a wall timer (robot)."
        declare("tick_source", "topic", source, choices=("topic", "timer"))
        stale = "Seconds without an observation after which no chunk is published."
        declare("observation_timeout", 1.0, stale, bounds=(0.05, 60.0))
        declare("frozen_steps", 40, "Hold after so many bit-identical observations; 0: never.", bounds=(0, 100_000))
        margin = "How far actions may leave the demonstrations' limits, as a part of their range."
        declare("limits_margin", 0.1, margin, bounds=(0.0, 10.0))

    def check_parameter(self, name: str, value: Any) -> None:
        if name == "num_inference_steps" and self._runner is not None:
            largest = self._runner.sampler.policy.config.num_train_timesteps
            if value > largest:
                raise ValueError(f"num_inference_steps is {value}, expected at most the {largest} of the training")

    def _refusal(self, steering: Steering, changes: Mapping[str, Any]) -> str | None:
        if self._runner is None:  # no policy to ask yet; configuring samples a chunk and would fail
            return None
        return self._runner.sampler.policy.refusal(steering, changes.get("sampler", self.parameter("sampler")))

    # Transitions

    def configure(self) -> None:
        if self.parameter("threads"):
            torch.set_num_threads(self.parameter("threads"))
        policy = load_policy(self.parameter("checkpoint"), torch_device(self.parameter("device")))
        config = policy.config
        contract = load_contract(self.parameter("contract"))
        contract.check(config.obs_keys, config.action_names, message_class)
        if self._from_topic:
            contract.check_stamps(message_class)
        limits = ActionLimits(
            config.action_names,
            policy.action_low,
            policy.action_high,
            self.parameter("limits_margin"),
            contract.low,
            contract.high,
        )
        runner = PolicyRunner(
            contract, ChunkSampler(policy, self.parameter("noise_seed")), limits, self.parameter("frozen_steps")
        )
        self._set_dial(runner.sampler)
        runner.warm_up()
        self._runner = runner
        self.get_logger().info(f"loaded {policy.checkpoint_id}, {self.steering.value.label()}")

    def activate(self) -> None:
        assert self._runner is not None
        self._runner.reset()
        self._episode += 1
        self._step = -1
        self._since = time.monotonic()
        self._sent: tuple[Chunk, ActionChunk] | None = None
        self._chunks = self.create_publisher(ActionChunk, "~/chunk", qos.events())
        contract = self._runner.contract
        self._observations: Any = (TickMatcher if self._from_topic else NewestMessages)(contract.topics)
        profile = qos.events() if self._from_topic else qos.newest()
        for topic, kind in contract.types.items():
            callback = partial(self._on_observation, topic)
            self._subscriptions_by_topic[topic] = self.create_subscription(
                message_class(kind), topic, callback, profile
            )
        if self._from_topic:
            subscription = self.create_subscription(EpisodeState, STATE_TOPIC, self._on_state, qos.events())
            self._subscriptions_by_topic[STATE_TOPIC] = subscription
        else:
            self._timer = self.create_wall_timer(self._runner.sampler.policy.config.step_period, self._on_timer)

    def deactivate(self) -> None:
        for subscription in self._subscriptions_by_topic.values():
            self.destroy_subscription(subscription)
        self._subscriptions_by_topic.clear()
        if self._timer is not None:
            self.destroy_timer(self._timer)
        if self._chunks is not None:
            self.destroy_publisher(self._chunks)
        self._timer = self._chunks = None

    def clean_up(self) -> None:
        self._runner = None

    # Control steps

    @property
    def _timeout(self) -> float:
        return float(self.parameter("observation_timeout"))

    @property
    def _from_topic(self) -> bool:
        return bool(self.parameter("tick_source") == "topic")

    def _on_observation(self, topic: str, message: Any, info: dict[str, Any]) -> None:
        stamp = time_to_nanoseconds(message.header.stamp) if hasattr(message, "header") else 0
        self._observations.add_message(topic, stamp, message, arrival_time(info))
        self._take_ready()

    def _on_state(self, state: EpisodeState, info: dict[str, Any]) -> None:
        if state.status == EpisodeState.RUNNING:
            stamp = time_to_nanoseconds(state.header.stamp)
            self._observations.add_tick(
                Tick(stamp, state.episode, state.seed, state.step, state.await_chunk), arrival_time(info)
            )
            self._take_ready()

    def _take_ready(self) -> None:
        if isinstance(self._observations, TickMatcher):
            for ready in self._observations.take_ready():
                age = (time.time_ns() - ready.arrival) / NANOSECONDS
                self._advance(ready.tick, ready.messages, ready.arrival, age)

    def _on_timer(self) -> None:
        assert self._runner is not None
        step = round((time.monotonic() - self._since) / self._runner.sampler.policy.config.step_period)
        if step <= self._step:
            return
        self._step = step
        now, observations = self.get_clock().now().nanoseconds, self._observations
        if problem := observations.problem(time.time_ns(), self._timeout, now):
            self._runner.hold(problem)
        else:
            tick = Tick(now, self._episode, self._episode, step)
            self._advance(tick, observations.messages, observations.arrival, age=0.0)

    def _advance(self, tick: Tick, messages: dict[str, Any], arrival: int, age: float) -> None:
        runner = self._runner
        assert runner is not None
        self._set_dial(runner.sampler)
        chunk = runner.step(tick, messages, age)
        if chunk is not None:
            self._publish(chunk, tick, arrival)
        self._tell(runner.problem)

    def _set_dial(self, sampler: ChunkSampler) -> None:
        sampler.steering = self.steering.value
        sampler.sampler = self.parameter("sampler")
        sampler.num_inference_steps = self.parameter("num_inference_steps")

    def _publish(self, chunk: Chunk, tick: Tick, arrival: int) -> None:
        runner = self._runner
        assert runner is not None
        if self._sent is None or self._sent[0] is not chunk:
            now = time.time_ns()
            latency = (now - arrival) / NANOSECONDS
            self._sent = chunk, self._message(chunk, tick, now, latency)
            runner.statistics.add(time.monotonic(), latency)
        self._chunks.publish(self._sent[1])

    def _message(self, chunk: Chunk, tick: Tick, now: int, latency: float) -> ActionChunk:
        assert self._runner is not None
        policy = self._runner.sampler.policy
        message = ActionChunk(
            session=self.session,
            episode=tick.episode,
            step=chunk.step,
            step_period=seconds_to_duration(policy.config.step_period),
            n_action_steps=chunk.n_action_steps,
            horizon=chunk.rows.shape[0],
            dim=chunk.rows.shape[1],
            data=array("f", chunk.rows.tobytes()),
            names=list(policy.config.action_names),
            steering=steering_to_message(chunk.steering),
            sampler=chunk.sampler,
            num_inference_steps=chunk.num_inference_steps,
            checkpoint=policy.checkpoint_id,
            sampling_started=nanoseconds_to_time(now - round(chunk.latency * NANOSECONDS)),
            latency=seconds_to_duration(latency),
        )
        message.header.stamp = nanoseconds_to_time(tick.stamp)
        message.header.frame_id = self._runner.contract.frame
        return message

    # Diagnostics

    def status(self) -> Status:
        assert self._runner is not None
        runner, statistics = self._runner, self._runner.statistics
        problem = runner.problem or self._silence()
        if not problem and isinstance(self._observations, TickMatcher):
            problem = self._observations.problem(time.time_ns(), self._timeout)
        self._tell(problem)
        values = {
            "checkpoint": runner.sampler.policy.checkpoint_id,
            "steering": self.steering.value.label(),
            "sampler": f"{self.parameter('sampler')}, {self.parameter('num_inference_steps')} steps",
            "session": self.session,
            "chunks": statistics.published,
            "chunks per second": f"{statistics.rate(time.monotonic()):.2f}",
            "latency p50 (s)": f"{statistics.latency(50):.4f}",
            "latency p95 (s)": f"{statistics.latency(95):.4f}",
            "refused chunks": statistics.refused,
            "skipped chunks": statistics.skipped,
            "steps on hold": statistics.held,
            "incomplete steps": getattr(self._observations, "dropped", 0),
            "last error": runner.last_error,
        }
        return Status(ERROR if problem else OK, problem or "sampling when asked", values)

    def _silence(self) -> str:
        """Which topics nobody publishes, once there was time to find a publisher."""
        assert self._runner is not None
        if time.monotonic() - self._since < max(self._timeout, qos.DISCOVERY):
            return ""
        problems = []
        for topic, subscription in self._subscriptions_by_topic.items():
            if problem := qos.silence(self, subscription):
                users = ", ".join(self._runner.contract.users(topic)) or "the control steps"
                problems.append(f"{problem} (needed for {users})")
        return "; ".join(problems)

    def _tell(self, problem: str) -> None:
        self._log.tell(problem and f"no chunk: {problem}")


def main() -> NoReturn:
    """Run the node until it is stopped."""
    run_alone(PolicyNode)


if __name__ == "__main__":
    main()
