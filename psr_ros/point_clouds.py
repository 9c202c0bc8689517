"""numpy arrays <-> sensor_msgs/PointCloud2: positions in, positions with colours out. Needs nothing but numpy."""

from __future__ import annotations

import sys
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

TYPES = {PointField.FLOAT32: "f4", PointField.FLOAT64: "f8"}


def cloud_positions(message: PointCloud2) -> NDArray[np.float64]:
    """The positions (N, 3), metres, of a cloud in whatever layout; invalid points stay, as NaN.

    Raises ValueError when a field x, y or z is missing or no floating-point number, or the data are too short.
    """
    order = ">" if message.is_bigendian else "<"
    fields = {each.name: each for each in message.fields}
    for name in "xyz":
        if name not in fields or fields[name].datatype not in TYPES:
            raise ValueError(f"point cloud has the fields {sorted(fields)}, expected x, y, z as float32 or float64")
    ends = [fields[name].offset + np.dtype(TYPES[fields[name].datatype]).itemsize for name in "xyz"]
    if max(ends) > message.point_step:
        raise ValueError(f"point cloud has a point_step of {message.point_step} bytes, expected x, y and z within it")
    layout = np.dtype(
        {
            "names": list("xyz"),
            "formats": [order + TYPES[fields[name].datatype] for name in "xyz"],
            "offsets": [fields[name].offset for name in "xyz"],
            "itemsize": message.point_step,
        }
    )
    used, size = message.width * message.point_step, message.row_step * message.height
    if message.row_step < used or len(message.data) < size:
        raise ValueError(
            f"point cloud holds {len(message.data)} bytes in rows of {message.row_step}, expected {message.height} "
            f"rows of at least {used} (width x point_step)"
        )
    rows = np.frombuffer(message.data, np.uint8, size).reshape(message.height, message.row_step)
    points = np.ascontiguousarray(rows[:, :used]).view(layout).ravel()
    return np.column_stack([points[name].astype(np.float64) for name in "xyz"])


def to_cloud(positions: NDArray[np.float32], rgb: NDArray[np.uint8], header: Header) -> PointCloud2:
    """An organised cloud of (H, W, 3) positions in metres, NaN where unknown, with (H, W, 3) colours for RViz.

    Raises ValueError when the shapes or dtypes differ from these.
    """
    if positions.shape != rgb.shape or positions.ndim != 3 or positions.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"positions are {positions.shape}, rgb {rgb.shape} {rgb.dtype}; expected (H, W, 3), uint8")
    height, width = rgb.shape[:2]
    table = np.empty((height, width, 4), np.float32)
    table[:, :, :3] = positions
    red, green, blue = (rgb[:, :, channel].astype(np.uint32) for channel in range(3))
    table.view(np.uint32)[:, :, 3] = red << 16 | green << 8 | blue
    data = array("B")
    data.frombytes(table.data.cast("B"))  # assigning an ndarray would convert byte by byte
    fields: list[Any] = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(("x", "y", "z", "rgb"))
    ]
    cloud = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=fields,
        is_bigendian=sys.byteorder == "big",
        point_step=16,
        row_step=16 * width,
        is_dense=bool(np.isfinite(positions).all()),
    )
    cloud.data = data
    return cloud
