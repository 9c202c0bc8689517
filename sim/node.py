"""The bridge: a simulated robot on the graph, which runs episodes for whatever policy answers its observations.

Everything happens in one thread. In lock-step the scene advances inside the chunk callback, n_action_steps at a time,
and stands still otherwise; in real time it advances on a wall timer. Whenever it stands still, and also without a run
(status IDLE), the last observation is published again once per second, with the same stamp, for whoever came late.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

from psr_interfaces.action import RunEpisodes
from psr_interfaces.msg import ActionChunk, EpisodeResult
from psr_interfaces.srv import ResetEpisode
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from psr_ros import qos
from psr_ros.lifecycle import ERROR, WARN, Status, SuiteNode, run_alone
from sim.episode import LOCKSTEP, MAX_SEED, REALTIME, Episode, Outcome, Run, Verdict
from sim.parameters import declare_parameters
from sim.publishers import result_message
from sim.scene import Scene

WATCH_PERIOD = 0.1  # seconds, wall clock, between two looks at time limits and cancellations
REPEAT_PERIOD = 1.0  # seconds, wall clock, after which an observation that nobody answered is published again
FEEDBACK_STEPS = 5


@dataclass
class Job:
    """A run that somebody waits for. done becomes the reason why it ended early, "" if it did not."""

    goal: ServerGoalHandle
    run: Run
    done: Future = field(default_factory=Future)
    results: list[EpisodeResult] = field(default_factory=list)

    async def answer(self, goal: ServerGoalHandle) -> RunEpisodes.Result:
        """The action's result, once the run is over."""
        message = await self.done
        if goal.is_cancel_requested:
            goal.canceled()
        elif message:
            goal.abort()
        else:
            goal.succeed()
        successes, failures, aborted = (self.run.count(outcome) for outcome in Outcome)
        return RunEpisodes.Result(
            results=self.results, successes=successes, failures=failures, aborted=aborted, message=message
        )


