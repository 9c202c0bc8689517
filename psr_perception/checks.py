"""Checks that settings share."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_whole(name: str, value: Any, least: int) -> None:
    """Raises ValueError naming the field where value is no whole number from least to 2**64 - 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**64:
        raise ValueError(f"{name} is {value!r}, expected a whole number from {least} to 2**64 - 1")
