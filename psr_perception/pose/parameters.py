"""The pose node's parameters beside those of every FrameNode, and what their values ask of the estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psr_core.steering import Steering
from psr_perception.pose.region import Region
from psr_perception.pose.runner import PoseRequest
from psr_perception.pose.settings import PoseSettings

LARGEST_IMAGE = 65536  # pixels a side


def declare_parameters(declare: Callable[..., Any]) -> None:
    """Declare them; declare: SuiteNode.declare."""
    declare("checkpoint", "", "Folder with pose.safetensors and pose.json, as psr train pose writes it.")
    declare("symmetry", "", "Of the object: a name in config/symmetries, such as cube or none, or a YAML file.")

    def live(name: str, default: Any, description: str, **limits: Any) -> None:
        declare(name, default, description, live=True, **limits)

    settings = PoseSettings()
    steps = "Calls of the network's head for a frame."
    live("num_inference_steps", settings.num_inference_steps, steps, bounds=(1, 1000))
    live("eta", settings.eta, "Share of the noise that an ancestral step injects; 0: deterministic.", bounds=(0.0, 1.0))
    live("samples", settings.samples, "Rotations sampled of a frame.", bounds=(1, 10_000))
    angle = "Degrees that a mode reaches from its mean; above 0."
    live("mode_angle", settings.mode_angle, angle, bounds=(0.0, 90.0))
    for name, what in (("x", "First column"), ("y", "First row"), ("width", "Columns"), ("height", "Rows")):
        meaning = f"{what} of the part of the image that shows the object, pixels; width and height 0: all of it."
        live(f"region.{name}", 0, meaning, bounds=(0, LARGEST_IMAGE))
    live("marker_size", 0.1, "Length of the axes of ~/markers, metres.", bounds=(1e-3, 100.0))


def request_of(value: Callable[[str], Any], steering: Steering) -> PoseRequest:
    """What the values, by parameter name, ask for. Raises ValueError as their classes."""
    settings = PoseSettings(
        num_inference_steps=value("num_inference_steps"),
        eta=value("eta"),
        samples=value("samples"),
        mode_angle=value("mode_angle"),
        seed=value("seed"),
    )
    region = Region(*(value(f"region.{name}") for name in ("x", "y", "width", "height")))
    return PoseRequest(settings, steering, region, value("noise"))
