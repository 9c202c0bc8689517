"""Stands in for Ctrl-C in the middle of a reproduction that keeps its results."""

from __future__ import annotations

from typing import Any

import pytest

from psr_eval.kept import KeptResults


def interrupt_after(results: int, patch: pytest.MonkeyPatch) -> None:
    """The next run keeps so many results and is interrupted as it has one more."""
    add, added = KeptResults.add, []

    def interrupted(self: KeptResults, settings: Any, result: Any) -> None:
        if len(added) == results:
            raise KeyboardInterrupt
        added.append(settings)
        add(self, settings, result)

    patch.setattr(KeptResults, "add", interrupted)
