"""Local copies of the depth benchmarks, in the folder form of Marigold's evaluation data: lists, files, valid pixels.

The folders are its extracted archives, the lists those of its repository (data_split/, prs-eth/Marigold): a line names
the image and the depth map, relative to the folder, and for DIODE the mask.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Size = tuple[int, int]  # height, width
Region = tuple[slice, slice]


class Sample(NamedTuple):
    """rgb (H, W, 3) uint8; depth (H, W) float32, metres along z; valid (H, W) bool: where depth may be compared."""

    name: str
    rgb: Array
    depth: Array
    valid: Array


@dataclass(frozen=True)
class DepthDataset:
    """Samples, each read when it is asked for. min_depth, max_depth: metres, to which predictions are clipped."""

    min_depth: float
    max_depth: float
    names: tuple[str, ...] = field(repr=False)
    load: Callable[[int], Sample] = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self.load(range(len(self))[operator.index(index)])

    def __iter__(self) -> Iterator[Sample]:
        return map(self.load, range(len(self)))


def _everything(path: Path, size: Size) -> Region:
    return slice(None), slice(None)


@dataclass(frozen=True)
class Benchmark:
    """Facts of a data set. images: how many its test list has. processing_resolution: the longer side that the network
    sees in Marigold's evaluation, pixels, 0 for the image's own. alignment_max_res: see metrics.align.
    """

    images: int
    min_depth: float
    max_depth: float
    read_depth: Callable[[Path, Size], Array]
    crop: Callable[[Path, Size], Region] = _everything
    compared: Callable[[Path, Size], Region] = _everything
    has_mask: bool = False
    processing_resolution: int = 0
    alignment_max_res: int | None = None


def open_benchmark(name: str, folder: Path | str, list_file: Path | str) -> DepthDataset:
    """The samples of one of BENCHMARKS, in the order of the list. Lines without ground truth ("None") are left out.

    Raises FileNotFoundError for a folder, list or file of the list that is missing, ValueError naming file and line;
    reading a sample raises ValueError naming the file, what is in it and what was expected.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"data set is {name!r}, expected one of: {', '.join(BENCHMARKS)}")
    benchmark, folder = BENCHMARKS[name], Path(folder)
    if not folder.is_dir():
        cure = "extract the archive (tar -xf) and give the folder" if folder.is_file() else "give another folder"
        raise FileNotFoundError(f"{name}: {folder} is not a folder; {cure}")
    entries = _read_list(name, folder, Path(list_file), 3 if benchmark.has_mask else 2)
    names = tuple(line[0] for line in entries)
    return DepthDataset(
        benchmark.min_depth, benchmark.max_depth, names, lambda index: _sample(benchmark, folder, entries[index])
    )


def _read_list(name: str, folder: Path, list_file: Path, columns: int) -> list[list[str]]:
    if not list_file.is_file():
        raise FileNotFoundError(f"{name}: list {list_file} is missing; it comes with Marigold's code, in data_split/")
    entries = []
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), start=1):
        files = line.split()[:columns]
        if "None" in files or not files:
            continue
        if len(files) < columns:
            raise ValueError(f"{list_file}, line {number}: {line!r} names {len(files)} files, expected {columns}")
        for file in files:
            if not (folder / file).is_file():
                raise FileNotFoundError(f"{list_file}, line {number}: {folder / file} is missing; extract it all")
        entries.append(files)
    if not entries:
        raise ValueError(f"{list_file} names no image with ground truth; expected lines of {columns} file names")
    return entries


def _sample(benchmark: Benchmark, folder: Path, entry: Sequence[str]) -> Sample:
    rgb_path, depth_path = folder / entry[0], folder / entry[1]
    rgb = read_rgb(rgb_path)
    size = rgb.shape[0], rgb.shape[1]
    depth = benchmark.read_depth(depth_path, size)
    require_size(depth_path, depth, size)
    if benchmark.has_mask:
        mask_path = folder / entry[2]
        mask = _npy_map(mask_path, size)
        require_size(mask_path, mask, size)
        valid = (mask > 0) & np.isfinite(depth) & (depth > 0)
    else:
        valid = (depth > benchmark.min_depth) & (depth < benchmark.max_depth)
    crop = benchmark.crop(rgb_path, size)
    rgb, depth, valid = rgb[crop], depth[crop], valid[crop]
    compared = np.zeros_like(valid)
    compared[benchmark.compared(rgb_path, (depth.shape[0], depth.shape[1]))] = True
    return Sample(entry[0], rgb, depth, valid & compared)


