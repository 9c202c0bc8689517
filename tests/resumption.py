"""What every trainer has to do: go on after a resumption as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def check_resumed_equals_uninterrupted(make_trainer: Callable[[], Any]) -> None:
    """Four steps in one go, and two and two with the state handed over: the same weights, bit for bit."""
    whole, first, second = (make_trainer() for _ in range(3))
    for _ in range(4):
        whole.train_step()
    for _ in range(2):
        first.train_step()
    second.resume(first.state())
    first.validation_loss()
    for _ in range(2):
        second.train_step()
    for a, b in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.validation_loss() == second.validation_loss()
