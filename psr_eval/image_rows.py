"""What `psr reproduce image` is given: the rows of the table (YAML) and the prompts (text, JSON or JSON lines)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers

from psr_core.steering import Steering
from psr_eval.yaml_rows import STOCK, Steered, check_fields, read_yaml_rows, steering_fields


@dataclass(frozen=True)
class Row(Steered):
    """One row of the table: a diffusers scheduler class by name, steering, classifier-free guidance scale."""

    name: str
    scheduler: str
    steering: Steering = STOCK
    guidance: float = 7.5

    @property
    def slug(self) -> str:
        """The name of the row's folder."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-.")


def read_rows(path: Path, guidance: float = 7.5) -> list[Row]:
    """The rows of a YAML file of the form of config/reproduce/image.yaml; `guidance` is for rows that give none.

    Raises FileNotFoundError, or ValueError naming the file, the row and what is wrong with it.
    """
    return read_yaml_rows(path, lambda entry: [_row(entry, guidance)], "config/reproduce/image.yaml")


def _row(entry: Any, guidance: float) -> Row:
    check_fields(entry, ("name", "scheduler"), ("steering", "guidance"))
    scheduler, scale = str(entry["scheduler"]), entry.get("guidance", guidance)
    if not (scheduler.endswith("Scheduler") and hasattr(diffusers, scheduler)):
        raise ValueError(f"scheduler {scheduler!r} is no scheduler class of diffusers; DDIMScheduler is one")
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"guidance is {scale!r}, expected a number of at least 0")
    fields = steering_fields(entry)
    row = Row(str(entry["name"]), scheduler, STOCK if fields is None else Steering.from_dict(fields), float(scale))
    if not row.slug:
        raise ValueError(f"name is {entry['name']!r}, expected at least one letter or digit")
    return row


def guidance_sweep(rows: Sequence[Row], scales: Sequence[float]) -> list[Row]:
    """Stock DDIM rows at these guidance scales, those left out that are among `rows` already."""
    present = {row.guidance for row in rows if row.scheduler == "DDIMScheduler" and row.is_stock}
    fresh = sorted(set(scales) - present)
    return [_row({"name": f"DDIM, guidance {g:g}", "scheduler": "DDIMScheduler", "guidance": g}, g) for g in fresh]


def read_prompts(path: Path) -> list[str]:
    """Prompts of a .txt (one a line; blank lines and # comments are skipped), .json (list of strings) or .jsonl file.

    Each line of a .jsonl file is an object with the key prompt or caption. Raises FileNotFoundError, or ValueError
    naming the file and the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"prompts {path} do not exist; give a .txt file with one prompt a line")
    readers = {".txt": _text_prompts, ".json": _json_prompts, ".jsonl": _jsonl_prompts}
    if path.suffix not in readers:
        raise ValueError(f"prompts {path}: ending {path.suffix!r}, expected one of: {', '.join(readers)}")
    try:
        prompts = list(readers[path.suffix](path.read_text(encoding="utf-8")))
    except ValueError as error:  # UnicodeDecodeError is one, too
        raise ValueError(f"prompts {path}: {error}") from None
    if not prompts:
        raise ValueError(f"prompts {path}: holds no prompt")
    return prompts


def _text_prompts(text: str) -> Iterator[str]:
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _json_prompts(text: str) -> Iterator[str]:
    prompts = json.loads(text)
    if not isinstance(prompts, list):
        raise ValueError(f"is a {type(prompts).__name__}, expected a list of strings")
    for number, prompt in enumerate(prompts, 1):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"entry {number} is {prompt!r}, expected a text")
        yield prompt.strip()


def _jsonl_prompts(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        prompt = (entry.get("prompt") or entry.get("caption")) if isinstance(entry, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"line {number}: expected an object with a text under prompt or caption")
        yield prompt.strip()
