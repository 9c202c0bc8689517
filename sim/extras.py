"""What a scene may have that its task does not ask for: another object to lift, clutter on the table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sim.tasks import TASKS, Task

if TYPE_CHECKING:
    from sim.clutter import Clutter

CLUTTER_COUNT, MOST_CLUTTER = 3, 10


@dataclass(frozen=True)
class Extras:
    """asset: folder or MJCF of what Lift has in the cube's place; clutter: folder of a catalogue, of whose objects
    clutter_count stand about in the scene of a task for one arm. Empty texts: none."""

    asset: str = ""
    clutter: str = ""
    clutter_count: int = CLUTTER_COUNT

    def __bool__(self) -> bool:
        return bool(self.asset or self.clutter)

    def check(self, task: Task) -> None:
        """Raises ValueError for a task that does not take them."""
        if self.asset and task.name != "Lift":
            raise ValueError(f"asset is {self.asset!r} for task {task.name}; expected task Lift, which alone takes one")
        takers = [each.name for each in TASKS.values() if each.simulator == "robosuite" and each.robots == 1]
        if self.clutter and task.name not in takers:
            raise ValueError(f"clutter is {self.clutter!r} for task {task.name}; expected one of: {', '.join(takers)}")

    def apply(self, kind: type[Any]) -> tuple[Any, Clutter | None]:
        """What makes a robosuite environment of this kind with them in it, and its clutter.

        Raises what LiftAsset and Clutter raise.
        """
        # Both import robosuite, which takes a while.
        if self.asset:
            from sim.lift_asset import LiftAsset

            kind = LiftAsset
        clutter = None
        if self.clutter:
            from sim.clutter import Clutter, cluttered

            clutter = Clutter(self.clutter, self.clutter_count)
            kind = cluttered(kind, clutter)
        return (partial(kind, asset=self.asset) if self.asset else kind), clutter
