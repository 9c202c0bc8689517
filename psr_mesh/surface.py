"""A field's surface: one closed, manifold, outward-facing triangle mesh within a budget of faces."""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
import torch
import trimesh
from manifold3d import Error, Manifold
from manifold3d import Mesh as ManifoldMesh
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from psr_mesh.field import Field, ask

EMPTY = 0.1  # a density so low that the whole cube lets more than four fifths of the light through
SLAB = 1 / 32  # the thickness that the default level judges opacities by
FEWEST_CELLS = 27  # of a solid: below, there is no shape to speak of
ON_SURFACE = 1e-3  # no sample's opacity is nearer to 1/2, so that no two vertices coincide
VOLUME_KEPT = 0.05  # the relative change of volume that fewer faces may cost
BLURS = (0.0, 1.0, 2.0)  # samples, of a Gaussian on opacities: the least that makes a surface that few faces can have


class RuggedError(ValueError):
    """A surface that so few faces cannot have."""


@dataclass(frozen=True)
class SurfaceOptions:
    """resolution: samples along each side of the cube. level: the density at the surface, default_level's when None.

    faces: triangles at most. Raises ValueError naming the field that is out of range.
    """

    resolution: int = 96
    level: float | None = None
    faces: int = 4000

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= 512:
            raise ValueError(f"resolution is {self.resolution}, expected 8 to 512 samples along a side")
        if self.level is not None and not 0 < self.level < np.inf:
            raise ValueError(f"level is {self.level}, expected a positive density, or None for the default")
        if not 20 <= self.faces <= 200_000:
            raise ValueError(f"faces is {self.faces}, expected 20 to 200000")


@dataclass(frozen=True)
class Surface:
    """mesh: in the cube's units. What it is: faces, volume, area, genus (tunnels through it), level (a density).

    components_dropped: solids beside the largest, and dropped_share their part of all that was solid;
    cavities_filled: hollows that nothing outside could reach; blur: samples, that the field had to be smoothed by.
    """

    mesh: trimesh.Trimesh
    level: float
    faces: int
    volume: float
    area: float
    genus: int
    components_dropped: int
    dropped_share: float
    cavities_filled: int
    blur: float

    def statistics(self) -> dict[str, float]:
        """Everything but the mesh, as JSON has it."""
        return {name: value for name, value in vars(self).items() if name != "mesh"}


def extract_surface(
    field: Field, options: SurfaceOptions = SurfaceOptions(), device: torch.device | str = "cpu"
) -> Surface:
    """The surface of a field's largest solid; what reaches beyond the cube is closed at its faces.

    Raises ValueError for an empty or uniform field, and for a surface that is degenerate or cannot be had with so few
    faces.
    """
    density = sample_density(field, options.resolution, device)
    if density.max() < EMPTY:
        raise ValueError(
            f"the field is empty: its density is {density.max():.3g} at most, expected {EMPTY} or more somewhere; "
            "optimise it longer, or begin with another seed"
        )
    level = default_level(density) if options.level is None else options.level
    # The opacity of the thickness that lets half of the light through at the level: like density, but bounded, so that
    # a surface between a little and very much lies in the middle rather than at the little.
    opacity = np.pad(1 - np.exp2(-density / level), 1)
    for blur in BLURS:
        try:
            return _closed(
                ndimage.gaussian_filter(opacity, blur, mode="constant"),
                float(level),
                float(density.max()),
                options,
                blur,
            )
        except RuggedError:
            if blur == BLURS[-1]:
                raise
    raise AssertionError("the last blur returns or raises")


def _closed(opacity: NDArray[np.floating], level: float, most: float, options: SurfaceOptions, blur: float) -> Surface:
    """Where opacities (R + 2,) * 3, empty at their faces, are a half; most: the highest density."""
    solid, dropped, share = _largest(opacity > 0.5, level, most)
    filled = ndimage.binary_fill_holes(solid)
    cavities = int(ndimage.label(filled & ~solid)[1])
    samples = np.where(filled, np.maximum(opacity, 0.5 + ON_SURFACE), np.minimum(opacity, 0.5 - ON_SURFACE))
    cells = options.resolution - 1
    # "ascent": the faces turn their front to where it is less dense
    vertices, faces, _, _ = marching_cubes(samples.astype(np.float32), 0.5, gradient_direction="ascent")
    vertices = np.clip((vertices - 1) * (2 / cells) - 1, -1, 1)
    whole = _manifold(vertices, faces)
    parts = [] if whole.status() != Error.NoError else whole.decompose()
    if not parts or (part := max(parts, key=lambda part: abs(part.volume()))).volume() <= 0:
        raise ValueError("the surface is degenerate: it encloses nothing; raise resolution, or lower level")
    mesh = with_fewer_faces(_trimesh(part), options.faces)
    return Surface(
        mesh=mesh,
        level=level,
        faces=len(mesh.faces),
        volume=float(mesh.volume),
        area=float(mesh.area),
        genus=1 - mesh.euler_number // 2,
        components_dropped=dropped + len(parts) - 1,
        dropped_share=share,
        cavities_filled=cavities,
        blur=blur,
    )


