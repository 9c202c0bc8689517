"""Scripted experts that know where everything is: what a policy's demonstrations are recorded from.

An expert plays one episode: made with (seed, grade), it answers every observation with the row to command. It differs
from seed to seed, repeats itself for the same seed, and does what can be learnt from two observations: its command is
a continuous function of what is seen wherever that is possible, and what phase it is in can be seen, too.

Grades: "proficient" is clean and varied, "mixed" has several strategies, hesitations, corrections and worse timing.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim.env import Observation

GRADES = ("proficient", "mixed")
# task -> module, class, and the grades there are
_EXPERTS = {
    "Lift": ("lift", "LiftExpert", ("proficient",)),
    "Can": ("can", "CanExpert", GRADES),
    "Square": ("square", "SquareExpert", GRADES),
    "ToolHang": ("tool_hang", "ToolHangExpert", GRADES),
    "Transport": ("transport", "TransportExpert", GRADES),
}


class Expert(Protocol):
    """One episode's expert. version names its behaviour, and changes with it."""

    version: str
    max_steps: int  # control steps after which the episode counts as failed

    def __init__(self, seed: int, grade: str) -> None: ...

    def act(self, observation: Observation) -> NDArray[np.float32]: ...


def expert_class(task: str, grade: str) -> type[Expert]:
    """The expert of a task that has this grade. Raises ValueError naming what there is."""
    if task not in _EXPERTS:
        raise ValueError(f"task {task} has no scripted expert; expected one of {', '.join(_EXPERTS)}")
    module, name, grades = _EXPERTS[task]
    if grade not in grades:
        raise ValueError(f"grade {grade!r} of task {task} is unknown; expected one of {', '.join(grades)}")
    found: type[Expert] = getattr(importlib.import_module(f"sim.experts.{module}"), name)
    return found
