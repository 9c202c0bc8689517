"""Distilled pictures on disk: each alone, all side by side, and what they were made with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from psr_core.files import write_whole
from psr_core.media import as_png


def write_pictures(out: Path, images: Tensor, first_seed: int, card: Mapping[str, Any]) -> None:
    """Writes grid.png, seed_<n>.png and card.json, each whole. images: (B, 3, H, W), 0 to 1. card: plain JSON."""
    pixels = (images.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    for seed, picture in enumerate(pixels, first_seed):
        write_whole(out / f"seed_{seed}.png", as_png(picture))
    write_whole(out / "grid.png", as_png(np.concatenate(list(pixels), 1)))
    write_whole(out / "card.json", json.dumps(card, indent=2, ensure_ascii=False).encode() + b"\n")