def sample_density(field: Field, resolution: int, device: torch.device | str = "cpu") -> NDArray[np.float32]:
    """Densities (resolution,) * 3 over the cube, x first, its faces included; below 0 they count as 0."""
    axis = np.linspace(-1, 1, resolution, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return np.maximum(ask(field.density, points, device), 0).reshape((resolution,) * 3)


def default_level(density: NDArray[np.floating]) -> float:
    """The density that divides samples into empty and solid: midway between the mean opacities of the two.

    Opacities are those of a slab of SLAB, so the interior's exact density, which pictures do not show, counts little.
    Raises ValueError for a field that is the same everywhere.
    Source: Ridler and Calvard, Picture thresholding using an iterative selection method, 1978.
    """
    opacity = -np.expm1(-density.astype(np.float64) * SLAB)
    threshold, before = (opacity.min() + opacity.max()) / 2, -1.0
    if np.ptp(opacity) < 1e-3 * opacity.max():
        raise ValueError(f"the field has one density everywhere, {density.max():.3g}: there is no surface in it")
    while abs(threshold - before) > 1e-6:
        solid = opacity > threshold
        before, threshold = threshold, (opacity[solid].mean() + opacity[~solid].mean()) / 2
    return float(-np.log1p(-threshold) / SLAB)


def _largest(solid: NDArray[np.bool_], level: float, most: float) -> tuple[NDArray[np.bool_], int, float]:
    """The largest connected solid, how many others there are, and their share of the cells."""
    labels, count = ndimage.label(solid)
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    if sizes.max() < FEWEST_CELLS:
        raise ValueError(
            f"the surface is degenerate: above the level {level:.3g} the largest solid has {sizes.max()} samples, "
            f"expected {FEWEST_CELLS} or more; lower level (the highest density is {most:.3g}), or raise resolution"
        )
    return labels == 1 + sizes.argmax(), count - 1, float(1 - sizes.max() / sizes.sum())


def with_fewer_faces(mesh: trimesh.Trimesh, most: int) -> trimesh.Trimesh:
    """A manifold mesh with at most so many faces, as many tunnels and nearly the volume.

    By quadric edge collapse; where that tears the surface, by manifold3d's collapse of short edges. Raises RuggedError
    when neither manages.
    """
    if len(mesh.faces) <= most:
        return mesh
    whole = _manifold(mesh.vertices, mesh.faces)
    fewer = _manifold(*fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=most))
    tolerance = mesh.scale / 1000
    while not _same_shape(fewer, whole) or fewer.num_tri() > most:
        if tolerance > mesh.scale / 30:
            raise RuggedError(
                f"the surface is too rugged for {most} faces (it has {whole.num_tri()} and {whole.genus()} tunnels); "
                "raise faces, lower resolution, or optimise the field longer"
            )
        fewer, tolerance = whole.simplify(tolerance), 1.5 * tolerance
    return _trimesh(fewer)


def _same_shape(fewer: Manifold, part: Manifold) -> bool:
    """Whether a mesh is manifold, in one piece, with as many tunnels and nearly the volume of another."""
    return (
        fewer.status() == Error.NoError
        and fewer.genus() == part.genus()
        and len(fewer.decompose()) == 1
        and abs(fewer.volume() / part.volume() - 1) < VOLUME_KEPT
    )


def _manifold(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> Manifold:
    triangles = np.ascontiguousarray(faces, np.uint32)
    return Manifold(ManifoldMesh(np.ascontiguousarray(vertices, np.float32), triangles))


def _trimesh(part: Manifold) -> trimesh.Trimesh:
    mesh = part.to_mesh()
    # process=False: merging equal vertices again could undo what makes it manifold
    return trimesh.Trimesh(
        np.asarray(mesh.vert_properties, np.float64)[:, :3], np.asarray(mesh.tri_verts, np.int64), process=False
    )
