"""Pictures of solids in known rotations, to measure samples by: rendered ones, and those of a local copy of SYMSOL."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from psr_core import so3
from psr_core.seeds import noise_generator
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import Symmetry, load_symmetry
from psr_perception.pose.symsol_folder import SymsolFolder

ROTATION = 1  # what the noise of an address (seed, image number) is for
DATA_SEED = 20_210_611  # of rendered images' rotations, whatever the seed of the samples
EQUAL = 1e-3  # rad, within which a data set's equivalent rotations must be symmetries


class SolidImages(ABC):
    """Solids in known rotations. Image i shows solid i // 2 modulo their number, so that even and odd images show the
    same.

    names: of solids. count: images there are. symmetries: folder with <name>.yaml for each. identity: what decides the
    images, plain values. Raises ValueError for an unknown solid, none, or fewer than two images; OSError without a
    solid's file.
    """

    identity: dict[str, Any]

    def __init__(self, names: Sequence[str], count: int, symmetries: Path) -> None:
        check_shapes(names)
        if count < 2:
            raise ValueError(f"images is {count}, expected 2 or more: one for each half")
        self.names, self.count = list(names), count
        self._symmetries = {name: load_symmetry(symmetries / f"{name}.yaml") for name in names}

    @abstractmethod
    def rotations(self, numbers: Sequence[int]) -> Tensor:
        """The true rotations (B, 3, 3) float32."""

    @abstractmethod
    def images(self, numbers: Sequence[int], size: int, device: torch.device | str = "cpu") -> Tensor:
        """Grey pictures (B, size, size) float32 in [0, 1] on the device."""

    @property
    def shapes(self) -> list[str]:
        """Which solid each image shows."""
        return [self.shape(number) for number in range(self.count)]

    def shape(self, number: int) -> str:
        """Which solid an image shows."""
        return self.names[number // 2 % len(self.names)]

    def symmetry(self, number: int) -> Symmetry:
        """Of the solid in an image."""
        return self._symmetries[self.shape(number)]

    def errors(self, numbers: Sequence[int], rotations: Tensor) -> Tensor:
        """How far samples (B, n, 3, 3) are from the truth, modulo symmetry, degrees (B, n)."""
        errors = rotations.new_empty(rotations.shape[:2])
        for shape, places in self._by_shape(numbers):
            truth = self.rotations([numbers[place] for place in places]).to(rotations)[:, None]
            errors[places] = self._symmetries[shape].distance(truth, rotations[places])
        return errors.rad2deg()

    def _by_shape(self, numbers: Sequence[int]) -> list[tuple[str, list[int]]]:
        places = {name: [i for i, number in enumerate(numbers) if self.shape(number) == name] for name in self.names}
        return [(name, found) for name, found in places.items() if found]


class RenderedImages(SolidImages):
    """Rendered solids, image i always in the same rotation; `count` of them from number `first` on.

    No training draws from these addresses.
    """

    def __init__(self, names: Sequence[str], count: int, symmetries: Path, first: int = 0) -> None:
        super().__init__(names, count, symmetries)
        self.first = first
        self.identity = {"shapes": self.names, "data_seed": DATA_SEED, "first": first}

    def rotations(self, numbers: Sequence[int]) -> Tensor:
        generators = [noise_generator(DATA_SEED, self.first + number, ROTATION) for number in numbers]
        return so3.random_rotations((len(numbers),), generators)

    def images(self, numbers: Sequence[int], size: int, device: torch.device | str = "cpu") -> Tensor:
        pictures = torch.empty(len(numbers), size, size, device=device)
        for shape, places in self._by_shape(numbers):
            rotations = self.rotations([numbers[place] for place in places]).to(device)
            pictures[places] = render(SOLIDS[shape], rotations, size)
        return pictures


class SymsolImages(SolidImages):
    """The first images of each solid in the test split of a local copy of SYMSOL.

    Errors are to the nearest of all rotations that look the same: of cone and cylinder not to the nearest of the data
    set's 360 and 720, which lie a degree apart. Raises ValueError also where there are fewer images of a solid than
    asked for, or where the data set's equivalent rotations are no symmetries of its solid as it is described here.
    """

    def __init__(self, data: SymsolFolder, names: Sequence[str], count: int, symmetries: Path) -> None:
        super().__init__(names, count, symmetries)
        self._data = data
        of_shape = {name: [i for i, shape in enumerate(data.shapes) if shape == name] for name in names}
        self._places = [self._place(number, of_shape[self.shape(number)]) for number in range(count)]
        for number, place in enumerate(self._places):
            self._check_equivalents(self.shape(number), data.equivalents[place])
        held = data.rotations.numpy().tobytes() + " ".join(path.name for path in data.paths).encode()
        self.identity = {"shapes": self.names, "symsol_sha256": hashlib.sha256(held).hexdigest()}

    def rotations(self, numbers: Sequence[int]) -> Tensor:
        return self._data.rotations[[self._places[number] for number in numbers]]

    def images(self, numbers: Sequence[int], size: int, device: torch.device | str = "cpu") -> Tensor:
        return torch.stack([self._data.image(self._places[number], size) for number in numbers]).to(device)

    def _place(self, number: int, found: Sequence[int]) -> int:
        """Where in the folder an image is, of those found of its solid."""
        order = 2 * (number // (2 * len(self.names))) + number % 2
        if order >= len(found):
            raise ValueError(
                f"images is {self.count}, but there are only {len(found)} of {self.shape(number)} in the test split; "
                "ask for fewer, or unpack the data set again"
            )
        return found[order]

    def _check_equivalents(self, shape: str, equivalents: Tensor) -> None:
        off = float(self._symmetries[shape].distance(equivalents[0], equivalents).max())
        if not off < EQUAL:
            raise ValueError(
                f"SYMSOL's equivalent rotations of {shape} are off config/symmetries/{shape}.yaml by up to "
                f"{off:.2g} rad, expected {EQUAL:g}; is it another data set, or another order of axes?"
            )


def check_shapes(names: Sequence[str]) -> None:
    """Raises ValueError unless these are solids, one or more, each once."""
    if unknown := [name for name in names if name not in SOLIDS]:
        raise ValueError(f"shapes has {', '.join(map(repr, unknown))}, expected some of: {', '.join(SOLIDS)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"shapes is {', '.join(names)!r}, expected one or more, each once")
