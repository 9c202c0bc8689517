"""A file of finished episodes that an interrupted evaluation goes on from: JSON lines, the first one the settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psr_eval.player import Outcome


class OutcomeLog:
    """Outcomes by seed, kept on disk as they come; a killed process loses the one it was writing at most.

    settings: everything that decides an outcome but its seed, as plain values. Raises ValueError when the file holds
    outcomes of other settings, naming the first that differs, and for a line that is no outcome.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.outcomes: dict[int, Outcome] = {}
        if path.exists():
            self._read(json.loads(json.dumps(dict(settings))))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append({"settings": dict(settings)})

    def add(self, outcome: Outcome) -> None:
        """Keeps one more."""
        self.outcomes[outcome.seed] = outcome
        self._append(outcome.to_dict())

    def _append(self, entry: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, settings: dict[str, Any]) -> None:
        text = self.path.read_text()
        lines = text.splitlines()
        if text and not text.endswith("\n"):  # killed in the middle of a line: that episode is played again
            lines.pop()
            self.path.write_text("".join(line + "\n" for line in lines))
        if not lines:
            self._append({"settings": settings})
            return
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                found = entry.get("settings") if number == 1 else Outcome(**entry)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{self.path}, line {number}: no outcome ({error}); remove the file") from None
            if isinstance(found, Outcome):
                self.outcomes[found.seed] = found
            else:
                self._check(found, settings)

    def _check(self, found: Any, settings: dict[str, Any]) -> None:
        for name in [*settings, *(found or {})]:
            old, new = (found or {}).get(name), settings.get(name)
            if old != new:
                raise ValueError(
                    f"{self.path} holds episodes with {name} = {old!r}, but now it is {new!r}; choose another file, or "
                    "remove this one"
                )
