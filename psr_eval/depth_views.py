"""Depth that was estimated while an episode was filmed, beside what the camera saw and what is true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from psr_eval.depth_pictures import INVALID
from psr_eval.episodes import BagContents, steering_of
from psr_eval.moments import Topic, common_stamps, embedded, messages_at, png, spread, survey
from psr_eval.video import IMAGE, rgb

INFO = "psr_interfaces/msg/DepthInfo"
METRES = "32FC1"
SIDE = 2.5  # inches, an image's width

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class DepthView:
    """One camera image. rgb (H, W, 3) uint8; depth and truth (H, W) metres, NaN where unknown; info: a DepthInfo."""

    rgb: Array
    depth: Array
    truth: Array
    info: Any

    @property
    def error(self) -> Array:
        """|depth - truth| / truth, (H, W), NaN where either is unknown."""
        return np.abs(self.depth - self.truth) / self.truth

    @property
    def median_error(self) -> float:
        """Of the pixels where both are known; NaN where none is."""
        error = self.error[np.isfinite(self.error)]
        return float(np.median(error)) if error.size else float("nan")


def find_views(bags: Iterable[BagContents], count: int = 3) -> list[DepthView]:
    """Up to `count` images of the first bag that holds, of the same stamp, a colour image, metric depth estimated from
    it and true depth; evenly spread over all such images. Empty where no bag does.
    """
    for bag in bags:
        topics = survey(bag, [IMAGE, INFO])
        names = _topics(topics)
        stamps = spread(common_stamps([topics[name] for name in names]), count) if names else []
        if stamps:
            found = messages_at(bag, topics, dict.fromkeys(names, stamps))
            return [_view(*(found[stamp][name] for name in names)) for stamp in stamps]
    return []


def picture(views: Sequence[DepthView]) -> bytes:
    """PNG with a line for each view: image, estimate, truth, relative error; depths share a scale, and errors do."""
    truths = np.concatenate([view.truth[np.isfinite(view.truth)] for view in views])
    errors = np.concatenate([view.error[np.isfinite(view.error)] for view in views])
    near, far = np.quantile(truths, [0.01, 0.99])
    depth: Any = {"cmap": colormaps["Spectral"].with_extremes(bad=INVALID), "vmin": near, "vmax": far}
    worst = float(np.quantile(errors, 0.98)) if errors.size else 1.0
    error: Any = {"cmap": colormaps["inferno"].with_extremes(bad=INVALID), "vmin": 0, "vmax": worst or 1e-3}
    height = SIDE * views[0].rgb.shape[0] / views[0].rgb.shape[1]
    figure = Figure(figsize=(4 * SIDE, (height + 0.2) * len(views) + 0.7), layout="constrained")
    grid: Any = figure.subplots(len(views), 4, squeeze=False)
    for line, view in zip(grid, views, strict=True):
        for axes in line:
            axes.set_axis_off()
        line[0].imshow(view.rgb)
        drawn = [line[1].imshow(view.depth, **depth), line[2].imshow(view.truth, **depth)]
        wrong = line[3].imshow(100 * view.error, **{**error, "vmax": 100 * error["vmax"]})
        line[3].set_title(f"median {view.median_error:.1%}", fontsize=9, pad=3)
    for axes, title in zip(grid[0][:3], ("camera", "estimated depth", "true depth"), strict=True):
        axes.set_title(title, fontsize=9, pad=3)
    figure.colorbar(drawn[0], ax=grid[:, 1:3], location="bottom", aspect=50, pad=0.02, label="m")
    figure.colorbar(wrong, ax=grid[:, 3], location="bottom", aspect=22, pad=0.02, label="relative error, %")
    return png(figure)


def sentence(views: Sequence[DepthView]) -> str:
    """What the maps were made by, and how far off they are."""
    info, errors = views[0].info, [view.median_error for view in views]
    source = f"fitted to {info.points} sparse points, of which {info.inliers} agree" if info.points else "as set"
    off = f"{min(errors):.1%}" if len(errors) == 1 else f"{min(errors):.1%} to {max(errors):.1%}"
    return (
        f"From one image each, by {info.checkpoint} under {steering_of(info.steering).label()}, "
        f"{info.num_inference_steps} network calls; scale and shift {source}. Median relative error: {off}."
    )


def as_html(views: Sequence[DepthView]) -> str:
    """Picture and sentence."""
    return embedded(picture(views), "estimated and true depth", sentence(views))


def _topics(topics: Mapping[str, Topic]) -> list[str]:
    """A colour image, an estimate in metres, true depth and an estimate's DepthInfo, in this order; empty where one of
    them is not there."""
    kinds = {name: INFO if topic.type == INFO else topic.first.encoding for name, topic in topics.items()}
    for info in (name for name, kind in kinds.items() if kind == INFO):
        node = info.rpartition("/")[0] + "/"
        colour = (name for name, kind in kinds.items() if kind not in (INFO, METRES) and not name.startswith(node))
        metric = (name for name in (f"{node}depth",) if kinds.get(name) == METRES)
        truth = (name for name, kind in kinds.items() if kind == METRES and not name.startswith(node))
        found = [next(names, "") for names in (colour, metric, truth)]
        if all(found):
            return [*found, info]
    return []


def _view(colour: Any, estimate: Any, truth: Any, info: Any) -> DepthView:
    return DepthView(rgb(colour), _metres(estimate), _metres(truth), info)


def _metres(message: Any) -> Array:
    """(H, W) float32, NaN where no depth is known."""
    rows = message.data[: message.step * message.height].reshape(message.height, message.step)
    depth = rows[:, : 4 * message.width].copy().view(">f4" if message.is_bigendian else "<f4").astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))
