"""A ball whose every view is known: a field for tests, and how its chords and points of entry go."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from psr_mesh.volume import Matter


@dataclass
class Ball:
    """Density the same inside, 0 outside; red where y > 0 and blue where not, or white."""

    density_inside: float = 1e4
    radius: float = 0.6
    centre: torch.Tensor = field(default_factory=lambda: torch.zeros(3))
    two_coloured: bool = False

    def density(self, points):
        return self.density_inside * ((points - self.centre).norm(dim=1) < self.radius).to(points.dtype)

    def matter(self, points):
        if not self.two_coloured:
            return Matter(self.density(points), torch.ones_like(points))
        red, blue = points.new_tensor([[0.9, 0.2, 0.2], [0.2, 0.2, 0.9]])
        return Matter(self.density(points), torch.where(points[:, 1:2] > 0, red, blue))

    def normals(self, points):
        return F.normalize(points - self.centre, dim=1)

    def occupied(self, least):
        return torch.ones(1, 1, 1, dtype=torch.bool)

    def entry(self, rays):
        """Distance at which rays (B, P) meet the ball, and the chord in it; 0 for those that miss it."""
        to = self.centre - rays.origins[:, None]
        along = (to * rays.directions).sum(-1)
        half = (self.radius**2 - to.square().sum(-1) + along.square()).clamp(min=0).sqrt()
        return (along - half) * (half > 0), 2 * half
