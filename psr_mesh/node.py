"""The mesh node: prompts in, objects for the simulator out. `python -m psr_mesh.node`, or `ros2 run`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from psr_interfaces.action import BuildMesh
from psr_interfaces.msg import MeshAsset
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from psr_core.steering import Steering
from psr_core.suite_folder import suite_root
from psr_mesh.build_thread import BuildThread
from psr_mesh.builder import Progress, Stopped, build_mesh
from psr_mesh.catalogue import Entry, read_catalogue
from psr_mesh.goals import BuildGoal
from psr_mesh.outputs import asset_message, feedback_of, goal_of, result_of
from psr_mesh.priors import Priors
from psr_ros import qos
from psr_ros.lifecycle import OK, WARN, Status, SuiteNode, run_alone
from psr_ros.steering_parameters import SteeringParameters

PATIENCE = 4.0  # seconds that a build has to save itself when the node is stopped
DTYPES = ("float32", "bfloat16", "float16")


@dataclass
class Job:
    """A build that somebody waits for. done becomes its result."""

    handle: ServerGoalHandle
    goal: BuildGoal
    thread: BuildThread | None = None
    progress: Progress | None = None
    done: Future = field(default_factory=Future)

    async def answer(self, handle: ServerGoalHandle) -> BuildMesh.Result:
        """The action's result, once the build is over."""
        result = await self.done
        if result.success:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return result


