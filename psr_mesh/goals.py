"""What somebody asks to be built, in words and numbers, as settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from psr_core.steering import Steering
from psr_mesh.asset import AssetOptions
from psr_mesh.builder import NAME, object_name
from psr_mesh.cameras import CameraRanges
from psr_mesh.settings import MeshSettings, Regularisers, preset_settings

LARGEST_SEED = 2**63 - 1
# Of MeshSettings, what options may give; the rest are said by name.
_OPTIONS = {each.name for each in fields(MeshSettings)} - {"prompt", "seed", "method", "steering"}
_KINDS: dict[str, Callable[[Any], Any]] = {
    "levels": tuple,
    "grow": tuple,
    "cameras": lambda given: CameraRanges(**given),
    "regularisers": lambda given: Regularisers(**given),
}


@dataclass(frozen=True)
class BuildGoal:
    """An object to be built, and the name that it is to have."""

    settings: MeshSettings
    asset: AssetOptions
    name: str


def read_goal(
    prompt: str, seed: int, steering: Steering, *, method: str = "", preset: str = "", name: str = "", options: str = ""
) -> BuildGoal:
    """The goal that these ask for; empty texts leave it to the preset, or to the prompt.

    options: a JSON object of further fields of MeshSettings, and "asset": fields of AssetOptions. Raises ValueError
    naming what is wrong.
    """
    if seed > LARGEST_SEED:
        raise ValueError(f"seed is {seed}, expected 0 to {LARGEST_SEED}")
    given = _read_options(options)
    asset = given.pop("asset", {})
    if method:
        given["method"] = method
    try:
        settings = preset_settings(preset or "default", prompt, seed=seed, steering=steering, **given)
        goal = BuildGoal(settings, AssetOptions(**asset), name or object_name(prompt, seed))
    except TypeError as error:  # a field of another kind, or one that there is not
        raise ValueError(f"options are {options}, in which something is of another kind: {error}") from None
    if not NAME.fullmatch(goal.name):
        raise ValueError(f"name is {goal.name!r}, expected a-z, 0-9, _ and -, 64 at most, such as red_chair")
    return goal


def _read_options(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ValueError(f'options are {text!r}, expected a JSON object such as {{"guidance": 30.0}}')
    if unknown := sorted(set(given) - _OPTIONS - {"asset"}):
        known = ", ".join(sorted(_OPTIONS | {"asset"}))
        raise ValueError(f"options have {', '.join(unknown)}, expected some of: {known}")
    try:
        return {name: _KINDS.get(name, lambda value: value)(value) for name, value in given.items()}
    except TypeError as error:
        raise ValueError(f"options are {text}, in which something is of another kind: {error}") from None
