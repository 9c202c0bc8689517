"""Settings of objects so small that a test can distil them with a tiny prior."""

from __future__ import annotations

from psr_mesh.settings import MeshSettings

QUICK = {"msd": {"sampler_steps": 2}, "sdi": {"inversion_steps": 3}}
SMALL = {"steps": 4, "views": 2, "levels": (4, 8), "grow": (0.5,), "intervals": 8}


def small_settings(method: str = "dsd", **fields) -> MeshSettings:
    fields = {**SMALL, "options": QUICK.get(method, {}), "method": method, **fields}
    return MeshSettings("a cat", negative="a blur" if method == "nfsd" else None, **fields)
