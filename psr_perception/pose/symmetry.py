"""An object's symmetries: rotations S of the object for which R S looks like R, from a small YAML file.

    name: cylinder
    note: free text, optional
    continuous: [0, 0, 1]              # every rotation about this axis of the object; at most one
    discrete:                          # generators of the others; the group is their closure
      - {axis: [1, 0, 0], order: 2}    # a turn by 360/order degrees
      - matrix: [[0, -1, 0], [1, 0, 0], [0, 0, 1]]

An object without either is {name: ...}. Numbers such as √2 need all their digits: 1.4142135623730951.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from psr_core import so3
from psr_core.suite_folder import suite_root

LARGEST_ORDER = 360  # beyond it a finite group is a dihedral one of tiny turns: say `continuous` instead
SAME, CLOSED = 1e-6, 1e-9  # rotations nearer than SAME are one; products must lie within CLOSED of an element


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The symmetry group of an object, acting from the right (in the object's frame).

    elements (n, 3, 3) float64, the first of them none: the finite group itself, or with an axis one rotation for each
    of its components, of which there are one (cone) or two (cylinder). axis (3,) float64, of length 1, or None: every
    rotation about it is a symmetry, too.
    """

    name: str
    elements: Tensor
    axis: Tensor | None = None

    @property
    def order(self) -> float:
        """How many symmetries there are; inf with an axis."""
        return math.inf if self.axis is not None else len(self.elements)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Least angle in rad between a S and b over all symmetries S, of rotations (..., 3, 3) that broadcast."""
        return self._least(a.mT @ b)[0]

    def within(self, a: Tensor, b: Tensor, radius: float) -> Tensor:
        """Which of a (n, 3, 3) and b (m, 3, 3) lie within radius (rad) of each other, (n, m) bool.

        What distance() says of each pair, by one product of matrices: for all symmetries S the trace of (a S)ᵀ b, which
        is 1 + 2 cos of their distance, or with an axis the cosine between the axes.
        """
        elements, cosine = self.elements.to(a), math.cos(min(radius, math.pi))
        if self.axis is None:
            forms, others, least = (a[:, None] @ elements).flatten(-2), b.flatten(-2), 1 + 2 * cosine
        else:
            axis = self.axis.to(a)
            forms, others, least = (a @ (elements @ axis).mT).mT, b @ axis, cosine
        products = (forms.flatten(0, 1) @ others.mT).unflatten(0, forms.shape[:2])
        return products.amax(1) >= least

    def nearest(self, rotations: Tensor, reference: Tensor) -> Tensor:
        """Of the rotations R S that look like R (..., 3, 3), the one nearest to the reference, (..., 3, 3)."""
        relative = rotations.mT @ reference
        element = self.elements.to(relative)[self._least(relative)[1]]
        nearest: Tensor = rotations @ element
        if self.axis is None:
            return nearest
        # The turn about the axis that comes nearest to a rotation (v, w) is 2 atan2(v·axis, w): its twist.
        axis, quat = self.axis.to(relative), so3.matrix_to_quat(nearest.mT @ reference)
        twist = 2 * torch.atan2((quat[..., :3] * axis).sum(-1), quat[..., 3])
        turned: Tensor = nearest @ so3.exp(twist[..., None] * axis)
        return turned

    def _least(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Least distance (...) of relative rotations aᵀb (..., 3, 3) to a symmetry, and the element (...) it is by."""
        elements = self.elements.to(relative)
        if self.axis is None:
            best = (relative.flatten(-2) @ elements.flatten(-2).mT).argmax(-1)  # the largest trace of Sᵀ aᵀ b
            return so3.angle(elements[best].mT @ relative), best
        # Turning about the axis for free, only the angle between the axes is left.
        axis = self.axis.to(relative)
        mine, other = torch.broadcast_tensors(elements @ axis, (relative @ axis)[..., None, :])
        sine = torch.linalg.vector_norm(torch.linalg.cross(mine, other), dim=-1)
        least = torch.atan2(sine, (mine * other).sum(-1)).min(-1)
        return least.values, least.indices


