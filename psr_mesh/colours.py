"""A field's colours on its surface: a texture in which every triangle has a place of its own, and files that show it.

Two triangles share a square of the texture, apart by a few texels that continue the nearer one, so that filtering
mixes no foreign colours in. Squares near each other belong to triangles near each other (both follow a Morton curve),
so that a texture shrunk for a distant view stays true, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image
from trimesh.visual.material import PBRMaterial

from psr_core.image_folder import write_png
from psr_mesh.field import Field, ask

CELL = 16  # texels along a side of the square that two triangles share
LEG = CELL - 5  # of a triangle in it, in texels: one is free before and two or three behind
DEPTHS = (0.0, 0.01, 0.03)  # beneath the surface, in the cube's units, where its colour is looked for
OBJ, MTL, PNG, GLB = "visual.obj", "visual.mtl", "texture.png", "visual.glb"
TO_GLTF = [1, 2, 0]  # its axes in ours: x to the object's left, y up, z to where it looks


@dataclass(frozen=True)
class Texture:
    """image (H, W, 3) uint8, RGB, the first row on top; uv (faces, 3, 2), 0 to 1, of corners, v upwards."""

    image: NDArray[np.uint8]
    uv: NDArray[np.float64]


def bake(field: Field, mesh: trimesh.Trimesh, device: torch.device | str = "cpu") -> Texture:
    """The texture of a mesh that is in the field's units.

    A texel's colour is the mean of what the field has at DEPTHS beneath it, each as much as it is dense there: outside,
    and where nothing is, a field's colour is whatever the optimisation left.
    """
    order = np.argsort(_morton(mesh.triangles_center), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    columns, rows = _curve((len(order) + 1) // 2)
    cell = np.stack([columns, rows], 1)[place // 2] * CELL  # (F, 2): the first texel of each triangle's square
    second = (place % 2 == 1)[:, None]

    texels = _texels()
    barycentric = texels - 1.0
    weights = np.concatenate([LEG - barycentric.sum(1, keepdims=True), barycentric], 1).clip(0)
    weights /= weights.sum(1, keepdims=True)  # outside the triangle: nearly its nearest point
    points = np.einsum("tc,fcx->ftx", weights, mesh.triangles)
    colours = _colours(field, points, mesh.face_normals, device)

    size = CELL * (columns.max() + 1), CELL * (rows.max() + 1)
    image = np.full((size[1], size[0], 3), colours.mean((0, 1)), np.float32)
    x, y = np.moveaxis(cell[:, None] + np.where(second[:, None], CELL - 1 - texels, texels), 2, 0)
    image[y, x] = colours
    corners = np.array([[1, 1], [1 + LEG, 1], [1, 1 + LEG]])
    at = cell[:, None] + np.where(second[:, None], CELL - 1 - corners, corners) + 0.5
    uv = at / size
    uv[..., 1] = 1 - uv[..., 1]
    return Texture(np.rint(255 * image.clip(0, 1)).astype(np.uint8), uv)


def write_visual(folder: Path, mesh: trimesh.Trimesh, texture: Texture) -> None:
    """Writes OBJ, MTL and PNG as MuJoCo reads them, z up, and the same in one GLB, which has y up, for viewers."""
    write_png(folder / PNG, cv2.cvtColor(texture.image, cv2.COLOR_RGB2BGR))
    (folder / MTL).write_text(f"newmtl surface\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nmap_Kd {PNG}\n")
    lines = [f"mtllib {MTL}", "usemtl surface"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in mesh.vertices]
    lines += [f"vt {u:.7f} {v:.7f}" for u, v in texture.uv.reshape(-1, 2)]
    for number, face in enumerate(mesh.faces):
        lines.append("f " + " ".join(f"{vertex + 1}/{3 * number + i + 1}" for i, vertex in enumerate(face)))
    (folder / OBJ).write_text("\n".join(lines) + "\n")
    corners = mesh.faces.ravel()
    material = PBRMaterial(
        baseColorTexture=Image.fromarray(texture.image), metallicFactor=0.0, roughnessFactor=0.8, name="surface"
    )
    shown = trimesh.Trimesh(
        mesh.vertices[corners][:, TO_GLTF],
        np.arange(len(corners)).reshape(-1, 3),
        vertex_normals=mesh.vertex_normals[corners][:, TO_GLTF],
        visual=trimesh.visual.TextureVisuals(uv=texture.uv.reshape(-1, 2), material=material),
        process=False,
    )
    (folder / GLB).write_bytes(shown.export(file_type="glb", include_normals=True))


def _colours(
    field: Field, points: NDArray[np.float64], normals: NDArray[np.float64], device: torch.device | str
) -> NDArray[np.float64]:
    """Colours (F, T, 3) of points (F, T, 3) on faces with these normals (F, 3)."""
    weighted, total = np.zeros(points.shape), np.zeros((*points.shape[:2], 1))
    for depth in DEPTHS:
        beneath = (points - depth * normals[:, None]).reshape(-1, 3).clip(-1, 1)
        density = ask(field.density, beneath, device).clip(0)[:, None] + 1e-6
        weighted += (density * ask(field.albedo, beneath, device)).reshape(points.shape)
        total += density.reshape(total.shape)
    return weighted / total


def _texels() -> NDArray[np.int64]:
    """The half (T, 2) of a square's texels (column, row) that is the first triangle's."""
    both = np.stack(np.meshgrid(np.arange(CELL), np.arange(CELL), indexing="xy"), -1).reshape(-1, 2)
    return both[both.sum(1) < CELL]


def _curve(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of the first squares along a Morton curve."""
    numbers = np.arange(count)
    bits = range(16)
    columns = sum((numbers >> 2 * bit & 1) << bit for bit in bits)
    rows = sum((numbers >> 2 * bit + 1 & 1) << bit for bit in bits)
    return columns, rows


def _morton(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers along a Morton curve through points (N, 3)."""
    low = points.min(0)
    cells = (1023 * (points - low) / max(np.ptp(points, 0).max(), 1e-12)).astype(np.int64)
    return sum((cells[:, axis] >> bit & 1) << 3 * bit + axis for bit in range(10) for axis in range(3))
