"""A filmed episode as a video: recorded camera images with seed, step and steering written above them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from psr_core.media import write_mp4
from psr_eval.bag_reader import BagReader, decode
from psr_eval.episodes import STATE, BagContents, Episode

IMAGE = "sensor_msgs/msg/Image"
_TO_RGB = {"rgb8": None, "bgr8": cv2.COLOR_BGR2RGB, "mono8": cv2.COLOR_GRAY2RGB, "rgba8": cv2.COLOR_RGBA2RGB}
_CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1, "rgba8": 4}
_WIDTH = 480  # smaller images are enlarged to at least this, so that the text can be read
_FINAL_SECONDS = 1.5  # how long the last image stays, with the outcome
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    """The images of one finished episode. captions: by image stamp in ns of simulated time."""

    episode: Episode
    topic: str
    captions: dict[int, str]
    begin: int  # send times in ns between which the images lie
    end: int
    period: float  # simulated seconds from image to image

    def images(self) -> Iterator[tuple[int, Pixels]]:
        """(stamp, pixels (H, W, 3) uint8 RGB) of each image, in order."""
        for raw in BagReader(self.episode.bag).messages([IMAGE]):
            if raw.topic == self.topic and self.begin <= raw.publish_time <= self.end:
                message = decode(raw)
                if stamp_of(message) in self.captions:
                    yield stamp_of(message), rgb(message)


def write_video(bags: Iterable[BagContents], out: Path) -> Path | None:
    """Write the first filmed episode of some bags as MP4 (H.264) and return `out`; None when none was filmed.

    Raises ImportError when imageio-ffmpeg is not installed, ValueError on an image message that cannot be read.
    """
    film = next((film for bag in bags if (film := find_film(bag))), None)
    if film is None:
        return None
    rate = 1 / film.period
    return write_mp4(_frames(film, round(_FINAL_SECONDS * rate)), rate, out)


def find_film(bag: BagContents) -> Film | None:
    """The first finished episode of a bag with at least two colour images, from the first camera that has them."""
    states: list[tuple[int, Any]] = []
    stamps: dict[str, list[tuple[int, int]]] = {}  # of images, with send times, by topic
    for raw in BagReader(bag.path).messages([STATE, IMAGE]):
        message = decode(raw)
        if raw.type == STATE:
            states.append((raw.publish_time, message))
        elif message.encoding in _TO_RGB:
            stamps.setdefault(raw.topic, []).append((stamp_of(message), raw.publish_time))
    if not stamps:
        return None
    begin = 0
    for episode in bag.episodes:
        own = {stamp_of(s): s.step for time, s in states if begin < time <= episode.publish_time and _of(s, episode)}
        for topic, images in stamps.items():
            filmed = [stamp for stamp, time in images if begin < time <= episode.publish_time and stamp in own]
            if len(set(filmed)) >= 2:
                captions = {stamp: _caption(bag, episode, own[stamp]) for stamp in filmed}
                period = float(np.median(np.diff(sorted(captions)))) / 1e9
                return Film(episode, topic, captions, begin, episode.publish_time, period)
        begin = episode.publish_time
    return None


def stills(video: Path, count: int, width: int = 320) -> Iterator[bytes]:
    """JPEG files, `width` pixels wide, of `count` >= 2 evenly spaced moments of a video, first and last among them."""
    capture = cv2.VideoCapture(str(video))
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    for number in range(count):
        capture.set(cv2.CAP_PROP_POS_FRAMES, number * (frames - 1) // (count - 1))
        found, frame = capture.read()
        if found:
            size = (width, frame.shape[0] * width // frame.shape[1])
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            yield cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    capture.release()


def film_html(video: Path, caption: str, count: int = 6) -> str:
    """A video with `count` >= 2 stills beside it and what is to be said of it, as HTML that holds all of it."""
    pictures = [base64.b64encode(still).decode() for still in stills(video, count)]
    images = "".join(
        f'<img src="data:image/jpeg;base64,{picture}" alt="still {number} of {len(pictures)}">'
        for number, picture in enumerate(pictures, 1)
    )
    encoded = base64.b64encode(video.read_bytes()).decode()
    return (
        '<div class="film"><figure style="margin:0"><video controls muted loop playsinline preload="metadata" '
        f'src="data:video/mp4;base64,{encoded}"></video></figure><div class="strip">{images}</div></div>'
        f'<p class="soft">{escape(caption)}</p>'
    )


def rgb(message: Any) -> Pixels:
    """Pixels (H, W, 3) uint8 of a colour or grey image message. Raises ValueError on what is none, or is too short."""
    channels = _CHANNELS.get(message.encoding)
    if channels is None:
        raise ValueError(f"image encoding is {message.encoding!r}, expected one of: {', '.join(_TO_RGB)}")
    used = message.width * channels
    if message.step < used or message.data.size < message.step * message.height:
        raise ValueError(
            f"image holds {message.data.size} bytes with step {message.step}, expected {message.height} rows of {used}"
        )
    rows = message.data[: message.step * message.height].reshape(message.height, message.step)[:, :used]
    pixels: Pixels = np.ascontiguousarray(rows).reshape(message.height, message.width, channels)
    conversion = _TO_RGB[message.encoding]
    return pixels if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)


def _frames(film: Film, hold: int) -> Iterator[Pixels]:
    """Enlarged images with a caption; the last one stays for `hold` more frames, with the outcome."""
    episode = film.episode
    outcome = f"{episode.outcome} after {episode.steps} steps"
    title = f"{episode.setting.task}  seed {episode.seed}"
    pixels, caption = None, ""
    for stamp, pixels in film.images():
        caption = film.captions[stamp]
        yield framed(pixels, title, caption)
    if pixels is not None:
        for _ in range(hold):
            yield framed(pixels, f"{title}  {outcome}", caption)


def framed(pixels: Pixels, title: str, caption: str) -> Pixels:
    """An image (H, W, 3), enlarged where it is small, below two lines of text in ASCII."""
    height, width, _ = pixels.shape
    scale = max(1, -(-_WIDTH // width))
    size = (width * scale // 2 * 2, height * scale // 2 * 2)  # H.264 wants even numbers
    enlarged = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    bar = np.full((64, size[0], 3), 18, dtype=np.uint8)
    cv2.putText(bar, title, (12, 26), _FONT, 0.55, (240, 240, 240), 1, cv2.LINE_AA)
    cv2.putText(bar, caption, (12, 51), _FONT, 0.5, (140, 205, 255), 1, cv2.LINE_AA)
    return np.vstack([bar, enlarged])  # above, where the player's controls do not hide it


def _caption(bag: BagContents, episode: Episode, step: int) -> str:
    """The step, and the steering of the newest chunk up to it; in ASCII, as OpenCV's fonts have no σ."""
    steering = episode.setting.steering
    for chunk in bag.chunks:
        if chunk.episode == episode.episode and chunk.step <= step and chunk.publish_time <= episode.publish_time:
            steering = chunk.steering
    label = steering.label().replace("σ", "sigma") if steering else "no chunk"
    return f"step {step:3d}   {label}"


def _of(state: Any, episode: Episode) -> bool:
    return bool(state.episode == episode.episode and state.seed == episode.seed)


def stamp_of(message: Any) -> int:
    """Of a message with a header, ns."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
