"""The bridge: a simulated robot on the graph, which runs episodes for whatever policy answers its observations.

Everything happens in one thread. In lock-step the scene advances inside the chunk callback, n_action_steps at a time, and
stands still otherwise; in real time it advances on a wall timer. Simulated time goes on over episodes: one step_period
per control step and per reset, so that no two scenes share a stamp. Without a run the scene stands still, and its last
observation is published once per second (same stamp, status IDLE) for whoever looks at the topics.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import partial

from psr_interfaces.action import RunEpisodes
from psr_interfaces.msg import ActionChunk, EpisodeResult, EpisodeState
from psr_interfaces.srv import ResetEpisode
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from psr_ros import qos
from psr_ros.lifecycle import WARN, Status, SuiteNode, run_node
from psr_ros.messages import NANOSECONDS, nanoseconds_to_time
from sim.env import CONTROL_FREQUENCY, SimEnv
from sim.episode import LOCKSTEP, MAX_SEED, MODES, REALTIME, Episode, Outcome, Run, Verdict
from sim.publishers import ScenePublishers, chunk_from_message, result_message, state_message
from sim.rendering import CameraConfig
from sim.tasks import TASKS

STEP_PERIOD = 1 / CONTROL_FREQUENCY
STEP_NANOSECONDS = NANOSECONDS // CONTROL_FREQUENCY
WATCH_PERIOD = 0.1  # seconds, wall clock, between two looks at time limits and cancellations
REPEAT_PERIOD = 1.0  # seconds, wall clock, after which an observation that nobody answered is published again
FEEDBACK_STEPS = 5


@dataclass
class Job:
    """A run that somebody waits for; done is set to "", or to the reason why it ended early."""

    run: Run
    goal: ServerGoalHandle
    done: Future = field(default_factory=Future)
    results: list[EpisodeResult] = field(default_factory=list)


class SimNode(SuiteNode):
    """Publishes a simulated robot, executes a policy's chunks and judges episodes: action ~/run_episodes."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__("sim", **kwargs)
        self._declare_parameters()
        self._env: SimEnv | None = None
        self._scene: ScenePublishers | None = None
        self._job: Job | None = None
        self._episode: Episode | None = None
        self._nanoseconds = 0
        # Unique over restarts of the simulator, too: nothing left of an older one can be taken for an answer to this one.
        self._number = time.time_ns() // 1_000_000
        self._shown_at, self._waiting_since = 0.0, 0.0
        self._refusal = self._camera_error = ""
        self._states = self.create_publisher(EpisodeState, "/episode/state", qos.events())
        self._results = self.create_publisher(EpisodeResult, "/episode/result", qos.events())
        self.create_service(ResetEpisode, "~/reset", self._on_reset)
        self._server = ActionServer(
            self,
            RunEpisodes,
            "~/run_episodes",
            execute_callback=self._answer,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,  # _watch acts on it
        )

    def _declare_parameters(self) -> None:
        self.declare("task", "Lift", "Scene and goal of the episodes.", choices=TASKS)
        self.declare(
            "mode",
            LOCKSTEP,
            "lockstep: the scene waits for every chunk, results repeat bit by bit. realtime: 20 Hz of the wall clock, "
            "chunk or not. Read when an episode begins.",
            choices=MODES,
            live=True,
        )
        self.declare(
            "max_steps",
            0,
            "Control steps after which an episode has failed, unless the request says so; 0: the task's own limit.",
            bounds=(0, 1_000_000),
            live=True,
        )
        self.declare(
            "chunk_timeout",
            10.0,
            "Seconds (wall clock) without a usable chunk after which a moving episode is aborted.",
            bounds=(0.1, 3600.0),
            live=True,
        )
        self.declare(
            "policy_timeout",
            60.0,
            "Seconds (wall clock) that an episode waits for its first chunk before the whole run is given up.",
            bounds=(0.1, 3600.0),
            live=True,
        )
        self.declare("chunk_topic", "/policy/chunk", "Topic of the policy's chunks.")
        self.declare("camera.name", "agentview", "Camera of the scene; drawn only while somebody subscribes.")
        self.declare("camera.width", 256, "Pixels.", bounds=(1, 4096))
        self.declare("camera.height", 256, "Pixels.", bounds=(1, 4096))
        self.declare("camera.rate", 10.0, "Images per second of simulated time.", bounds=(0.1, float(CONTROL_FREQUENCY)))
        self.declare(
            "camera.reliability",
            "reliable",
            "Of the image topics; best_effort loses large images unless the middleware's buffers are enlarged.",
            choices=qos.RELIABILITIES,
        )

    # Lifecycle

    def configure(self) -> None:
        size = {side: self.parameter(f"camera.{side}") for side in ("width", "height")}
        self._env = SimEnv(self.parameter("task"), CameraConfig(self.parameter("camera.name"), **size))
        self._scene = ScenePublishers(self, self._env.task, self.parameter("camera.reliability"))
        self._camera_error = ""
        self._reset_scene(seed=0)

    def activate(self) -> None:
        self._chunks = self.create_subscription(
            ActionChunk, self.parameter("chunk_topic"), self._on_chunk, qos.events()
        )
        self._clocks = [
            self.create_wall_timer(WATCH_PERIOD, self._watch),
            self.create_wall_timer(STEP_PERIOD, self._tick),
        ]
        self._show()

    def deactivate(self) -> None:
        self._stop("the simulator was deactivated or shut down")
        self.destroy_subscription(self._chunks)
        for timer in self._clocks:
            self.destroy_timer(timer)

    def clean_up(self) -> None:
        if self._scene is not None:
            self._scene.destroy()
        if self._env is not None:
            self._env.close()
        self._scene = self._env = None

    def destroy_node(self) -> None:
        self._server.destroy()
        super().destroy_node()

    def status(self) -> Status:
        values = {"task": self.parameter("task"), "mode": self.parameter("mode"), "camera": self._camera_error or "ok"}
        if self._episode is None:
            return Status(message="idle: no run was requested", values=values)
        values.update(mode=self._episode.mode, seed=self._episode.seed, step=self._episode.step)
        waited = time.monotonic() - self._waiting_since
        if waited > 2 * REPEAT_PERIOD:
            question = self._refused() or "; is the policy active?"
            return Status(WARN, f"no chunk on {self._chunks.topic_name} for {waited:.0f} s{question}", values)
        return Status(message="running an episode", values=values)

    # The scene

    def _reset_scene(self, seed: int) -> None:
        self._number += 1
        self._seed = seed
        self._nanoseconds += STEP_NANOSECONDS
        self._observation = self._env.reset(seed)

    def _step(self) -> None:
        episode = self._episode
        self._observation = self._env.step(episode.take())
        self._nanoseconds += STEP_NANOSECONDS
        episode.advance(self._observation.reward, self._observation.success)
        self._show()
        if episode.over:
            self._finish_episode()
        elif episode.step % FEEDBACK_STEPS == 0:
            self._send_feedback()

    def _show(self) -> None:
        """Publish the scene as it stands, the state last: who has it has everything."""
        stamp = nanoseconds_to_time(self._nanoseconds)
        self._scene.observation(self._observation, stamp)
        if self._image_due() and self._scene.camera_wanted and not self._camera_error:
            try:
                self._scene.images(self._env.images(), stamp, self.parameter("camera.name"))
            except (RuntimeError, ValueError) as error:
                self._camera_error = str(error)
                self.get_logger().error(f"no images: {error}")
        self._show_state()
        self._shown, self._shown_at = self._nanoseconds, time.monotonic()

    def _show_state(self) -> None:
        stamp, step = nanoseconds_to_time(self._nanoseconds), self._observation.step
        self._states.publish(state_message(self._env.task.name, self._number, self._seed, step, self._episode, stamp))

    def _image_due(self) -> bool:
        """Whether this stamp is one of camera.rate per second, the first of an episode, or shown once more."""
        per_nanosecond = self.parameter("camera.rate") / NANOSECONDS
        index, before = (int(t * per_nanosecond + 1e-6) for t in (self._nanoseconds, self._nanoseconds - STEP_NANOSECONDS))
        return index != before or self._observation.step == 0 or self._shown == self._nanoseconds
