"""What a pipeline's weights are, whatever folder or hub they came from."""

from __future__ import annotations

from typing import Any

from psr_core.diffusers_folder import modules_sha256


def weights_sha256(pipeline: Any) -> str:
    """sha256 of all weights of a diffusers pipeline, in its dtype."""
    return modules_sha256(pipeline.components)
