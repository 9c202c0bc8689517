"""Steering as ROS parameters: steering.k, .sigma, .method, .integrator and .cap, checked together at every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import InvalidParameterValueException
from rclpy.parameter import Parameter

from psr_core.steering import NAMED, Steering
from psr_ros.lifecycle import SuiteNode

PREFIX = "steering."
LARGEST_K = 1000.0
LARGEST_SIGMA = 100.0
# (steering, every value of the request by parameter name) -> why the node cannot sample so, or None where it can
Refusal = Callable[[Steering, Mapping[str, Any]], str | None]


class SteeringParameters:
    """Declares a node's five steering parameters and keeps `value`, the Steering they make up.

    They may be changed while the node runs; a change that makes no valid Steering is refused with the reason, and the
    old value stays. `value` is new as soon as the request is answered.
    default: the Steering before anything is set. refusal: asked at a change of any parameter of the node, since what
    steering is possible may depend on another one, such as the sampler, which the same request may set.
    Raises rclpy's InvalidParameterValueException when the values that the node was started with make no Steering.
    """

    def __init__(
        self, node: SuiteNode, default: Steering | None = None, refusal: Refusal = lambda steering, changes: None
    ) -> None:
        self._refusal = refusal
        start = _declare(node, default or Steering())
        try:
            self.value = Steering.from_dict(start)
        except ValueError as error:
            raise InvalidParameterValueException(PREFIX + "*", start, str(error)) from error
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._accept)

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in parameters}
        try:
            reason = self._refusal(self._changed(changes), changes)
        except ValueError as error:
            reason = str(error)
        return SetParametersResult(successful=not reason, reason=reason or "")

    def _accept(self, parameters: list[Parameter]) -> None:
        self.value = self._changed({parameter.name: parameter.value for parameter in parameters})

    def _changed(self, changes: Mapping[str, Any]) -> Steering:
        own = {name.removeprefix(PREFIX): value for name, value in changes.items() if name.startswith(PREFIX)}
        return Steering.from_dict({**self.value.to_dict(), **own})


def _declare(node: SuiteNode, start: Steering) -> dict[str, Any]:
    """Field -> value, as the node was started; each within its limits, not yet checked together."""

    def declare(name: str, description: str, **limits: Any) -> Any:
        return node.declare(PREFIX + name, getattr(start, name), description, live=True, **limits)

    return {
        # The lower bounds are open: 0 itself is refused by Steering.
        "k": declare(
            "k",
            "Sharpness of the samples: > 1 sharpens each mode, < 1 flattens it, 1 leaves the model as trained.",
            bounds=(0.0, LARGEST_K),
        ),
        "sigma": declare(
            "sigma",
            "Standard deviation that a mode is taken to have, in the model's normalised units.",
            bounds=(0.0, LARGEST_SIGMA),
        ),
        "method": declare(
            "method",
            "How k acts. psr: rescales the score; nns: divides the noise that a stochastic sampler injects; nes: "
            "multiplies the predicted noise; none: not at all.",
            choices=NAMED["method"],
        ),
        "integrator": declare(
            "integrator",
            "How a sampling step is taken. plain: the sampler's own; gaussian, gaussian2: exact for a Gaussian mode, "
            "first and second order, for samplers without noise.",
            choices=NAMED["integrator"],
        ),
        "cap": declare("cap", "Never step past the predicted clean sample; with method psr and integrator plain."),
    }
