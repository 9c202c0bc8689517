"""What the command line asks of running nodes: parameters, lifecycle states and transitions, episode runs.

    with RosSession() as ros:
        ParameterClient(ros, "/policy").set("steering.k", "2")

Every request has a time limit, and Ctrl-C works everywhere: the session waits in short turns.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from psr_interfaces.action import RunEpisodes
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterDescriptor, ParameterType
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParametersAtomically
from rclpy.action import ActionClient
from rclpy.parameter import Parameter, parameter_value_to_python

from psr_ros.session import TIMEOUT, TURN, RosSession, full_name

SETTLED = 5.0  # seconds; a node that starts itself leaves the unconfigured state at once, or stays in it
GOAL_STATUS = {
    GoalStatus.STATUS_SUCCEEDED: "succeeded",
    GoalStatus.STATUS_CANCELED: "cancelled",
    GoalStatus.STATUS_ABORTED: "aborted",
}


class SetOutcome(NamedTuple):
    """What became of a request to set a parameter; value is the one in force afterwards."""

    successful: bool
    reason: str
    value: Any


class ParameterClient:
    """The parameters of one node, by its full name such as "/policy"."""

    def __init__(self, session: RosSession, node: str, timeout: float = TIMEOUT) -> None:
        self._session, self._timeout = session, timeout
        self.node = full_name(node)

    def names(self) -> list[str]:
        """Names of the declared parameters, sorted."""
        response = self._call("list_parameters", ListParameters, ListParameters.Request())
        return sorted(response.result.names)

    def get(self, *names: str) -> dict[str, Any]:
        """Values by name, of all parameters if none is named. Raises LookupError for an undeclared name."""
        wanted = self._declared(names)
        response = self._call("get_parameters", GetParameters, GetParameters.Request(names=wanted))
        return {name: parameter_value_to_python(value) for name, value in zip(wanted, response.values, strict=True)}

    def describe(self, *names: str) -> dict[str, ParameterDescriptor]:
        """Descriptors (type, description, ranges) by name, of all parameters if none is named. Raises LookupError."""
        wanted = self._declared(names)
        response = self._call("describe_parameters", DescribeParameters, DescribeParameters.Request(names=wanted))
        return dict(zip(wanted, response.descriptors, strict=True))

    def set(self, name: str, value: Any) -> SetOutcome:
        """Set one parameter; a text is converted to the declared type first."""
        return self.set_all({name: value})[name]

    def set_all(self, values: dict[str, Any]) -> dict[str, SetOutcome]:
        """Set several parameters together: either all of them or none.

        The outcome carries the node's reason for refusing, or what is wrong with a text. Raises LookupError for an
        undeclared name and TimeoutError when the node does not answer.
        """
        types = {name: descriptor.type for name, descriptor in self.describe(*values).items()}
        try:
            converted = {name: convert(name, value, types[name]) for name, value in values.items()}
        except ValueError as error:
            return self._outcomes(values, False, str(error))
        request = SetParametersAtomically.Request(
            parameters=[
                ParameterMessage(name=name, value=Parameter(name, value=value).get_parameter_value())
                for name, value in converted.items()
            ]
        )
        result = self._call("set_parameters_atomically", SetParametersAtomically, request).result
        return self._outcomes(values, result.successful, result.reason)

    def _outcomes(self, names: dict[str, Any], successful: bool, reason: str) -> dict[str, SetOutcome]:
        return {name: SetOutcome(successful, reason, value) for name, value in self.get(*names).items()}

    def _declared(self, names: tuple[str, ...]) -> list[str]:
        known = self.names()
        if unknown := [name for name in names if name not in known]:
            raise LookupError(f"{self.node} has no parameter {', '.join(unknown)}; it has: {', '.join(known)}")
        return list(names) or known

    def _call(self, service: str, kind: type[Any], request: Any) -> Any:
        return self._session.call(f"{self.node}/{service}", kind, request, self._timeout)


def convert(name: str, value: Any, declared: int) -> Any:
    """A value for a parameter of type `declared` (a ParameterType number): texts are parsed, whole numbers widened.

    Raises ValueError naming the parameter, the value and what was expected.
    """
    try:
        if declared == ParameterType.PARAMETER_BOOL and isinstance(value, str):
            return {"true": True, "false": False}[value.lower()]
        if declared == ParameterType.PARAMETER_INTEGER and not isinstance(value, bool):
            return int(value) if isinstance(value, str) else value
        if declared == ParameterType.PARAMETER_DOUBLE and not isinstance(value, bool):
            return float(value)
        return value
    except (KeyError, ValueError):
        expected = {
            ParameterType.PARAMETER_BOOL: "true or false",
            ParameterType.PARAMETER_INTEGER: "a whole number",
            ParameterType.PARAMETER_DOUBLE: "a number",
        }
        raise ValueError(f"{name} is {value!r}, expected {expected[declared]}") from None


def lifecycle_state(session: RosSession, node: str, timeout: float = TIMEOUT) -> str:
    """unconfigured, inactive, active or finalized. Raises TimeoutError when there is no such lifecycle node."""
    response = session.call(f"{full_name(node)}/get_state", GetState, GetState.Request(), timeout)
    return str(response.current_state.label)


def wait_for_active(session: RosSession, node: str, timeout: float) -> None:
    """Return once a node is active. Raises TimeoutError saying which state it is in otherwise, or that it is absent.

    A node that stays unconfigured has refused its configuration: it is waited for no longer than SETTLED seconds more.
    """
    start, limit, state = time.monotonic(), timeout, "absent"
    while state != "active":
        waited = time.monotonic() - start
        if waited >= limit:
            hint = "see its log and /diagnostics" if state != "absent" else "start it first"
            raise TimeoutError(f"{full_name(node)} is {state} after {limit:g} s, expected active; {hint}")
        try:
            state = lifecycle_state(session, node, min(limit - waited, TIMEOUT))
        except TimeoutError:
            limit = timeout  # busy, with a transition for example
            continue
        limit = min(limit, math.ceil(waited) + SETTLED) if state == "unconfigured" else timeout
        session.wait(lambda: False, TURN)


def change_state(session: RosSession, node: str, transition: str, timeout: float = 30.0) -> bool:
    """Request a transition by name, such as "configure"; returns whether it succeeded.

    Raises ValueError when the node's state does not allow it: rclpy's stock nodes never answer such a request.
    """
    name = full_name(node)
    session.client(f"{name}/change_state", ChangeState)
    response = session.call(
        f"{name}/get_available_transitions", GetAvailableTransitions, GetAvailableTransitions.Request()
    )
    possible = {t.transition.label: t.transition for t in response.available_transitions}
    if transition not in possible:
        state = lifecycle_state(session, node)
        expected = ", ".join(sorted(possible)) or "none"
        raise ValueError(f"{name} is {state}: {transition} is not possible; expected one of: {expected}")
    request = ChangeState.Request(transition=possible[transition])
    return bool(session.call(f"{name}/change_state", ChangeState, request, timeout, repeat=False).success)


@dataclass(frozen=True)
class RunOutcome:
    """How a run of episodes ended: status "succeeded", "cancelled" or "aborted", and the action's result."""

    status: str
    result: RunEpisodes.Result