class SimNode(SuiteNode):
    """Publishes a simulated robot, executes a policy's chunks and judges episodes: action ~/run_episodes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("sim", **kwargs)
        declare_parameters(self.declare)
        self._scene: Any = None
        self._chunks: Any = None
        self._wall_timers: list[Any] = []
        self._job: Job | None = None
        self._episode: Episode | None = None
        self._past = 0  # simulated time, in ns, of scenes that were cleaned up
        self._shown_at = self._waiting_since = 0.0
        self._refusal = ""
        self._results = self.create_publisher(EpisodeResult, "/episode/result", qos.events())
        self.create_service(ResetEpisode, "~/reset", self._on_reset)
        self._server = ActionServer(
            self,
            RunEpisodes,
            "~/run_episodes",
            execute_callback=Job.answer,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,  # _watch acts on it
        )

    # Transitions

    def configure(self) -> None:
        self._scene = Scene(self, self._past)

    def activate(self) -> None:
        self._chunks = self.create_subscription(
            ActionChunk, self.parameter("chunk_topic"), self._on_chunk, qos.events()
        )
        self._wall_timers = [
            self.create_wall_timer(WATCH_PERIOD, self._watch),
            self.create_wall_timer(1 / self._scene.task.control_frequency, self._tick),
        ]
        self._show()

    def deactivate(self) -> None:
        self._stop("the simulator was shut down or deactivated")
        for timer in self._wall_timers:
            self.destroy_timer(timer)
        if self._chunks is not None:
            self.destroy_subscription(self._chunks)
        self._wall_timers, self._chunks = [], None

    def clean_up(self) -> None:
        if self._scene is not None:
            self._past = self._scene.nanoseconds
            self._scene.close()
        self._scene = None

    def destroy_node(self) -> None:
        self._server.destroy()
        super().destroy_node()

    def status(self) -> Status:
        """Idle, running, or waiting for what; a camera that cannot be drawn is an error."""
        values = {"task": self.parameter("task"), "mode": self.parameter("mode"), "episode": self._scene.number}
        if self._scene.camera.error:
            return Status(ERROR, f"no images: {self._scene.camera.error}", values)
        if self._episode is None:
            return Status(message="idle: waiting for a run", values=values)
        values.update(mode=self._episode.mode, seed=self._episode.seed, step=self._episode.step)
        waited = time.monotonic() - self._waiting_since
        if waited > 2 * REPEAT_PERIOD:
            return Status(WARN, f"waiting for a chunk for {waited:.0f} s{self._why_no_chunk()}", values)
        return Status(message="running an episode", values=values)

    # What moves it

    def _on_chunk(self, message: ActionChunk) -> None:
        episode = self._episode
        if episode is None:
            return
        try:
            verdict, why = episode.offer(self._scene.chunk(message))
        except ValueError as error:
            verdict, why = Verdict.REFUSED, str(error)
        if verdict is Verdict.RESTARTED:
            self._abort_episode(episode, why)
        elif verdict is Verdict.REFUSED:
            self._refusal = why
            self.get_logger().warning(f"chunk of episode {message.episode}, step {message.step} refused: {why}")
        elif verdict is Verdict.ACCEPTED:
            while episode.mode == LOCKSTEP and not (episode.awaiting or episode.over):
                self._step(episode)
            self._wait_from_now()

    def _step(self, episode: Episode) -> None:
        self._scene.step(episode.take())
        episode.advance(self._scene.observation.reward, self._scene.observation.success)
        self._show()
        if episode.over:
            self._finish_episode(episode)
        elif episode.step % FEEDBACK_STEPS == 0:
            self._send_feedback()

    def _show(self) -> None:
        self._scene.show(self._episode)
        self._shown_at = time.monotonic()

    def _tick(self) -> None:
        episode = self._episode
        if episode is not None and episode.mode == REALTIME and not episode.awaiting:
            self._step(episode)

    def _watch(self) -> None:
        job, episode = self._job, self._episode
        if job is not None and job.goal.is_cancel_requested:
            self._stop("cancelled")
        elif episode is not None:
            self._check_policy(episode)
        standing = self._episode is None or self._episode.awaiting
        if standing and time.monotonic() - self._shown_at >= REPEAT_PERIOD:
            self._show()

    def _check_policy(self, episode: Episode) -> None:
        """Give the episode up when its policy is gone, or the run when there is none."""
        waited = time.monotonic() - self._waiting_since
        if not episode.chunks:
            if waited > self.parameter("policy_timeout"):
                self._stop(f"no usable chunk came within policy_timeout, {waited:.1f} s{self._why_no_chunk()}")
        elif not self._chunks.get_publisher_count():
            self._abort_episode(episode, f"the policy is gone{self._why_no_chunk()}")
        elif waited > self.parameter("chunk_timeout"):
            why = f"no usable chunk came within chunk_timeout, {waited:.1f} s, at step {episode.step}"
            self._abort_episode(episode, why + self._why_no_chunk())

    def _why_no_chunk(self) -> str:
        if self._refusal:
            return f": the last one was refused, {self._refusal}"
        silent = "a policy is connected, but silent (killed, hung or holding); see its log and diagnostics"
        return f": {qos.silence(self, self._chunks) or silent}"

    def _wait_from_now(self) -> None:
        self._waiting_since, self._refusal = time.monotonic(), ""

    # Episodes and runs

    def _on_goal(self, request: RunEpisodes.Goal) -> GoalResponse:
        if self._job is None and self.state == "active":
            return GoalResponse.ACCEPT
        why = "another one is under way" if self._job else f"the simulator is {self.state}, expected active"
        self.get_logger().warning(f"run on seeds from {request.first_seed} rejected: {why}")
        return GoalResponse.REJECT

    def _on_accepted(self, goal: ServerGoalHandle) -> None:
        request = goal.request
        max_steps = request.max_steps or self.parameter("max_steps") or self._scene.task.max_steps
        job = Job(goal, Run(request.first_seed, request.episodes, max_steps))
        goal.execute(job.answer)
        if job.run.problem:
            job.done.set_result(job.run.problem)
        else:
            self._job = job
            self._begin_episode(job.run)

    def _on_reset(self, request: ResetEpisode.Request, response: ResetEpisode.Response) -> ResetEpisode.Response:
        response.success = False
        if self.state != "active":
            response.message = f"the simulator is {self.state}, expected active"
        elif request.seed > MAX_SEED:
            response.message = f"seed is {request.seed}, expected 0 to {MAX_SEED}"
        else:
            self._stop("the scene was reset")
            self._scene.reset(request.seed)
            self._show()
            response.success = True
        return response

    def _begin_episode(self, run: Run) -> None:
        self._scene.reset(run.next_seed)
        scene, mode = self._scene, self.parameter("mode")
        self._episode = Episode(scene.number, scene.seed, run.max_steps, scene.task.action_dim, mode)
        self._show()
        self._wait_from_now()

    def _abort_episode(self, episode: Episode, reason: str) -> None:
        episode.abort(reason)
        self._scene.show_state(episode)
        self._finish_episode(episode)

    def _finish_episode(self, episode: Episode) -> None:
        """Publish the result of an episode that is over, and go on with the next one of the run."""
        job = self._close_episode(episode)
        if job.run.finished:
            self._end_job(job, "")
        else:
            self._begin_episode(job.run)

    def _close_episode(self, episode: Episode) -> Job:
        job, result = self._job, episode.result()
        assert job is not None  # every episode belongs to a run
        self._episode = None
        job.run.results.append(result)
        job.results.append(result_message(result, self._scene.task.name, self._scene.stamp))
        self._results.publish(job.results[-1])
        self._send_feedback()
        text = f"seed {result.seed}: {result.outcome.name.lower()} after {result.steps} steps"
        self.get_logger().info(f"{text}: {result.reason}" if result.reason else text)
        return job

    def _stop(self, reason: str) -> None:
        """Abort what is running, and do not go on with the next seed."""
        job, episode = self._job, self._episode
        if episode is not None:
            episode.abort(reason)
            self._scene.show_state(episode)
            self._close_episode(episode)
        if job is not None:
            self._end_job(job, reason)

    def _end_job(self, job: Job, reason: str) -> None:
        self._job = None
        job.done.set_result(reason)

    def _send_feedback(self) -> None:
        job, run = self._job, self._job.run
        job.goal.publish_feedback(
            RunEpisodes.Feedback(
                finished=len(run.results),
                successes=run.count(Outcome.SUCCESS),
                seed=self._scene.seed,
                step=self._scene.observation.step,
            )
        )


def main() -> NoReturn:
    """Run the node until it is stopped."""
    run_alone(SimNode)


if __name__ == "__main__":
    main()
