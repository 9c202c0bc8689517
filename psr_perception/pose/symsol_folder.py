"""A local copy of SYMSOL (the `symmetric_solids` data set, symsol_dataset.zip unpacked), read as it is.

    train/images/cube_00012.png     224 x 224 colour; test/ likewise
    train/rotations.npz             for each shape (N, n, 3, 3): entry 12 belongs to cube_00012.png

Entry [i, 0] is the rotation an image was rendered with; [i, 1:] those that look the same, which are for judging only.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

SHAPES = {"tetrahedron": "tet", "cube": "cube", "icosahedron": "icosa", "cone": "cone", "cylinder": "cyl"}
SPLITS = ("train", "test")


@dataclass(frozen=True)
class SymsolFolder:
    """The images of a split and what is known of them. paths: of the images. shapes: their names, one an image.

    rotations (N, 3, 3) float32: those of the renderings. equivalents: for each image the rotations (n, 3, 3) that look
    the same, in the test split; empty in the training split, where knowing them would be cheating.
    """

    paths: tuple[Path, ...]
    shapes: tuple[str, ...]
    rotations: Tensor
    equivalents: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, number: int, size: int) -> Tensor:
        """Grey picture (size, size) float32 in [0, 1]. Raises ValueError naming a file that is no square picture."""
        path = self.paths[number]
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if picture is None or picture.shape[0] != picture.shape[1]:
            raise ValueError(f"{path} is no square picture that OpenCV reads; unpack the data set again")
        return torch.from_numpy(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)).float() / 255


def open_symsol_folder(folder: Path | str, split: str, shapes: tuple[str, ...] = tuple(SHAPES)) -> SymsolFolder:
    """The images of some shapes in a split, "train" or "test", shape by shape in the order of their numbers.

    Raises ValueError for an unknown split or shape, and for files that do not fit together; FileNotFoundError naming
    what is missing.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected one of: {', '.join(SPLITS)}")
    if unknown := [shape for shape in shapes if shape not in SHAPES]:
        raise ValueError(f"shapes has {', '.join(map(repr, unknown))}, expected some of: {', '.join(SHAPES)}")
    table = Path(folder) / split / "rotations.npz"
    if not table.is_file():
        raise FileNotFoundError(f"{table} is missing; expected symsol_dataset.zip unpacked into {folder}")
    paths: list[Path] = []
    names: list[str] = []
    rotations: list[Tensor] = []
    equivalents: list[Tensor] = []
    for shape in shapes:
        numbered = _images(table.parent / "images", SHAPES[shape])
        known = _rotations(table, SHAPES[shape], [number for number, _ in numbered], None if split == "test" else 1)
        paths += [path for _, path in numbered]
        names += [shape] * len(numbered)
        rotations.append(known[:, 0].clone())
        if split == "test":
            equivalents += list(known)
    return SymsolFolder(tuple(paths), tuple(names), torch.cat(rotations), tuple(equivalents))


def _images(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    paths = sorted(folder.glob(f"{prefix}_*.png"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} has no {prefix}_<number>.png; unpack the data set again, or leave the shape out"
        )
    strange = [path.name for path in paths if not path.stem.removeprefix(f"{prefix}_").isdecimal()]
    if strange:
        raise ValueError(f"{folder / strange[0]}: expected {prefix}_<number>.png; move it elsewhere")
    return sorted((int(path.stem.removeprefix(f"{prefix}_")), path) for path in paths)


def _rotations(table: Path, prefix: str, numbers: list[int], forms: int | None) -> Tensor:
    """Of the images' rotations the first `forms`, or all: (images, n, 3, 3) float32."""
    try:
        with np.load(table, allow_pickle=False) if zipfile.is_zipfile(table) else contextlib.nullcontext({}) as arrays:
            array = arrays.get(prefix)
            held = ", ".join(arrays) or "none"
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise ValueError(f"{table} is damaged ({error}); unpack the data set again") from error
    if array is None:
        raise ValueError(f"{table} has no rotations of {prefix}, but of: {held}; unpack the data set again")
    if array.ndim != 4 or array.shape[2:] != (3, 3) or len(array) <= max(numbers):
        raise ValueError(
            f"{table}: {prefix} has shape {array.shape}, expected (N, n, 3, 3) with N above {max(numbers)}, the "
            "largest number of its images"
        )
    known = torch.from_numpy(array[numbers, :forms].astype(np.float32))
    worst = float((known[:, 0] @ known[:, 0].mT - torch.eye(3)).abs().max())
    if not worst < 1e-3:
        raise ValueError(f"{table}: {prefix} holds matrices that are no rotations (by {worst:.2g}); unpack it again")
    return known
