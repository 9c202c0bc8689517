"""Point clouds survive the way into a message and back, whatever their layout."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sensor_msgs")

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from psr_ros.point_clouds import cloud_positions, to_cloud  # noqa: E402

POSITIONS = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
RGB = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
DATATYPES = {"f4": PointField.FLOAT32, "f8": PointField.FLOAT64}


def cloud(kind="f4", big=False, names=("x", "y", "z"), gap=0, padding=0, height=4):
    """POSITIONS in another layout: fields in this order, each after a gap, rows padded; in bytes."""
    size = np.dtype(kind).itemsize
    offsets = [index * (size + gap) + gap for index in range(len(names))]
    step = offsets[-1] + size + gap
    kinds = [(">" if big else "<") + kind] * len(names)
    table = np.zeros(
        (height, 24 // height), np.dtype({"names": names, "formats": kinds, "offsets": offsets, "itemsize": step})
    )
    for name in names:
        if name in "xyz":
            table[name] = POSITIONS[:, :, "xyz".index(name)].reshape(table.shape)
    rows = np.frombuffer(table.tobytes(), np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    fields = [
        PointField(name=name, offset=offset, datatype=DATATYPES[kind], count=1)
        for name, offset in zip(names, offsets, strict=True)
    ]
    return PointCloud2(
        height=height,
        width=24 // height,
        fields=fields,
        is_bigendian=big,
        point_step=step,
        row_step=rows.shape[1],
        data=rows.tobytes(),
    )


class TestPositions:
    @pytest.mark.parametrize(
        "layout",
        [
            {},
            {"kind": "f8"},
            {"big": True},
            {"kind": "f8", "big": True, "gap": 3},
            {"names": ("intensity", "z", "x", "y")},
            {"gap": 4, "padding": 5},
            {"height": 1},
        ],
    )
    def test_are_read_from_every_layout(self, layout):
        found = cloud_positions(cloud(**layout))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, POSITIONS.reshape(-1, 3).astype(np.float64))

    def test_of_an_empty_cloud_are_none(self):
        empty = cloud()
        empty.height = empty.width = empty.row_step = 0
        empty.data = b""
        assert cloud_positions(empty).shape == (0, 3)

    def test_that_are_not_there_or_no_floats_are_refused(self):
        with pytest.raises(ValueError, match=r"fields \['x', 'y'\], expected x, y, z as float32 or float64"):
            cloud_positions(cloud(names=("x", "y")))
        whole = cloud()
        whole.fields[0].datatype = PointField.INT32
        with pytest.raises(ValueError, match="expected x, y, z as float32"):
            cloud_positions(whole)

    @pytest.mark.parametrize("change", [{"data": bytes(9)}, {"row_step": 5}, {"height": 5}, {"point_step": 8}])
    def test_of_a_message_that_contradicts_itself_are_refused(self, change):
        message = cloud()
        for name, value in change.items():
            setattr(message, name, value)
        with pytest.raises(ValueError, match="point cloud"):
            cloud_positions(message)


class TestToCloud:
    def test_gives_back_the_positions_and_rviz_the_colours(self):
        header = Header(frame_id="camera")
        message = to_cloud(POSITIONS, RGB, header)
        np.testing.assert_array_equal(cloud_positions(message), POSITIONS.reshape(-1, 3))
        assert (message.height, message.width, message.header.frame_id) == (4, 6, "camera")
        packed = np.frombuffer(message.data, np.uint32).reshape(4, 6, 4)[:, :, 3]
        np.testing.assert_array_equal(packed >> 16, RGB[:, :, 0])
        np.testing.assert_array_equal(packed & 255, RGB[:, :, 2])
        assert message.is_dense

    def test_is_not_dense_with_unknown_points(self):
        positions = POSITIONS.copy()
        positions[1, 2] = np.nan
        message = to_cloud(positions, RGB, Header())
        assert not message.is_dense
        np.testing.assert_array_equal(cloud_positions(message), positions.reshape(-1, 3))

    def test_refuses_other_shapes(self):
        with pytest.raises(ValueError, match=r"positions are \(24, 3\), rgb \(4, 6, 3\) uint8; expected"):
            to_cloud(POSITIONS.reshape(-1, 3), RGB, Header())
