"""Steering as ROS parameters: steering.k, .sigma, .method, .integrator and .cap, checked together at every change."""

from __future__ import annotations

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from psr_core.steering import NAMED, Steering
from psr_ros.lifecycle import SuiteNode

PREFIX = "steering."
LARGEST_K = 1000.0
LARGEST_SIGMA = 100.0


class SteeringParameters:
    """Declares a node's five steering parameters and keeps `value`, the Steering they make up.

    They may be changed while the node runs; a change that makes no valid Steering is refused with the reason, and the
    old value stays. `value` is new as soon as the request is answered.
    default: the Steering before anything is set.
    """

    def __init__(self, node: SuiteNode, default: Steering | None = None) -> None:
        self.value = default or Steering()
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._accept)
        declare, start = node.declare, self.value
        # The lower bounds are open: 0 itself is refused by Steering.
        declare(
            PREFIX + "k",
            start.k,
            "Sharpness of the samples: > 1 sharpens each mode, < 1 flattens it, 1 leaves the model as trained.",
            bounds=(0.0, LARGEST_K),
            live=True,
        )
        declare(
            PREFIX + "sigma",
            start.sigma,
            "Standard deviation that a mode is taken to have, in the model's normalised units.",
            bounds=(0.0, LARGEST_SIGMA),
            live=True,
        )
        declare(PREFIX + "method", start.method, "How the dial acts.", choices=NAMED["method"], live=True)
        declare(
            PREFIX + "integrator",
            start.integrator,
            "How a sampling step is taken.",
            choices=NAMED["integrator"],
            live=True,
        )
        declare(PREFIX + "cap", start.cap, "Never step past the predicted clean sample.", live=True)

    def _changed(self, parameters: list[Parameter]) -> Steering:
        changes = {p.name.removeprefix(PREFIX): p.value for p in parameters if p.name.startswith(PREFIX)}
        return Steering.from_dict({**self.value.to_dict(), **changes})

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self._changed(parameters)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _accept(self, parameters: list[Parameter]) -> None:
        self.value = self._changed(parameters)