class MeshNode(SuiteNode):
    """Builds one object at a time, action ~/build, in a thread of its own; this one always answers.

    What cannot be built is answered at once with the reason. A build that was cancelled, or killed with the node, goes
    on where it was when the same goal is sent again. ~/asset tells of the last object that was finished, late comers
    too.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._job: Job | None = None
        self._priors: Priors | None = None
        self._assets: Any = None
        self._built, self._last_error = 0, ""
        super().__init__("mesh", **kwargs)
        self.steering = SteeringParameters(self, Steering())
        declare_parameters(self.declare)
        self._guard = self.create_guard_condition(self._on_news)
        self._server = ActionServer(
            self,
            BuildMesh,
            "~/build",
            execute_callback=Job.answer,
            goal_callback=lambda request: GoalResponse.ACCEPT,  # a rejection could not say why
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )

    # Transitions

    def configure(self) -> None:
        if self.parameter("threads"):
            torch.set_num_threads(self.parameter("threads"))
        read_catalogue(self._folder("catalogue"))
        self._priors = Priors(self.parameter("prior"), self.parameter("device"), self.parameter("dtype"))
        self._priors.get("")  # weights that cannot be read shall be known now

    def activate(self) -> None:
        self._assets = self.create_publisher(MeshAsset, "~/asset", qos.latched())

    def deactivate(self) -> None:
        self._abandon("the node was shut down or deactivated")
        if self._assets is not None:
            self.destroy_publisher(self._assets)
        self._assets = None

    def clean_up(self) -> None:
        self._priors = None

    def destroy_node(self) -> None:
        if self._job is not None and self._job.thread is not None:
            self._job.thread.stop()
        self._server.destroy()
        super().destroy_node()

    # Goals

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        try:
            job = Job(handle, self._read(handle.request))
        except ValueError as error:
            self._refuse(handle, str(error))
            return
        self._job = job
        job.thread = BuildThread(self._build_of(job.goal), self._guard.trigger)
        handle.execute(job.answer)
        self.get_logger().info(f"building {job.goal.name}: {job.goal.settings.prompt!r}")

    def _read(self, request: BuildMesh.Goal) -> BuildGoal:
        if self.state != "active":
            raise ValueError(f"the node is {self.state}, expected active")
        if self._job is not None:
            raise ValueError(f"{self._job.goal.name} is being built; wait for it, or cancel it")
        return goal_of(request, self.steering.value)

    def _build_of(self, goal: BuildGoal) -> Callable[..., Entry]:
        priors, work, catalogue = self._priors, self._folder("work") / goal.name, self._folder("catalogue")
        preview_every = self.parameter("preview_seconds")
        assert priors is not None  # the node is active

        def build(should_stop: Callable[[], bool], progress: Callable[[Progress], None]) -> Entry:
            return build_mesh(
                goal.settings,
                priors.get(goal.settings.empty),
                work,
                catalogue,
                goal.name,
                should_stop=should_stop,
                progress=progress,
                preview_every=preview_every,
                asset=goal.asset,
            )

        return build

    def _refuse(self, handle: ServerGoalHandle, why: str) -> None:
        self.get_logger().warning(f"build of {handle.request.prompt!r} refused: {why}")

        async def answer(handle: ServerGoalHandle) -> BuildMesh.Result:
            handle.abort()
            return BuildMesh.Result(message=why)

        handle.execute(answer)

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        if self._job is not None and self._job.thread is not None:
            self._job.thread.stop()
        return CancelResponse.ACCEPT

    # What the thread says

    def _on_news(self) -> None:
        job = self._job
        if job is None or job.thread is None:
            return
        outcome = job.thread.outcome  # before the news: what was said before the end is all there then
        for progress in job.thread.news():
            job.progress = progress
            if job.handle.is_active:
                job.handle.publish_feedback(feedback_of(progress))
        if outcome is not None:
            self._end(job, outcome)

    def _end(self, job: Job, outcome: Entry | Exception) -> None:
        self._job = None
        if isinstance(outcome, Exception):
            self._fail(job, outcome)
            return
        catalogue = self._folder("catalogue")
        if self._assets is not None:
            now = self.get_clock().now().to_msg()
            self._assets.publish(asset_message(job.goal, outcome, catalogue, now))
        self._built, self._last_error = self._built + 1, ""
        self.get_logger().info(f"built {catalogue / outcome.name}")
        self._answer(job, result_of(outcome, catalogue))

    def _fail(self, job: Job, error: Exception) -> None:
        told = isinstance(error, Stopped | ValueError | OSError)
        message = str(error) if told else f"{type(error).__name__}: {error}"
        if isinstance(error, Stopped):
            message += "; the same goal goes on"
            self.get_logger().info(f"{job.goal.name}: {message}")
        else:
            self._last_error = f"{job.goal.name}: {message}"
            details = "" if told else "\n" + "".join(traceback.format_exception(error))
            self.get_logger().error(f"{self._last_error}{details}")
        self._answer(job, BuildMesh.Result(message=message, name=job.goal.name))

    def _answer(self, job: Job, result: BuildMesh.Result) -> None:
        if not job.done.done():  # whoever waited was told already when the node was deactivated
            job.done.set_result(result)

    def _abandon(self, why: str) -> None:
        """Stop a build. One that is past its distillation may take longer than PATIENCE: then it ends by itself."""
        job = self._job
        if job is None or job.thread is None:
            return
        if job.thread.stop(PATIENCE):
            self._on_news()
        else:
            self._answer(job, BuildMesh.Result(message=f"{why}; the same goal goes on", name=job.goal.name))

    # Diagnostics

    def status(self) -> Status:
        values = {
            "prior": self.parameter("prior"),
            "catalogue": str(self._folder("catalogue")),
            "steering": self.steering.value.label(),
            "built": self._built,
            "last error": self._last_error,
        }
        job = self._job
        if job is None:
            failed = f"; the last one failed: {self._last_error}" if self._last_error else ""
            return Status(WARN if failed else OK, f"waiting for a goal{failed}", values)
        where = (
            "beginning" if job.progress is None else f"{job.progress.stage}, {job.progress.step}/{job.progress.steps}"
        )
        return Status(message=f"building {job.goal.name}: {where}", values=values)

    def _folder(self, name: str) -> Path:
        return Path(self.parameter(name)).absolute()


def declare_parameters(declare: Callable[..., Any]) -> None:
    """Declare them; declare: SuiteNode.declare."""
    prior = "Folder of a text-to-image pipeline of diffusers, or a hub id (owner/name)."
    declare("prior", str(suite_root() / "models" / "prior"), prior)
    declare("device", "cpu", "Where the prior and the volume are: cpu, cuda, cuda:1, ...")
    declare("dtype", DTYPES[0], "Of the prior's networks.", choices=DTYPES)
    declare("threads", 0, "CPU threads; 0 leaves torch's choice.", bounds=(0, 256))
    declare("catalogue", "runs/catalogue", "Folder that finished objects go to.")
    declare("work", "runs/mesh", "Folder of the builds under way, from which they go on after a stop.")
    preview = "Seconds between two pictures of a build in its feedback."
    declare("preview_seconds", 10.0, preview, bounds=(0.1, 3600.0), live=True)


def main() -> NoReturn:
    """Run the node until it is stopped."""
    run_alone(MeshNode)


if __name__ == "__main__":
    main()
