"""Pictures as parameters: as pixels, as latents, or as the weights of coordinate networks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from psr_core.distillation.guidance import Prompt
from psr_core.distillation.method import View
from psr_core.distillation.noise import PICTURE, addressed_normal
from psr_core.distillation.prior import Prior

_EDGE = 1e-3  # pixels start at least so far from 0 and 1, where the sigmoid has no slope
START = 0.1  # standard deviation of the noise that pictures start as: of 1, high frequencies stay to the end


class Picture(Protocol):
    """B pictures, one for each seed, independent of each other; a torch module whose parameters they are."""

    def sample(self, prior: Prior) -> tuple[Tensor, Tensor | None]:
        """What the prior looks at (B, *shape), and the images it was encoded from, if it was; with gradients."""

    def image(self, prior: Prior) -> Tensor:
        """The images (B, 3, H, W), 0 to 1."""

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Latents(nn.Module):
    """The prior's samples themselves, from x (B, *shape) on."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(x.detach().clone())

    def sample(self, prior: Prior) -> tuple[Tensor, Tensor | None]:
        return self.x, None

    def image(self, prior: Prior) -> Tensor:
        return prior.decode(self.x)


class Pixels(nn.Module):
    """Every pixel's colour, a sigmoid of a parameter, from images (B, 3, H, W) on."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(images.detach().clamp(_EDGE, 1 - _EDGE).logit())

    def sample(self, prior: Prior) -> tuple[Tensor, Tensor | None]:
        image = self.logits.sigmoid()
        return prior.encode(image), image

    def image(self, prior: Prior) -> Tensor:
        return self.logits.sigmoid()


class CoordinateMLP(nn.Module):
    """Colour as a function of place: for each picture a perceptron on Fourier features of x and y, -1 to 1.

    seeds: (B,) int64; the first weights of a picture follow from its seed alone. size: (H, W). The finest of the
    features has a wave of about eight pixels. Source: Mildenhall et al. 2020 (NeRF), equation 4.
    """

    def __init__(self, seeds: Tensor, size: tuple[int, int], width: int = 64, depth: int = 3) -> None:
        super().__init__()
        self.size = size
        self.frequencies = max(1, round(math.log2(max(size))) - 2)
        widths = [2 + 4 * self.frequencies, *[width] * depth, 3]
        self.matrices, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            like = torch.empty(len(seeds), before, after, device=seeds.device)
            drawn = addressed_normal(like, 0, seeds, PICTURE, layer)
            self.matrices.append(nn.Parameter(drawn * (2 / before) ** 0.5))
            self.biases.append(nn.Parameter(torch.zeros(len(seeds), 1, after, device=seeds.device)))

    def sample(self, prior: Prior) -> tuple[Tensor, Tensor | None]:
        image = self.image(prior)
        return prior.encode(image), image

    def image(self, prior: Prior) -> Tensor:
        h = self._features().expand(len(self.matrices[0]), -1, -1)
        for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            h = torch.baddbmm(bias, h if layer == 0 else h.relu(), matrix)
        return h.sigmoid().mT.reshape(len(h), 3, *self.size)

    def _features(self) -> Tensor:
        """(H W, 2 + 4 frequencies)."""
        like = self.matrices[0]
        rows, columns = (torch.linspace(-1, 1, side, device=like.device) for side in self.size)
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
        waves = math.pi * 2 ** torch.arange(self.frequencies, device=like.device)
        angles = (place[:, :, None] * waves).flatten(1)
        return torch.cat([place, angles.sin(), angles.cos()], 1)


class PictureScene:
    """What a method sees of pictures: all of them, every time. camera: (B, C), for methods that model renderings."""

    def __init__(
        self, picture: Picture, prior: Prior, prompt: Prompt, seeds: Tensor, camera: Tensor | None = None
    ) -> None:
        self.picture, self.prior, self.prompt, self.seeds, self.camera = picture, prior, prompt, seeds, camera

    def view(self, step: int) -> View:
        x, image = self.picture.sample(self.prior)
        return View(x, self.prompt, self.seeds, torch.zeros_like(self.seeds), self.camera, image)


def noise_pictures(shape: tuple[int, ...], seeds: Tensor) -> Tensor:
    """A little noise (B, *shape) to start from, a row for each seed."""
    return START * addressed_normal(torch.empty(len(seeds), *shape, device=seeds.device), 0, seeds, PICTURE)
