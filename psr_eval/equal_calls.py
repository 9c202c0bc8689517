"""What comparisons of distillation methods at the same number of model calls share: how long to iterate, how fast."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def most_iterations(count: Callable[[int], int], calls: int, name: str) -> int:
    """The most iterations that ask for no more than `calls` predictions a sample; count(steps) says how many a run of
    so many iterations asks for. Raises ValueError naming the row where one iteration costs more."""
    steps = max(1, calls // 8)
    for _ in range(3):  # the cost of an iteration depends on how many there are, a little
        steps = max(1, int(steps * calls / max(1, count(steps))))
    while count(steps + 1) <= calls:
        steps += 1
    while steps > 1 and count(steps) > calls:
        steps -= 1
    if count(steps) > calls:
        raise ValueError(f"{calls} calls are too few for {name}; one iteration costs {count(1)}")
    return steps


def falling_rates(steps: int, reach: float) -> Iterator[float]:
    """Learning rates that fall linearly from the first, with the sum `reach` over `steps`; then 0."""
    yield from (2 * reach * (steps - i) / (steps * (steps + 1)) for i in range(steps))
    yield 0.0


def plain_options(options: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Options as plain values, to tell settings apart."""
    return {name: value if isinstance(value, (int, float, str)) else repr(value) for name, value in options}
