"""The simulator node's parameters: task, episodes, camera with what hovers before it, objects from files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psr_ros.qos import RELIABILITIES
from sim.display import SOLIDS
from sim.env import CONTROL_FREQUENCY
from sim.episode import LOCKSTEP, MODES
from sim.extras import CLUTTER_COUNT, MOST_CLUTTER, Extras
from sim.rendering import CameraConfig
from sim.tasks import TASKS


def declare_parameters(declare: Callable[..., Any]) -> None:
    """Declare them; declare: SuiteNode.declare."""
    declare("task", "Lift", "Scene and goal of the episodes.", choices=TASKS)
    mode = "lockstep waits for every chunk, results repeat; realtime keeps the wall clock's time. Read per episode."
    declare("mode", LOCKSTEP, mode, choices=MODES, live=True)
    limit = "Control steps after which an episode has failed, unless the request says it; 0: the task's own limit."
    declare("max_steps", 0, limit, bounds=(0, 1_000_000), live=True)
    chunk = "Seconds (wall clock) without a usable chunk after which an episode under way is aborted."
    declare("chunk_timeout", 10.0, chunk, bounds=(0.1, 3600.0), live=True)
    policy = "Seconds (wall clock) without an episode's first chunk after which the whole run is given up."
    declare("policy_timeout", 60.0, policy, bounds=(0.1, 3600.0), live=True)
    declare("chunk_topic", "/policy/chunk", "Topic of the policy's chunks.")
    declare("camera.name", "agentview", "Camera of the scene; drawn only while somebody subscribes.")
    declare("camera.width", 256, "Width of the images in pixels.", bounds=(1, 4096))
    declare("camera.height", 256, "Height of the images in pixels.", bounds=(1, 4096))
    rate = "Images per second of simulated time; at most one every control step (20 a second for Lift)."
    declare("camera.rate", 10.0, rate, bounds=(0.1, float(CONTROL_FREQUENCY)))
    reliability = "Of the image topics; best_effort loses large images unless the middleware's buffers are enlarged."
    declare("camera.reliability", "reliable", reliability, choices=RELIABILITIES)
    display = "A turning solid before the camera, in its images and not in the physics, and its true pose; empty: none."
    declare("display", "", display, choices=("", *SOLIDS))
    declare("asset", "", "Folder of an object that lies in the cube's place, with task Lift; empty: the cube.")
    clutter = "Folder of a catalogue of objects, some of which stand about in a scene with one arm; empty: none."
    declare("clutter", "", clutter)
    declare("clutter_count", CLUTTER_COUNT, "How many objects of clutter stand about.", bounds=(1, MOST_CLUTTER))


def camera_config(parameter: Callable[[str], Any]) -> CameraConfig:
    """Which camera the parameters ask for; parameter: name -> value."""
    names = "camera.name", "camera.width", "camera.height", "display"
    return CameraConfig(*map(parameter, names))


def extras(parameter: Callable[[str], Any]) -> Extras:
    """What the parameters put into the scene; parameter: name -> value."""
    return Extras(*map(parameter, ("asset", "clutter", "clutter_count")))
