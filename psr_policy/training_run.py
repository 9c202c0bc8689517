"""A training run as a folder: the policy so far, the state to resume from, and a log."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import pickle
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from psr_policy.checkpoint import SAVE_DTYPES, rounding_error, save_policy, write_whole
from psr_policy.train import Trainer

STATE = "training_state.pt"
LOG = "log.jsonl"


class TrainingRun:
    """Trains into a folder `out`: policy.safetensors and policy.json (averaged weights), training_state.pt, log.jsonl.

    card: command, data and git revision, to which seed, settings and metrics are added. resume: continue the run in
    out, if there is one. save_dtype: "float32" or "float16", of the stored policy.
    Raises FileExistsError when out holds a run and resume is false, ValueError when that run is damaged or another.
    """

    def __init__(
        self, trainer: Trainer, out: Path, card: Mapping[str, Any], *, resume: bool = False, save_dtype: str = "float32"
    ) -> None:
        self.trainer, self.out, self.card = trainer, Path(out), dict(card)
        self.save_dtype = save_dtype
        self.metrics: dict[str, Any] = {}
        self._identity = {
            "config": trainer.config.to_dict(),
            "settings": dataclasses.asdict(trainer.settings),
            "data": self.card["data"],
        }
        self._begin, self._first_step = time.monotonic(), 0
        self._seconds_before = 0.0
        self.out.mkdir(parents=True, exist_ok=True)
        if (self.out / STATE).exists():
            if not resume:
                raise FileExistsError(f"{out} already holds a training run; add --resume, or choose another folder")
            self._resume()
        else:
            write_whole(self.out / LOG, b"")

    def train(
        self,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        report: Callable[[str], None] = print,
        save_seconds: float = 120.0,
        log_every: int = 50,
        validate_every: int = 1000,
    ) -> bool:
        """Trains to the end, or until should_stop(), and saves; True when it came to the end."""
        trainer, last = self.trainer, self.trainer.settings.steps
        if trainer.step == last:
            return True
        self._begin, self._first_step = time.monotonic(), trainer.step
        saved, losses = self._begin, []
        while trainer.step < last and not should_stop():
            losses.append(trainer.train_step())
            if trainer.step % validate_every == 0 or trainer.step == last:
                self.metrics["valid_loss"] = trainer.validation_loss()
            if trainer.step % log_every == 0 or trainer.step == last:
                self.metrics["train_loss"] = sum(losses) / len(losses)
                losses = []
                self._log(report)
            if time.monotonic() - saved > save_seconds and trainer.step < last:
                self.save()
                saved = time.monotonic()
        self.save()
        return trainer.step == last

    def save(self) -> None:
        """Writes the state first and the policy last, each file whole."""
        seconds = self._seconds_before + time.monotonic() - self._begin
        buffer = io.BytesIO()
        torch.save({**self._identity, "state": self.trainer.state(), "seconds": seconds}, buffer)
        write_whole(self.out / STATE, buffer.getvalue())
        averaged, dtype = self.trainer.averaged, SAVE_DTYPES[self.save_dtype]
        metrics = {"steps": self.trainer.step, "training_seconds": round(seconds), **self.metrics}
        if dtype != torch.float32:
            error = rounding_error(averaged, self.trainer.sample_obs(), dtype)
            metrics[f"{self.save_dtype}_max_action_difference"] = error
        settings = dict(self._identity["settings"])
        seed = settings.pop("seed")
        card = {**self.card, "seed": seed, "settings": settings, "weights_dtype": self.save_dtype, "metrics": metrics}
        save_policy(self.out, averaged, card, dtype)

    def _resume(self) -> None:
        try:
            saved = torch.load(self.out / STATE, map_location=self.trainer.device, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(f"{self.out / STATE} is damaged ({error}); delete it to train from the start") from error
        for part, now in self._identity.items():
            was = saved[part]
            differing = [f"{name} = {was.get(name)!r}, now {now[name]!r}" for name in now if was.get(name) != now[name]]
            if differing:
                raise ValueError(
                    f"{self.out} holds a run with other {part}: {'; '.join(differing)}; "
                    "resume with the same values, or choose another folder"
                )
        self.trainer.resume(saved["state"])
        self._seconds_before = saved["seconds"]
        # What was logged after the last save is about to happen again.
        lines = (self.out / LOG).read_text().splitlines() if (self.out / LOG).exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self.trainer.step]
        write_whole(self.out / LOG, "".join(line + "\n" for line in kept).encode())
        if kept:
            self.metrics = {k: v for k, v in json.loads(kept[-1]).items() if k in ("train_loss", "valid_loss")}

    def _log(self, report: Callable[[str], None]) -> None:
        trainer, steps = self.trainer, self.trainer.settings.steps
        with open(self.out / LOG, "a") as log:
            log.write(json.dumps({"step": trainer.step, "lr": trainer.learning_rate(), **self.metrics}) + "\n")
        rate = (trainer.step - self._first_step) / (time.monotonic() - self._begin)
        left = datetime.timedelta(seconds=round((steps - trainer.step) / rate))
        valid = self.metrics.get("valid_loss")
        report(
            f"step {trainer.step}/{steps} loss {self.metrics['train_loss']:.4f}"
            f"{'' if valid is None else f' valid {valid:.4f}'} lr {trainer.learning_rate():.1e} "
            f"{rate:.1f} steps/s, {left} left"
        )


def git_revision() -> str:
    """Commit of the working tree this code runs from, with "-dirty" when it was changed; "unknown" outside one."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