def read_rgb(path: Path) -> Array:
    """An 8-bit colour PNG or JPEG as (H, W, 3) uint8, not turned by its EXIF tag, as depth maps are not.

    Raises ValueError naming the file where it is something else.
    """
    pixels = _decode(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"{path} holds {pixels.shape} {pixels.dtype}, expected an 8-bit image of three colours")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_depth_png(path: Path, units_per_metre: float) -> Array:
    """A 16-bit PNG as (H, W) float32 metres; 0 is invalid. Raises ValueError naming the file where it is another."""
    pixels = _decode(path)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ValueError(f"{path} holds {pixels.shape} {pixels.dtype}, expected a 16-bit PNG of one channel")
    return pixels.astype(np.float32) / np.float32(units_per_metre)


def require_size(path: Path, pixels: Array, size: tuple[int, ...]) -> None:
    """Raises ValueError naming the file unless its map is as large as the image."""
    if pixels.shape != size:
        raise ValueError(f"{path} is {pixels.shape} pixels, expected {size} (height, width) as its image has")


def _decode(path: Path) -> Array:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise ValueError(f"{path} is no readable PNG or JPEG ({data.size} bytes); copy it again")
    return pixels


def _millimetres(path: Path, size: Size) -> Array:
    return read_depth_png(path, 1000)


def _kitti_depth(path: Path, size: Size) -> Array:
    return read_depth_png(path, 256)


def _raw_floats(path: Path, size: Size) -> Array:
    """ETH3D's: float32 row by row without a header, inf where nothing was measured."""
    depth = np.frombuffer(path.read_bytes(), "<f4")
    if depth.size != size[0] * size[1]:
        raise ValueError(f"{path} holds {depth.nbytes} bytes, expected {4 * size[0] * size[1]} (float32 of {size})")
    return np.where(np.isinf(depth), np.float32(0), depth).reshape(size)


def _npy_map(path: Path, size: Size) -> Array:
    try:
        values = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable .npy file ({error}); copy it again") from None
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.dtype.kind not in "fbiu":
        raise ValueError(f"{path} holds {values.dtype}, expected numbers")
    return np.asarray(values, np.float32)


def _nyu_eigen_region(path: Path, size: Size) -> Region:
    """The part of an NYUv2 image in which its depth camera saw something (Eigen et al. 2014)."""
    if size != (480, 640):
        raise ValueError(f"{path} is {size} (height, width), expected NYUv2's (480, 640)")
    return slice(45, 471), slice(41, 601)


def _kitti_benchmark_crop(path: Path, size: Size) -> Region:
    """352 x 1216 pixels at the bottom, in the middle: every KITTI camera has them."""
    top, left = size[0] - 352, (size[1] - 1216) // 2
    if top < 0 or left < 0:
        raise ValueError(f"{path} is {size} (height, width), expected KITTI's, of at least (352, 1216)")
    return slice(top, top + 352), slice(left, left + 1216)


def _kitti_eigen_region(path: Path, size: Size) -> Region:
    """Where lidar and image overlap (Eigen et al. 2014)."""
    height, width = size
    rows = slice(int(0.3324324 * height), int(0.91351351 * height))
    return rows, slice(int(0.0359477 * width), int(0.96405229 * width))


BENCHMARKS = {
    "nyuv2": Benchmark(654, 1e-3, 10.0, _millimetres, compared=_nyu_eigen_region),
    "kitti": Benchmark(652, 1e-5, 80.0, _kitti_depth, crop=_kitti_benchmark_crop, compared=_kitti_eigen_region),
    "eth3d": Benchmark(454, 1e-5, np.inf, _raw_floats, processing_resolution=756, alignment_max_res=1024),
    "scannet": Benchmark(800, 1e-3, 10.0, _millimetres),
    "diode": Benchmark(771, 0.6, 350.0, _npy_map, has_mask=True, processing_resolution=640),
}
