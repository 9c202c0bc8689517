"""The lifecycle node that every node of the suite is, and the main function that runs one."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.srv import ChangeState
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from psr_ros.parameters import DeclaredParameters

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
DIAGNOSTICS_PERIOD = 1.0  # seconds, wall clock
LAST_WORDS = 0.2  # seconds at most, for each publisher, until its last messages have arrived


@dataclass
class Status:
    """How a node is: level OK, WARN or ERROR, one sentence, and named values."""

    level: bytes = OK
    message: str = "running"
    values: dict[str, Any] = field(default_factory=dict)


class SuiteNode(LifecycleNode):
    """A lifecycle node that starts itself, says on /diagnostics how it is, and answers every request.

    Subclasses override configure, activate, deactivate and clean_up, which raise to refuse, and status. A refused
    transition is logged, shown on /diagnostics, and leaves the node in the state before; clean_up follows a refused
    configure, so it must bear being called at any time.
    Parameter `autostart` (default true): configure and activate without being asked.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.last_error = ""
        self._wall = Clock(clock_type=ClockType.STEADY_TIME)
        # rclpy lets an impossible transition raise out of the executor, which would end the process.
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._answer_change_state
        self._declared = DeclaredParameters(self, lambda: self.state == "unconfigured", self.check_parameter)
        self.declare("autostart", True, "Configure and activate without being asked.")
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_wall_timer(DIAGNOSTICS_PERIOD, self.publish_diagnostics)
        self._starter = self.create_wall_timer(0.0, self._start)

    # What a subclass fills in

    def configure(self) -> None:
        """Read parameters, load what is heavy. Raise to stay unconfigured."""

    def activate(self) -> None:
        """Subscribe, publish, start timers. Raise to stay inactive."""

    def deactivate(self) -> None:
        """Undo activate."""

    def clean_up(self) -> None:
        """Undo configure."""

    def check_parameter(self, name: str, value: Any) -> None:
        """Raise ValueError to refuse a value that range and choices cannot refuse."""

    def status(self) -> Status:
        """How the node is while it is active."""
        return Status()

    def declare(self, name: str, default: Any, description: str, **limits: Any) -> Any:
        """Declare a parameter and return its value; limits (bounds, choices, live) as DeclaredParameters.declare."""
        return self._declared.declare(name, default, description, **limits)

    def parameter(self, name: str) -> Any:
        """The present value of a declared parameter."""
        return self.get_parameter(name).value

    # Transitions

    @property
    def state(self) -> str:
        """unconfigured, inactive, active, finalized, or the transition under way."""
        label: str = self._state_machine.current_state[1]
        return label

    def create_wall_timer(self, period: float, callback: Callable[[], None]) -> Any:
        """A timer in seconds of the wall clock, also while simulated time stands still."""
        return self.create_timer(period, callback, clock=self._wall)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._run("configure", self.configure, super().on_configure, state, undo=self.clean_up)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._run("activate", self.activate, super().on_activate, state, undo=self.deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._run("deactivate", self.deactivate, super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._run("clean up", self.clean_up, super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        def undo_all() -> None:
            if state.label == "active":
                self.deactivate()
            self.clean_up()

        return self._run("shut down", undo_all, super().on_shutdown, state)

    def _run(
        self,
        verb: str,
        work: Callable[[], None],
        managed: Callable[[LifecycleState], TransitionCallbackReturn],
        state: LifecycleState,
        undo: Callable[[], None] | None = None,
    ) -> TransitionCallbackReturn:
        try:
            work()
        except Exception as error:
            self._report_failure(verb, error)
            if undo:
                undo()
            return TransitionCallbackReturn.FAILURE
        self.last_error = ""
        return managed(state)

    def _report_failure(self, verb: str, error: Exception) -> None:
        self.last_error = f"cannot {verb}: {error}"
        cure = " Mend it, then request the configure and activate transitions." if verb == "configure" else ""
        self.get_logger().error(f"{self.last_error}.{cure}{_details(error)}")

    def _start(self) -> None:
        self.destroy_timer(self._starter)
        if self.parameter("autostart") and self.state == "unconfigured":
            if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
                self.trigger_activate()
            self.publish_diagnostics()

    def _answer_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        possible = {number: label for number, label, *_ in self._state_machine.available_transitions}
        wanted = request.transition.label or possible.get(request.transition.id)
        if wanted in possible.values():
            answer: ChangeState.Response = self._change_state(request, response)
            return answer
        asked = request.transition.label or f"transition {request.transition.id}"
        self.get_logger().warning(
            f"{asked} is not possible in state {self.state}; possible: {sorted(possible.values())}"
        )
        response.success = False
        return response

    def shut_down(self) -> None:
        """The way to the finalized state, from whatever state the node is in."""
        if self.state in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()

    # Diagnostics

    def publish_diagnostics(self) -> None:
        """Publish the node's status now; a timer does so every second."""
        if self.state == "active":
            status = self.status()
        elif self.last_error:
            status = Status(ERROR, self.last_error)
        else:
            status = Status(WARN, f"{self.state}: waiting for the next transition")
        values = {"state": self.state, **status.values}
        message = DiagnosticStatus(
            level=status.level,
            name=self.get_fully_qualified_name().lstrip("/"),
            message=status.message,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[message])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def run_node(factory: Callable[[], SuiteNode], args: list[str] | None = None) -> int:
    """Run one node until SIGINT, SIGTERM or a shut down context; returns the exit code: 0, or 1 after an error.

    Call it from the main thread, as in `sys.exit(run_node(PolicyNode))`. The node's shutdown transition runs while
    the graph is still there, so that last messages get out. Further signals during the cleanup are ignored.
    """
    stopped = []

    def stop(signum: int, frame: FrameType | None) -> None:
        stopped.append(signum)
        _ignore_signals()
        sys.unraisablehook = _tell_unless_interrupted
        raise KeyboardInterrupt

    # Own handlers, because rclpy's shut the context down before the node could say anything more.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    node = executor = None
    code = 0
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        executor = SingleThreadedExecutor()
        node = factory()
        executor.add_node(node)
        # Python looks at signals between two waits; `stopped` is for one that was raised where exceptions are lost.
        while rclpy.ok() and not stopped:
            executor.spin_once(timeout_sec=0.2)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        code = 1
        rclpy.logging.get_logger(node.get_name() if node else "psr").fatal(f"{error}{_details(error)}")
    finally:
        _ignore_signals()
        _close(node, executor)
    return code


def run_alone(factory: Callable[[], SuiteNode]) -> NoReturn:
    """Run one node as all that this process does, then leave it with run_node's exit code.

    Skips the interpreter's own teardown: there is nothing left to save, and with torch loaded it takes a second or two
    of the five that a Ctrl-C may take.
    """
    code = run_node(factory)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _details(error: Exception) -> str:
    """Where an error came from; nothing for those whose text says what to do."""
    told = isinstance(error, (ValueError, OSError, ParameterException))
    return "" if told else "\n" + "".join(traceback.format_exception(error))


def _tell_unless_interrupted(lost: sys.UnraisableHookArgs) -> None:
    """Python tells of exceptions that are lost in a `__del__`; a signal there is no mistake, and `stopped` has it."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _close(node: SuiteNode | None, executor: SingleThreadedExecutor | None) -> None:
    try:
        if node is not None and rclpy.ok():
            node.shut_down()
            for publisher in node.publishers:
                publisher.wait_for_all_acked(Duration(seconds=LAST_WORDS))
    finally:
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
