"""A training run as a folder: the model so far, the state to resume from, and a log."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import pickle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from psr_core.files import write_whole

STATE = "training_state.pt"
LOG = "log.jsonl"


class Trainer(Protocol):
    """What a run trains. settings: a dataclass with `steps` and `seed`; step: steps done; identity: what, beside the
    settings, a run resumes with only if it is the same (plain JSON)."""

    step: int
    settings: Any
    device: torch.device

    @property
    def identity(self) -> dict[str, Any]: ...
    def train_step(self) -> float: ...
    def learning_rate(self) -> float: ...
    def validation_loss(self) -> float | None: ...
    def state(self) -> dict[str, Any]: ...
    def resume(self, state: dict[str, Any]) -> None: ...


class TrainingRun:
    """Trains into a folder `out`: what `keep` writes (the model so far), training_state.pt, log.jsonl.

    keep(out, card): writes the model with its card, which is `card` (command, data, git revision) with seed, settings
    and metrics added. resume: continue the run in out, if there is one.
    Raises FileExistsError when out holds a run and resume is false, ValueError when that run is damaged or another.
    """

    def __init__(
        self,
        trainer: Trainer,
        out: Path,
        card: Mapping[str, Any],
        keep: Callable[[Path, dict[str, Any]], None],
        *,
        resume: bool = False,
    ) -> None:
        self.trainer, self.out, self.card, self.keep = trainer, Path(out), dict(card), keep
        self.metrics: dict[str, Any] = {}
        settings = dataclasses.asdict(trainer.settings)
        self._identity = {"config": trainer.identity, "settings": settings, "data": self.card["data"]}
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
        trainer = self.trainer
        last: int = trainer.settings.steps
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
        """Writes the state first and the model last, each file whole."""
        seconds = self._seconds_before + time.monotonic() - self._begin
        buffer = io.BytesIO()
        torch.save({**self._identity, "state": self.trainer.state(), "seconds": seconds}, buffer)
        write_whole(self.out / STATE, buffer.getvalue())
        settings = dict(self._identity["settings"])
        seed = settings.pop("seed")
        metrics = {"steps": self.trainer.step, "training_seconds": round(seconds), **self.metrics}
        self.keep(self.out, {**self.card, "seed": seed, "settings": settings, "metrics": metrics})

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
