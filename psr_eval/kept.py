"""Results that a long computation keeps as it goes, so that it can be interrupted and resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from psr_core.files import write_whole


class KeptResults:
    """Results (plain values) by their settings (plain values), in a file of JSON lines.

    Lines that were cut, by a kill while they were written, are removed from the file when it is opened. Of several
    results for the same settings the last counts. common: settings that all of them share, such as the checkpoint; the
    file may hold results with others, too.
    """

    def __init__(self, path: Path, common: Mapping[str, Any] | None = None) -> None:
        self._path, self._common = path, dict(common or {})
        self._results: dict[str, Any] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        good = [line for line in lines if self._take(line)]
        if len(good) < len(lines):
            write_whole(path, "".join(line + "\n" for line in good).encode())

    def get(self, settings: Mapping[str, Any]) -> Any:
        """The result for these settings, None where there is none."""
        return self._results.get(_key({**self._common, **settings}))

    def add(self, settings: Mapping[str, Any], result: Any) -> None:
        """Keep a result; it is in the file when this returns. Raises ValueError for numbers that are not finite."""
        entry = {"settings": {**self._common, **settings}, "result": result}
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._take(line)

    def _take(self, line: str) -> bool:
        try:
            entry = json.loads(line)
            self._results[_key(entry["settings"])] = entry["result"]
        except (ValueError, KeyError, TypeError):
            return False
        return True


def code_digest(paths: Iterable[Path]) -> str:
    """Digest of the code that results come from, among their settings: those of older code are not taken for new."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def _key(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
