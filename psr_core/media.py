"""Pixels as files: PNG, and MP4."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def as_png(pixels: np.ndarray[Any, Any]) -> bytes:
    """The contents of a PNG file of pixels (H, W, 3) uint8."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG")
    return data.getvalue()


def write_mp4(frames: Iterable[Pixels], rate: float, out: Path) -> Path:
    """Write frames (H, W, 3) uint8 RGB, of even height and width, `rate` a second, as MP4 (H.264); returns `out`.

    Without frames there is no file. Raises ImportError when imageio-ffmpeg is not installed.
    """
    import imageio_ffmpeg

    out.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for frame in frames:
        if writer is None:
            height, width, _ = frame.shape
            writer = imageio_ffmpeg.write_frames(
                str(out),
                (width, height),
                fps=rate,
                codec="libx264",
                quality=None,
                macro_block_size=2,
                output_params=["-crf", "24", "-movflags", "+faststart"],
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(frame))
    if writer:
        writer.close()
    return out
