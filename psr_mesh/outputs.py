"""What the mesh node says: how far a build is, what became of it, and which asset there is."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from builtin_interfaces.msg import Time
from psr_interfaces.action import BuildMesh
from psr_interfaces.msg import MeshAsset
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from psr_core.steering import Steering
from psr_mesh.asset import MJCF
from psr_mesh.builder import Progress
from psr_mesh.catalogue import Entry
from psr_mesh.goals import BuildGoal, read_goal
from psr_ros.images import to_image
from psr_ros.messages import steering_from_message, steering_to_message


def goal_of(request: BuildMesh.Goal, steering: Steering) -> BuildGoal:
    """What a message asks for; steering: where it says none. Raises ValueError as read_goal and Steering do."""
    if request.steering != BuildMesh.Goal().steering:
        steering = steering_from_message(request.steering)
    named = {name: getattr(request, name) for name in ("method", "preset", "name", "options")}
    return read_goal(request.prompt, request.seed, steering, **named)


def feedback_of(progress: Progress) -> BuildMesh.Feedback:
    """Field by field."""
    return BuildMesh.Feedback(
        stage=progress.stage,
        step=progress.step,
        steps=progress.steps,
        seconds_left=math.nan if progress.seconds_left is None else progress.seconds_left,
        preview=Image() if progress.preview is None else to_image(progress.preview, "rgb8"),
    )


def result_of(entry: Entry, catalogue: Path) -> BuildMesh.Result:
    """Of a build that came to its end."""
    return BuildMesh.Result(success=True, **_asset(entry, catalogue))


def asset_message(goal: BuildGoal, entry: Entry, catalogue: Path, stamp: Time) -> MeshAsset:
    """The asset with what it was built from."""
    settings = goal.settings
    return MeshAsset(
        header=Header(stamp=stamp),
        prompt=settings.prompt,
        seed=settings.seed,
        method=settings.method,
        steering=steering_to_message(settings.steering),
        **_asset(entry, catalogue),
    )


def _asset(entry: Entry, catalogue: Path) -> dict[str, str]:
    folder = catalogue.absolute() / entry.name
    return {
        "name": entry.name,
        "folder": str(folder),
        "mjcf": str(folder / MJCF),
        "entry": json.dumps(asdict(entry)),
    }
