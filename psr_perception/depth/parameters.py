"""The depth node's parameters beside those of every FrameNode, and what their values ask of the estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psr_core.steering import Steering
from psr_perception.depth.loading import DTYPES
from psr_perception.depth.metric import FITS, SOURCES, MetricSettings
from psr_perception.depth.outputs import COLORMAPS
from psr_perception.depth.runner import DepthRequest
from psr_perception.depth.settings import DepthSettings

OUTPUT_SIZES = ("native", "processing")


def declare_parameters(declare: Callable[..., Any]) -> None:
    """Declare them; declare: SuiteNode.declare."""
    declare("checkpoint", "", "Folder or hub id of a Marigold depth pipeline, as diffusers saves it.")
    declare("dtype", "float32", "Of the networks' numbers.", choices=DTYPES)
    declare("tiny_autoencoder", "", "Folder or hub id of an AutoencoderTiny instead of the VAE: faster, less detail.")
    declare("batch_size", 1, "Ensemble members that go through the networks at a time.", bounds=(1, 100))

    def live(name: str, default: Any, description: str, **limits: Any) -> None:
        declare(name, default, description, live=True, **limits)

    live("num_inference_steps", 0, "Network calls for a frame and member; 0: as the checkpoint says.", bounds=(0, 1000))
    live("ensemble_size", 1, "Estimates of a frame, of which the median is taken.", bounds=(1, 100))
    resolution = "Longer side in pixels for the networks; 0: the image's own; -1: as the checkpoint says."
    live("processing_resolution", -1, resolution, bounds=(-1, 8192))
    live("uncertainty", False, "Publish the ensemble's spread; wants an ensemble_size of 2 or more.")
    live("warm_start", 0.0, "Share of the last frame's latents to begin with, such as 0.1; 0: off.", bounds=(0.0, 0.99))
    live("rectify", False, "Take lens distortion out first: for image_raw, not for image_rect.")
    size = "Of the maps. native: the image's; processing: what the networks worked on, camera_info scaled with it."
    live("output_size", "native", size, choices=OUTPUT_SIZES)
    live("debug_colormap", "turbo", "OpenCV's colours for ~/debug.", choices=COLORMAPS)
    source = (
        "What makes depth metric. parameters: scale and shift; depth, points: fitted to sparse_depth, sparse_points."
    )
    live("metric_source", "none", source, choices=SOURCES)
    live("scale", 0.0, "Metres from relative depth 0 to 1, with metric_source parameters.", bounds=(0.0, 1e6))
    live("shift", 0.0, "Metres at relative depth 0, with metric_source parameters.", bounds=(-1e6, 1e6))
    live("sparse_max_age", 0.5, "Seconds between an image and the sparse depth used, at most.", bounds=(0.0, 3600.0))
    live("sparse_points", 5000, "Of the sparse depth fit so many points only; 0: all.", bounds=(0, 10_000_000))
    fit = "global: one scale and one shift for the image; local: beyond them, drawn to the sparse points that agree."
    live("sparse_fit", "local", fit, choices=FITS)
    live("min_depth", 0.1, "Metres; nearer pixels of ~/depth become NaN.", bounds=(0.0, 1e6))
    live("max_depth", 100.0, "Metres; farther pixels of ~/depth become NaN.", bounds=(0.0, 1e6))


def request_of(value: Callable[[str], Any], checkpoint: DepthSettings, steering: Steering) -> DepthRequest:
    """What the values, by parameter name, ask for; checkpoint: its own settings. Raises ValueError as their classes."""
    steps, resolution = value("num_inference_steps"), value("processing_resolution")
    settings = DepthSettings(
        num_inference_steps=steps or checkpoint.num_inference_steps,
        ensemble_size=value("ensemble_size"),
        processing_resolution=checkpoint.processing_resolution if resolution < 0 else resolution,
        uncertainty=value("uncertainty"),
        warm_start=value("warm_start"),
        seed=value("seed"),
        match_input_resolution=value("output_size") == "native",
    )
    metric = MetricSettings(
        source=value("metric_source"),
        scale=value("scale"),
        shift=value("shift"),
        max_age=value("sparse_max_age"),
        points=value("sparse_points"),
        fit=value("sparse_fit"),
        min_depth=value("min_depth"),
        max_depth=value("max_depth"),
    )
    return DepthRequest(settings, steering, metric, value("rectify"), value("noise"))
