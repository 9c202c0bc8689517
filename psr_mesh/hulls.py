"""A mesh as a few convex hulls, which is all that MuJoCo collides."""

from __future__ import annotations

import contextlib

import coacd
import numpy as np
import trimesh

from psr_mesh.surface import with_fewer_faces

FACES = (400, 800, 1600)  # of the mesh that is divided, the fewest that will do: the search's time grows steeply
CRUMB = 1e-3  # of the mesh's volume: smaller hulls are left out


def convex_hulls(mesh: trimesh.Trimesh, most: int, threshold: float, seed: int) -> list[trimesh.Trimesh]:
    """Hulls that together fill a manifold mesh, at most `most`, the largest first.

    threshold: the concavity at which a part is not divided further, 0.01 (close) to 1 (one hull); seed: of the search.
    Raises ValueError when none has a volume.
    Source: CoACD, Approximate Convex Decomposition with Collision-Aware Concavity and Tree Search, arXiv 2205.02961.
    """
    coarse = _coarse(mesh)
    coacd.set_log_level("error")
    parts = coacd.run_coacd(
        coacd.Mesh(coarse.vertices, coarse.faces),
        threshold=threshold,
        max_convex_hull=most,
        preprocess_mode="off",  # the mesh is manifold already
        # A tenth of the usual search: seconds instead of minutes, for hulls that are hardly more or worse.
        mcts_iterations=20,
        mcts_nodes=10,
        mcts_max_depth=2,
        resolution=1000,
        seed=seed,
    )
    hulls = [trimesh.convex.convex_hull(np.asarray(vertices)) for vertices, _ in parts]
    hulls = [hull for hull in hulls if hull.volume > CRUMB * mesh.volume]
    if not hulls:
        raise ValueError("no convex hull of the mesh has a volume: it is too thin to collide; thicken the field")
    return sorted(hulls, key=lambda hull: -hull.volume)


def _coarse(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The mesh with few faces, or as it is where it cannot be had with fewer."""
    for faces in FACES:
        with contextlib.suppress(ValueError):
            return with_fewer_faces(mesh, faces)
    return mesh
