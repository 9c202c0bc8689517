"""What a perception node's thread is handed for an image, and what the node asks of those that do the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sensor_msgs.msg import Image


class Runner(Protocol):
    """Makes the results of one image after the other. checkpoint: name under which they tell of the weights."""

    checkpoint: str

    def check(self, request: Any) -> None:
        """Raises ValueError naming what cannot be with this checkpoint."""

    def warm_up(self, request: Any) -> None:
        """Make the first image as fast as the others; raises as check."""


class Frame(Protocol):
    """The results of one image. inference: seconds. problem: why something is missing among them, or empty."""

    inference: float

    @property
    def problem(self) -> str: ...


@dataclass(frozen=True, eq=False)
class FrameJob:
    """One image with all that its results follow from. arrival: ns of the wall clock. wanted: outputs to be made."""

    image: Image
    arrival: int
    session: int
    runner: Any
    request: Callable[[], Any]  # asked when the work begins, so that a change is in the very next frame
    wanted: frozenset[str]
