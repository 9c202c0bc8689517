"""Pieces of Markdown and the files that the reports on paired settings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from psr_core.files import write_whole
from psr_eval.paired import Estimate, verdict


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def head(names: Sequence[str]) -> str:
    """The two first lines of a table whose first column is text and whose others are numbers."""
    return f"{line(names)}\n|---|{'---:|' * (len(names) - 1)}"


def p_text(value: float, sign: str = "") -> str:
    """A p-value; sign: what stands before one that is not below 0.001."""
    return "< 0.001" if value < 0.001 else f"{sign}{value:.3f}"


def estimate_text(estimate: Estimate | None, scale: float = 1.0, sign: str = "", digits: int = 2) -> str:
    """A figure with its interval, such as "0.31 (0.22 to 0.40)"; a dash where there is none."""
    if estimate is None:
        return "–"
    values = [scale * one for one in (estimate.mean, estimate.low, estimate.high)]
    mean, low, high = (f"{one:{sign}.{0 if abs(one) >= 100 else digits}f}" for one in values)
    return f"{mean} ({low} to {high})"


def marked(difference: Estimate | None, digits: int = 2) -> str:
    """A difference, in bold where its interval excludes 0."""
    text = estimate_text(difference, sign="+", digits=digits)
    return f"**{text}**" if verdict(difference) in ("yes", "no") else text


def as_triple(estimate: Estimate) -> list[float]:
    """Mean and ends of the interval, for JSON."""
    return [float(one) for one in (estimate.mean, estimate.low, estimate.high)]


def write_files(folder: Path, files: Mapping[str, bytes], optional: Sequence[str] = ()) -> list[Path]:
    """Writes files by name into a folder, which is made, and returns their paths.

    optional: names that are removed where they are left over from an earlier report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(optional) - set(files):
        (folder / name).unlink(missing_ok=True)
    for name, data in files.items():
        write_whole(folder / name, data)
    return [folder / name for name in files]
