"""Images survive the way into a message and back, whatever their layout in memory."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("sensor_msgs")

from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from psr_ros import images  # noqa: E402
from psr_ros.images import ENCODINGS, from_image, own_rgb_pixels, rgb_pixels, to_image  # noqa: E402


def shape_of(encoding, height, width):
    channels = ENCODINGS[encoding][1]
    return (height, width) if channels == 1 else (height, width, channels)


@st.composite
def pictures(draw):
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    shape = shape_of(encoding, draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    return encoding, draw(hnp.arrays(ENCODINGS[encoding][0], shape))


def ramp(encoding, height=3, width=5):
    shape = shape_of(encoding, height, width)
    return (np.arange(np.prod(shape)) * 7 % 251).reshape(shape).astype(ENCODINGS[encoding][0])


class TestRoundTrip:
    @given(pictures())
    def test_gives_the_same_bits(self, picture):
        encoding, pixels = picture
        back = from_image(to_image(pixels, encoding))
        assert back.dtype == pixels.dtype
        assert back.shape == pixels.shape
        assert back.tobytes() == pixels.tobytes()

    @pytest.mark.parametrize("encoding", sorted(ENCODINGS))
    def test_of_a_view_that_is_not_contiguous(self, encoding):
        pixels = ramp(encoding, 6, 8)[::2, ::-1]
        np.testing.assert_array_equal(from_image(to_image(pixels, encoding)), pixels)

    @pytest.mark.parametrize("encoding", sorted(ENCODINGS))
    def test_through_the_wire(self, encoding):
        from rclpy.serialization import deserialize_message, serialize_message

        message = to_image(ramp(encoding), encoding)
        back = deserialize_message(serialize_message(message), type(message))
        np.testing.assert_array_equal(from_image(back), ramp(encoding))


class TestToImage:
    def test_fills_the_description(self):
        header = Header(frame_id="camera")
        message = to_image(ramp("16UC1"), "16UC1", header)
        assert (message.height, message.width, message.step) == (3, 5, 10)
        assert message.encoding == "16UC1"
        assert message.header.frame_id == "camera"

    def test_copies(self):
        pixels = ramp("mono8")
        message = to_image(pixels, "mono8")
        pixels[:] = 0
        assert max(message.data) > 0

    @pytest.mark.parametrize(
        ("pixels", "encoding", "text"),
        [
            (np.zeros((2, 2), "u1"), "rgb8", r"expected \(H, W, 3\) uint8"),
            (np.zeros((2, 2, 1), "u1"), "mono8", r"expected \(H, W\) uint8"),
            (np.zeros((2, 2), "f8"), "32FC1", "float64, expected .* float32"),
            (np.zeros((2, 2), ">u2"), "16UC1", "expected .* uint16"),
            (np.zeros((0, 2), "u1"), "mono8", "at least one pixel"),
            (np.zeros((2, 2), "u1"), "yuv422", "'yuv422', expected one of: rgb8"),
        ],
    )
    def test_refuses(self, pixels, encoding, text):
        with pytest.raises(ValueError, match=text):
            to_image(pixels, encoding)


class TestFromImage:
    @pytest.mark.parametrize("encoding", sorted(ENCODINGS))
    @pytest.mark.parametrize("padding", [1, 4, 13])
    def test_leaves_the_padding_of_rows_out(self, encoding, padding):
        message = to_image(ramp(encoding), encoding)
        rows = np.frombuffer(message.data, np.uint8).reshape(3, -1)
        message.data = np.pad(rows, ((0, 0), (0, padding)), constant_values=255).tobytes()
        message.step += padding
        np.testing.assert_array_equal(from_image(message), ramp(encoding))

    @pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
    def test_reads_both_byte_orders(self, encoding):
        message = to_image(ramp(encoding), encoding)
        message.data = ramp(encoding).astype(ramp(encoding).dtype.newbyteorder(">")).tobytes()
        message.is_bigendian = 1
        pixels = from_image(message)
        np.testing.assert_array_equal(pixels, ramp(encoding))
        assert pixels.dtype.isnative

    def test_shares_memory_where_it_can(self):
        message = to_image(ramp("rgb8"), "rgb8")
        pixels = from_image(message)
        message.data[0] = 200
        assert pixels[0, 0, 0] == 200

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"step": 14}, "step is 14 bytes, expected at least 15"),
            ({"height": 4}, "holds 45 bytes, expected 60"),
            ({"width": 0}, "0 x 3"),
            ({"encoding": "bayer"}, "encoding is 'bayer'"),
        ],
    )
    def test_refuses_a_message_that_contradicts_itself(self, change, text):
        message = to_image(ramp("rgb8"), "rgb8")
        for name, value in change.items():
            setattr(message, name, value)
        with pytest.raises(ValueError, match=text):
            from_image(message)


COLOURS = ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16"]


def padded(message, padding=7):
    """The same image with longer rows."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, -1)
    message.data = np.pad(rows, ((0, 0), (0, padding)), constant_values=255).tobytes()
    message.step += padding
    return message


