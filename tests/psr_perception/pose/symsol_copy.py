"""A made-up copy of SYMSOL: our renderings of its solids in its form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from psr_core import so3
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import named_symmetry
from psr_perception.pose.symsol_folder import SHAPES


def write_symsol(folder: Path, shapes: Sequence[str] = ("cube", "cone"), images: int = 4, size: int = 16) -> None:
    """Both splits, so many images of each shape."""
    for seed, split in enumerate(("train", "test")):
        (folder / split / "images").mkdir(parents=True)
        tables = {}
        for shape in shapes:
            truth = so3.random_rotations((images,), torch.Generator().manual_seed(seed))
            for number, picture in enumerate(render(SOLIDS[shape], truth, size)):
                path = folder / split / "images" / f"{SHAPES[shape]}_{number:05d}.png"
                assert cv2.imwrite(str(path), (255 * picture).round().byte().numpy())
            elements = named_symmetry(shape).elements
            if shape == "cone":  # every 90 degrees will do
                elements = so3.exp(torch.linspace(0, 2 * torch.pi, 5)[:, None] * torch.tensor([0.0, 0.0, 1.0]))
            tables[SHAPES[shape]] = (truth[:, None] @ elements.to(truth)).numpy()
        np.savez(folder / split / "rotations.npz", **tables)