def named_symmetry(text: str) -> Symmetry:
    """The symmetry group that a text names: one of config/symmetries, such as "cube", or the path of such a file.

    Raises ValueError for a name that is not there, and as load_symmetry does.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return load_symmetry(path)
    folder = suite_root() / "config" / "symmetries"
    known = sorted(each.stem for each in folder.glob("*.yaml"))
    if text not in known:
        raise ValueError(
            f"symmetry is {text!r}, which is no file, nor one of: {', '.join(known)}; describe the object in a YAML "
            "file as those are (docs/nodes.md), or say none where no two of its rotations look alike"
        )
    return load_symmetry(folder / f"{text}.yaml")


def load_symmetry(path: Path | str) -> Symmetry:
    """The symmetry group of a YAML file in the form of this module's docstring.

    Raises ValueError naming file, field, value and what was expected, among others for generators that make no finite
    group; OSError when the file cannot be read.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ValueError(f"{path} has no name, expected name: <text>, and continuous and discrete where there are any")
    if unknown := content.keys() - {"name", "note", "continuous", "discrete"}:
        raise ValueError(
            f"{path} has no field {', '.join(map(str, unknown))}; expected name, note, continuous, discrete"
        )
    generators = content.get("discrete", [])
    if not isinstance(generators, list):
        raise ValueError(f"{path}: discrete is {generators!r}, expected a list of generators")
    made = [_generator(f"{path}: discrete[{i}]", one) for i, one in enumerate(generators)]
    axis = None
    if "continuous" in content:
        axis = _axis(f"{path}: continuous", content["continuous"])
    try:
        return make_symmetry(content["name"], made, axis)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def make_symmetry(name: str, generators: list[Tensor], axis: Tensor | None = None) -> Symmetry:
    """The group that rotations (3, 3) float64, and every rotation about the axis (3,), generate.

    Raises ValueError when it is no finite group of up to 360 rotations, or, with an axis, when a generator does not
    keep the axis.
    """
    if axis is None:
        return Symmetry(name, _closure(name, generators))
    flips = []
    for i, generator in enumerate(generators):
        turned = generator @ axis
        flipped = float(turned @ axis) < 0
        if float((turned + axis if flipped else turned - axis).norm()) > CLOSED:
            raise ValueError(
                f"symmetry {name}: discrete[{i}] moves the continuous axis to another, so that every rotation would be "
                "a symmetry; expected turns about the axis, or half turns across it"
            )
        if flipped:
            flips.append(generator)
    identity = torch.eye(3, dtype=torch.float64)
    return Symmetry(name, torch.stack([identity, *flips[:1]]), axis)


def _closure(name: str, generators: list[Tensor]) -> Tensor:
    elements = torch.eye(3, dtype=torch.float64)[None]
    fresh = elements
    while len(fresh):
        found = []
        for product in (element @ generator for element in fresh for generator in generators):
            known = torch.cat([elements, torch.stack(found)]) if found else elements
            if float(so3.distance(known, product).min()) > SAME:
                found.append(so3.project(product))
        fresh = torch.stack(found) if found else elements[:0]
        elements = torch.cat([elements, fresh])
        if len(elements) > LARGEST_ORDER:
            raise ValueError(
                f"symmetry {name}: its generators make more than {LARGEST_ORDER} rotations: no finite group, or too "
                "large a one; give axes and angles with all their digits, or use continuous"
            )
    group = Symmetry(name, elements)
    gap = max(float(group.distance(elements[0], element @ elements).max()) for element in elements)
    if gap > CLOSED:
        raise ValueError(
            f"symmetry {name}: its rotations close to {gap:.1e} rad only, expected {CLOSED:g}; give all digits"
        )
    return elements


def _generator(place: str, content: Any) -> Tensor:
    if not isinstance(content, dict) or set(content) not in ({"axis", "order"}, {"matrix"}):
        raise ValueError(f"{place} is {content!r}, expected {{axis: [x, y, z], order: n}} or {{matrix: 3 rows of 3}}")
    if "axis" in content:
        order = content["order"]
        if type(order) is not int or not 2 <= order <= LARGEST_ORDER:
            raise ValueError(f"{place}.order is {order!r}, expected an integer from 2 to {LARGEST_ORDER}")
        return so3.exp(2 * math.pi / order * _axis(f"{place}.axis", content["axis"]))
    try:
        rows = [torch.tensor(row, dtype=torch.float64).reshape(3) for row in content["matrix"]]
        matrix = torch.stack(rows).reshape(3, 3)
        nearest = so3.project(matrix)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{place}.matrix is {content['matrix']!r}, expected 3 rows of 3 numbers") from None
    if not float((nearest - matrix).abs().max()) < SAME:
        raise ValueError(f"{place}.matrix is {content['matrix']!r}, expected a rotation to within {SAME:g}")
    return nearest


def _axis(place: str, content: Any) -> Tensor:
    try:
        axis = torch.tensor(content, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        axis = torch.zeros(0)
    length = float(axis.norm())
    if axis.shape != (3,) or not 0 < length < math.inf:
        raise ValueError(f"{place} is {content!r}, expected one axis of 3 numbers that are not all 0")
    return axis / length