def other_order(message):
    """The same image in the other byte order."""
    words = np.frombuffer(message.data, "u2" if message.encoding == "mono16" else "u1")
    message.data = words.byteswap().tobytes()
    message.is_bigendian = 1 - message.is_bigendian
    return message


class TestRgbPixels:
    @pytest.mark.parametrize(
        ("encoding", "pixel", "expected"),
        [
            ("rgb8", [10, 120, 250], [10, 120, 250]),
            ("bgr8", [250, 120, 10], [10, 120, 250]),
            ("rgba8", [10, 120, 250, 77], [10, 120, 250]),
            ("bgra8", [250, 120, 10, 77], [10, 120, 250]),
            ("mono8", 33, [33, 33, 33]),
            ("mono16", 65535, [255, 255, 255]),
            ("mono16", 128 * 257, [128, 128, 128]),
            ("mono16", 128 * 257 + 129, [129, 129, 129]),
        ],
    )
    @pytest.mark.parametrize("change", [lambda message: message, padded, other_order])
    def test_are_red_green_blue(self, encoding, pixel, expected, change):
        shape = shape_of(encoding, 2, 3)
        pixels = np.broadcast_to(np.array(pixel, ENCODINGS[encoding][0]), shape)
        found = own_rgb_pixels(change(to_image(pixels, encoding)))
        assert found.shape == (2, 3, 3) and found.dtype == np.uint8
        assert (found == expected).all()

    @pytest.mark.parametrize("encoding", ["32FC1", "16UC1", "bayer_rggb8", "yuv422_yuy2"])
    def test_of_other_encodings_are_refused_with_a_cure(self, encoding):
        message = Image(encoding=encoding, height=1, width=2, step=8, data=bytes(8))
        with pytest.raises(ValueError, match=f"'{encoding}', expected rgb8.*or install cv_bridge"):
            own_rgb_pixels(message)

    @pytest.mark.parametrize("encoding", COLOURS)
    @pytest.mark.parametrize("change", [lambda message: message, padded])
    def test_are_those_of_cv_bridge(self, encoding, change):
        """Where both exist; our own converter must not differ from it by a bit."""
        pytest.importorskip("cv_bridge", reason="needs cv_bridge")
        values = np.random.default_rng(0).integers(
            0, np.iinfo(ENCODINGS[encoding][0]).max + 1, shape_of(encoding, 5, 7)
        )
        message = change(to_image(values.astype(ENCODINGS[encoding][0]), encoding))
        np.testing.assert_array_equal(rgb_pixels(message), own_rgb_pixels(message))


class TestSwitch:
    """cv_bridge does the work where it can be imported; a stand-in shows that it is asked, not what it answers."""

    @pytest.fixture(autouse=True)
    def _anew(self):
        images._cv_bridge.cache_clear()
        yield
        images._cv_bridge.cache_clear()

    @pytest.fixture
    def stand_in(self, monkeypatch):
        asked = []

        class CvBridgeError(TypeError):
            pass

        class CvBridge:
            def imgmsg_to_cv2(self, message, encoding):
                asked.append((message.encoding, encoding))
                if message.encoding == "nonsense":
                    raise CvBridgeError("unknown format")
                return np.full((message.height, message.width, 3), 7, np.uint8)

        module = ModuleType("cv_bridge")
        module.CvBridge, module.CvBridgeError = CvBridge, CvBridgeError
        monkeypatch.setitem(sys.modules, "cv_bridge", module)
        return asked

    def test_asks_cv_bridge_for_rgb(self, stand_in):
        message = Image(encoding="bayer_rggb8", height=2, width=4)
        assert (rgb_pixels(message) == 7).all()
        assert stand_in == [("bayer_rggb8", "rgb8")]

    def test_its_errors_name_the_encoding(self, stand_in):
        with pytest.raises(ValueError, match="cannot make rgb8 of image encoding 'nonsense': unknown format"):
            rgb_pixels(Image(encoding="nonsense", height=2, width=4))

    def test_without_it_ours_answers(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cv_bridge", None)  # importing raises ImportError
        message = to_image(ramp("bgr8"), "bgr8")
        np.testing.assert_array_equal(rgb_pixels(message), ramp("bgr8")[:, :, ::-1])
