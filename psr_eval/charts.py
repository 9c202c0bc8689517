"""Charts as inline SVG. Widths are in percent and colours come from the page, so they fit any screen and theme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from psr_core.steering import Steering


def tone(steering: Steering | None) -> str:
    """CSS class of a setting: sharper, flatter or plain."""
    if steering is None or steering.is_identity or steering.k == 1:
        return "plain"
    return "sharper" if steering.k > 1 else "flatter"


def interval(rate: float | None, low: float, high: float, kind: str, label: str) -> str:
    """A rate as a dot on its interval, on an axis from 0 to 1; without a rate only the axis."""
    grid = "".join(_line(x, 0, x, 28, "grid") for x in (0, 25, 50, 75, 100))
    mark = ""
    if rate is not None:
        ends = "".join(_line(100 * end, 9, 100 * end, 19, "mark") for end in (low, high))
        dot = f'<circle class="mark" cx="{100 * rate:.2f}%" cy="14" r="5"/>'
        mark = _line(100 * low, 14, 100 * high, 14, "mark") + ends + dot
    return _svg(28, kind, label, grid + mark)


def histogram(values: Sequence[float], top: float, kind: str, label: str, bins: int = 60) -> str:
    """Counts of values between 0 and `top`, the largest count as high as the chart; larger values in the last bin."""
    counts, _ = np.histogram(np.clip(values, 0, top), bins, (0, top))
    width = 100 / bins
    bars = "".join(
        f'<rect class="bar" x="{i * width:.2f}%" y="{54 - 50 * count / counts.max():.1f}" '
        f'width="{0.85 * width:.2f}%" height="{50 * count / counts.max():.1f}"/>'
        for i, count in enumerate(counts)
        if count
    )
    return _svg(56, kind, label, bars + _line(0, 54.5, 100, 54.5, "axis"))


def _svg(height: int, kind: str, label: str, content: str) -> str:
    return f'<svg class="{kind}" width="100%" height="{height}" role="img" aria-label="{escape(label)}">{content}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}%" y1="{y1}" x2="{x2:.2f}%" y2="{y2}"/>'
