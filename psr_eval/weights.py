"""What a pipeline's weights are, whatever folder or hub they came from."""

from __future__ import annotations

import hashlib
from typing import Any

import torch


def weights_sha256(pipeline: Any) -> str:
    """sha256 of all weights of a diffusers pipeline, in its dtype."""
    digest = hashlib.sha256()
    for name, part in sorted(pipeline.components.items()):
        if isinstance(part, torch.nn.Module):
            for key, tensor in part.state_dict().items():
                digest.update(f"{name}.{key}".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
