"""Control steps and the messages that belong to them: a step is ready when every topic has a message of its stamp."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tick:
    """One control step. stamp: time of its observations in ns. seed: addresses the episode's noise.

    await_chunk: somebody waits for a chunk that begins at this step.
    """

    stamp: int
    episode: int
    seed: int
    step: int
    await_chunk: bool = False


@dataclass(frozen=True)
class ReadyTick:
    """A control step with its observations: topic -> message. arrival: when the last of them came, in ns."""

    tick: Tick
    messages: dict[str, Any]
    arrival: int


class TickMatcher:
    """Puts ticks and messages of equal stamps together, in whatever order they come.

    topics: those a tick needs a message of. depth: how many ticks, and messages of each topic, are kept at most.
    A tick that is still incomplete when a later one is ready is dropped and counted in `dropped`: topics keep their
    order, so its message is lost.
    """

    def __init__(self, topics: Iterable[str], depth: int = 100) -> None:
        self.topics = tuple(topics)
        self.depth = depth
        self.dropped = 0
        self._messages: dict[str, dict[int, tuple[Any, int]]] = {topic: {} for topic in self.topics}
        self._ticks: dict[Tick, int] = {}

    def add_message(self, topic: str, stamp: int, message: Any, arrival: int) -> None:
        """An observation of `stamp` ns that came at `arrival` ns."""
        _put(self._messages[topic], stamp, (message, arrival), self.depth)

    def add_tick(self, tick: Tick, arrival: int) -> None:
        """A control step that came at `arrival` ns; one that waits already keeps its place."""
        if tick not in self._ticks:
            _put(self._ticks, tick, arrival, self.depth)

    def take_ready(self) -> list[ReadyTick]:
        """The ticks whose observations are complete, oldest first; they are forgotten here."""
        return [self._take(tick) for tick in list(self._ticks) if not self._lacking(tick)]

    def problem(self, wall: int, timeout: float) -> str:
        """What the oldest incomplete tick lacks if it came over `timeout` s before `wall` ns, else an empty text."""
        for tick, arrival in self._ticks.items():
            age = (wall - arrival) / 1e9
            if age > timeout:
                topics = ", ".join(self._lacking(tick))
                return f"step {tick.step} waits since {age:.1f} s for a message of stamp {tick.stamp} ns on {topics}"
            break
        return ""

    def _lacking(self, tick: Tick) -> list[str]:
        return [topic for topic in self.topics if tick.stamp not in self._messages[topic]]

    def _take(self, tick: Tick) -> ReadyTick:
        arrivals = [self._ticks[tick]]
        for earlier in list(self._ticks):
            del self._ticks[earlier]
            if earlier == tick:
                break
            self.dropped += 1
        messages = {}
        for topic, kept in self._messages.items():
            messages[topic], arrival = kept[tick.stamp]
            arrivals.append(arrival)
            # By arrival, not by stamp: a restarted source begins its time anew.
            for stamp in list(kept):
                del kept[stamp]
                if stamp == tick.stamp:
                    break
        return ReadyTick(tick, messages, max(arrivals))


def _put(kept: dict[Any, Any], key: Any, value: Any, depth: int) -> None:
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > depth:
        del kept[next(iter(kept))]


class NewestMessages:
    """The newest message of each topic, and how old it is: what a robot's control step is made from."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = tuple(topics)
        self.messages: dict[str, Any] = {}
        self._stamps: dict[str, int] = {}
        self._arrivals: dict[str, int] = {}

    def add_message(self, topic: str, stamp: int, message: Any, arrival: int) -> None:
        """An observation of `stamp` ns (0: unstamped) that came at `arrival` ns of the wall clock."""
        self.messages[topic], self._stamps[topic], self._arrivals[topic] = message, stamp, arrival

    @property
    def arrival(self) -> int:
        """When the last message came, in ns of the wall clock."""
        return max(self._arrivals.values())

    def problem(self, wall: int, timeout: float, time: int) -> str:
        """What is missing or older than `timeout` s at `wall` ns and, by its stamp, at `time` ns, or an empty text."""
        problems = []
        for topic in self.topics:
            if topic not in self.messages:
                problems.append(f"no message on {topic} yet")
                continue
            stamp = self._stamps[topic] or time
            age = max(wall - self._arrivals[topic], time - stamp) / 1e9
            if age > timeout:
                problems.append(f"the newest message on {topic} is {age:.1f} s old, expected at most {timeout:g} s")
        return "; ".join(problems)