class RunEpisodesClient:
    """The simulator's RunEpisodes action. Use it in a `with` statement, or close() it before its session ends."""

    def __init__(self, session: RosSession, name: str = "/sim/run_episodes") -> None:
        self._session, self._name = session, name
        self._client = ActionClient(session.node, RunEpisodes, name)

    def __enter__(self) -> RunEpisodesClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the action client."""
        self._client.destroy()

    def run(
        self,
        first_seed: int,
        episodes: int,
        max_steps: int = 0,
        on_feedback: Callable[[RunEpisodes.Feedback], None] | None = None,
        timeout: float | None = None,
        patience: float = TIMEOUT,
    ) -> RunOutcome:
        """Run episodes on seeds first_seed, first_seed + 1, ... and return their results.

        Ctrl-C or `timeout` seconds (None: no limit) cancel the run; what was finished is returned then, with status
        "cancelled". patience: seconds to wait for the server, for its answer, and after a cancellation.
        Raises TimeoutError when the server is absent or silent, ConnectionRefusedError when it rejects the goal.
        """
        if not self._session.wait(self._client.server_is_ready, patience):
            raise TimeoutError(f"nobody offers the action {self._name} (waited {patience:g} s); start the simulator")
        # A goal must not be sent twice; once its node has answered anything, its answer to the goal will arrive too.
        ParameterClient(self._session, self._name.rpartition("/")[0], patience).names()
        goal = RunEpisodes.Goal(first_seed=first_seed, episodes=episodes, max_steps=max_steps)
        relay = (lambda message: on_feedback(message.feedback)) if on_feedback else None
        request, interrupted = self._client.send_goal_async(goal, relay), False
        try:
            handle = self._session.wait_for(request, patience, self._name)
        except KeyboardInterrupt:
            # Only a goal that is known can be cancelled.
            handle, interrupted = self._session.wait_for(request, patience, self._name), True
        if not handle.accepted:
            raise ConnectionRefusedError(
                f"{self._name} rejected the run; another one may be under way, or the node is not active"
            )
        future = handle.get_result_async()
        try:
            over = not interrupted and self._session.wait(future.done, timeout)
        except KeyboardInterrupt:
            over = False
        if not over:
            self._cancel(handle, patience)
        answer = self._session.wait_for(future, patience, f"the result of {self._name}")
        return RunOutcome(GOAL_STATUS.get(answer.status, f"status {answer.status}"), answer.result)

    def _cancel(self, handle: Any, patience: float) -> None:
        response = self._session.wait_for(handle.cancel_goal_async(), patience, f"{self._name} (cancelling)")
        already_over = CancelGoal.Response.ERROR_GOAL_TERMINATED
        if not response.goals_canceling and response.return_code != already_over:
            raise ConnectionRefusedError(f"{self._name} refused to cancel the run (code {response.return_code})")
