"""Pieces of Markdown and the files that the reports on paired settings share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from psr_core.files import write_whole


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def head(names: Sequence[str]) -> str:
    """The two first lines of a table whose first column is text and whose others are numbers."""
    return f"{line(names)}\n|---|{'---:|' * (len(names) - 1)}"


def p_text(value: float, sign: str = "") -> str:
    """A p-value; sign: what stands before one that is not below 0.001."""
    return "< 0.001" if value < 0.001 else f"{sign}{value:.3f}"


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
