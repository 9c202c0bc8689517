"""Parameters that explain themselves: declared in one line each, with limits that every change is checked against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.node import Node
from rclpy.parameter import Parameter


class DeclaredParameters:
    """Declares a node's parameters and refuses changes outside their limits, with the reason; the old value stays.

    may_change: whether parameters that are not `live` can be changed at present. check: raises ValueError to refuse a
    value that limits cannot refuse. A whole number is taken wherever a float is declared.
    """

    def __init__(self, node: Node, may_change: Callable[[], bool], check: Callable[[str, Any], None]) -> None:
        self._node, self._may_change, self._check = node, may_change, check
        self._choices: dict[str, tuple[str, ...]] = {}
        self._fixed: set[str] = set()
        node.add_pre_set_parameters_callback(self._integers_to_floats)
        node.add_on_set_parameters_callback(self._answer)

    def declare(
        self,
        name: str,
        default: Any,
        description: str,
        *,
        bounds: tuple[float, float] | None = None,
        choices: Iterable[str] = (),
        live: bool = False,
    ) -> Any:
        """Declare a parameter and return its value.

        bounds: smallest and largest number. choices: the allowed texts. live: may be changed at any time.
        Raises rclpy's InvalidParameterValueException or InvalidParameterTypeException when the value that the node was
        started with is not allowed.
        """
        self._choices[name] = tuple(choices)
        constraints = [f"one of: {', '.join(self._choices[name])}"] if choices else []
        if not live:
            self._fixed.add(name)
            constraints.append("only while the node is unconfigured")
        descriptor = ParameterDescriptor(description=description, additional_constraints="; ".join(constraints))
        if bounds and isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=bounds[0], to_value=bounds[1])]
        elif bounds:
            descriptor.integer_range = [IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]))]
        try:
            return self._node.declare_parameter(name, default, descriptor).value
        except InvalidParameterTypeException:
            if not isinstance(default, float):
                raise
            # The only public way to see what the node was started with is to declare it loosely.
            given = self._node.declare_parameter(name, default, ParameterDescriptor(dynamic_typing=True)).value
            self._node.undeclare_parameter(name)
            if type(given) is not int:
                raise
            return self._node.declare_parameter(name, float(given), descriptor, ignore_override=True).value

    def _integers_to_floats(self, parameters: list[Parameter]) -> list[Parameter]:
        def widened(parameter: Parameter) -> Parameter:
            name = parameter.name
            declared = self._node.get_parameter(name).type_ if self._node.has_parameter(name) else None
            if declared == Parameter.Type.DOUBLE and parameter.type_ == Parameter.Type.INTEGER:
                return Parameter(name, value=float(parameter.value))
            return parameter

        return [widened(parameter) for parameter in parameters]

    def _answer(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            for parameter in parameters:
                self._check_one(parameter.name, parameter.value)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check_one(self, name: str, value: Any) -> None:
        choices = self._choices.get(name)
        if choices and value not in choices:
            raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(choices)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}, expected a finite number")
        if name in self._fixed and not self._may_change():
            raise ValueError(f"{name} is read when the node is configured: deactivate and clean up the node before")
        self._check(name, value)
