"""A policy's training as a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from psr_core.training_run import TrainingRun
from psr_policy.checkpoint import SAVE_DTYPES, rounding_error, save_policy
from psr_policy.train import Trainer


def policy_run(
    trainer: Trainer, out: Path, card: Mapping[str, Any], *, resume: bool = False, save_dtype: str = "float32"
) -> TrainingRun:
    """A run whose folder holds policy.safetensors and policy.json (averaged weights) beside its state and log.

    save_dtype: "float32" or "float16", of the stored policy; the card says what the rounding does to actions. Raises as
    TrainingRun does.
    """

    def keep(folder: Path, card: dict[str, Any]) -> None:
        averaged, dtype = trainer.averaged, SAVE_DTYPES[save_dtype]
        metrics = card.pop("metrics")
        if dtype != torch.float32:
            error = rounding_error(averaged, trainer.sample_obs(), dtype)
            metrics[f"{save_dtype}_max_action_difference"] = error
        save_policy(folder, averaged, {**card, "weights_dtype": save_dtype, "metrics": metrics}, dtype)

    return TrainingRun(trainer, out, card, keep, resume=resume)
