"""Colours: each where the field has it, read from the texture as a viewer does."""

import numpy as np
import pytest
import trimesh

from psr_mesh.colours import CELL, GLB, OBJ, bake, write_visual
from psr_mesh.surface import SurfaceOptions, extract_surface
from tests.psr_mesh.fields import BLUE, RED, Solid, ball


@pytest.fixture(scope="module")
def painted():
    field = Solid(ball(0.6))
    mesh = extract_surface(field, SurfaceOptions(resolution=32, faces=600)).mesh
    return mesh, bake(field, mesh)


def seen(texture, uv):
    """Colours (N, 3), 0 to 1, at uv (N, 2), each mixed of four texels."""
    height, width, _ = texture.image.shape
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    mixed = 0
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - i - (x - column)) * np.abs(1 - j - (y - row))
            mixed = mixed + weight[:, None] * texture.image[row + j, column + i]
    return mixed / 255


def test_a_half_red_half_blue_ball_is_so_all_over(painted):
    mesh, texture = painted
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([0.5, 0.5, 0.5], (20, len(mesh.faces)))  # corners and edges, too
    points = np.einsum("nfc,fcx->nfx", weights, mesh.triangles).reshape(-1, 3)
    colours = seen(texture, np.einsum("nfc,fcx->nfx", weights, texture.uv).reshape(-1, 2))
    for side, colour in ((points[:, 0] > 0.03, RED), (points[:, 0] < -0.03, BLUE)):
        assert np.abs(colours[side] - colour).max() < 0.01


def test_no_two_triangles_share_a_texel(painted):
    _, texture = painted
    height, width, _ = texture.image.shape
    cells = np.floor(texture.uv.mean(1) * [width / CELL, height / CELL]).astype(int)
    assert np.unique(cells, axis=0, return_counts=True)[1].max() == 2
    assert texture.uv.min() > 0 and texture.uv.max() < 1


def test_a_viewer_reads_the_files_with_the_object_upright_and_facing_it(painted, tmp_path):
    mesh, texture = painted
    mesh = mesh.copy()
    mesh.apply_scale([1, 0.8, 0.5])
    write_visual(tmp_path, mesh, texture)
    (shown,) = trimesh.load_scene(tmp_path / GLB).geometry.values()
    assert shown.extents == pytest.approx(mesh.extents[[1, 2, 0]], abs=1e-5)
    colours = shown.visual.to_color().vertex_colors[:, :3] / 255
    front = shown.vertices[:, 2] > 0.1  # glTF looks along +z
    assert np.abs(colours[front] - RED).max() < 0.01
    again = trimesh.load_mesh(tmp_path / OBJ)
    assert again.extents == pytest.approx(mesh.extents, abs=1e-5)
