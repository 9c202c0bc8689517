import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from psr_core.steering import Steering
from psr_eval.episodes import read_contents
from psr_eval.report import write_report
from psr_eval.scores import read_bags, score
from psr_eval.video import find_film, rgb, write_video

SHARP = Steering(k=2.0, sigma=0.1)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = '<script>alert("x")</script>'

# Waits until the browser knows the video, then leaves what it sees as an attribute of <html>.
PROBE = """<script>
addEventListener("load", () => {
  const video = document.querySelector("video");
  const note = () => document.documentElement.setAttribute("data-seen", JSON.stringify({
    rows: [...document.querySelectorAll("table.scores tbody tr")].map(row => row.innerText),
    charts: [...document.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().width),
    images: [...document.images].map(image => image.naturalWidth),
    video: video && [video.videoWidth, video.videoHeight, video.duration],
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }));
  if (!video || video.readyState > 0) note(); else video.addEventListener("loadedmetadata", note);
});
</script>"""


def picture(step):
    """A red square that moves over a grey table."""
    pixels = np.full((96, 128, 3), 150, dtype=np.uint8)
    pixels[40:60, 4 * step : 4 * step + 20] = (200, 30, 30)
    return pixels


@pytest.fixture
def filmed(bag):
    """Unsteered and steered episodes on the same seeds, the first steered one filmed, and a turn of the dial."""
    plain = bag("plain")
    for seed in range(100, 106):
        plain.play(seed, "success" if seed % 2 else "failure")
    sharp = bag("sharp", start=10**18, steering=SHARP)
    sharp.play(100, picture=picture)
    for seed in range(101, 106):
        sharp.play(seed)
    sharp.turn("steering.k", 3.0)
    sharp.episode += 1
    sharp.chunk(0, Steering(k=3.0, sigma=0.1), started=sharp.now + 500_000)
    sharp.result(106, "aborted", reason=EVIL)
    return [plain.close(), sharp.close()]


@pytest.fixture
def report(filmed, tmp_path):
    video = write_video(read_bags(filmed)[0], tmp_path / "out" / "episode.mp4")
    return write_report(filmed, tmp_path / "out" / "report.html", video=video)


def browse(page, tmp_path, size="1200,2000"):
    """What headless Chromium sees of a page."""
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the path")
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", "--dump-dom", probed.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    seen = re.search(r'<html[^>]* data-seen="([^"]*)"', shown)
    assert seen, "the page's script did not run to its end"
    return json.loads(seen[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


class References(HTMLParser):
    """Every address that a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "poster", "data")]


class TestInABrowser:
    def test_table_images_and_video_are_there(self, report, tmp_path):
        seen = browse(report, tmp_path)
        assert len(seen["rows"]) == 2
        assert "psr k=2 σ=0.1" in seen["rows"][1]
        assert "6 of 6" in seen["rows"][1]
        assert len(seen["images"]) == 6
        assert all(width == 320 for width in seen["images"])
        assert seen["video"][:2] == [512, 448]
        assert 2 < seen["video"][2] < 3
        assert len(seen["charts"]) == 4
        assert all(width > 100 for width in seen["charts"])

    def test_a_narrow_screen_shows_it_without_scrolling_sideways(self, report, tmp_path):
        assert browse(report, tmp_path, "500,900")["overflow"] == 0

    def test_a_report_without_a_film_opens_too(self, filmed, tmp_path):
        seen = browse(write_report(filmed[:1], tmp_path / "report.html"), tmp_path)
        assert len(seen["rows"]) == 1
        assert (seen["images"], seen["video"]) == ([], None)


class TestPage:
    def test_needs_nothing_from_elsewhere(self, report):
        text = report.read_text()
        page = References(text)
        assert page.addresses
        assert all(
            address.startswith(("data:image/jpeg;base64,", "data:video/mp4;base64,")) for address in page.addresses
        )
        assert page.tags.isdisjoint({"script", "link", "iframe", "object"})
        assert "http:" not in text
        assert "https:" not in text
        assert "url(" not in text
        assert "@import" not in text

    def test_recorded_text_cannot_become_markup(self, report):
        assert EVIL not in report.read_text()
        assert "&lt;script&gt;alert" in report.read_text()

    def test_says_what_was_measured(self, report):
        text = report.read_text()
        for expected in (
            "50.0%",  # of the unsteered setting
            "18.8% to 81.2%",  # its Wilson interval
            "+50.0%",  # the paired difference
            "✓ carries the value",
            "aborted, not counted",
            "synthetic",  # what the recorder noted about its machine
            "Every episode (13)",
        ):
            assert expected in text

    def test_without_a_film_says_so(self, filmed, tmp_path):
        text = write_report(filmed[:1], tmp_path / "report.html").read_text()
        assert "No camera images were recorded" in text
        assert "<video" not in text

    def test_a_bag_without_an_episode_makes_a_page_too(self, bag, tmp_path):
        text = write_report([bag().close()], tmp_path / "report.html").read_text()
        assert "No finished episode was found" in text
        assert "No steering parameter changed" in text

    def test_a_violated_change_is_shown(self, bag, tmp_path):
        made = bag()
        made.turn("steering.k", 2.0)
        made.chunk(0, Steering(), started=made.now + 500_000)
        assert "✗ carries another value" in write_report([made.close()], tmp_path / "report.html").read_text()

    def test_a_bag_named_twice_is_said(self, filmed, tmp_path):
        text = write_report([filmed[0], filmed[0]], tmp_path / "report.html").read_text()
        assert "named more than once" in text

    def test_mixed_and_chunkless_settings_have_a_row(self, bag, tmp_path):
        made = bag()
        made.play(1, mixed_steering=True)
        made.play(2, "aborted", chunks=0, steering={})
        text = write_report([made.close()], tmp_path / "report.html").read_text()
        assert "mixed, first psr k=1" in text
        assert "no chunk" in text
        assert len(score([read_contents(made.writer.folder)]).groups) == 2


class TestVideo:
    @staticmethod
    def frames(path):
        capture = cv2.VideoCapture(str(path))
        frames = []
        while True:
            found, frame = capture.read()
            if not found:
                break
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        return frames, capture.get(cv2.CAP_PROP_FPS)

    def test_shows_the_recorded_images_in_order_and_at_their_speed(self, filmed, tmp_path):
        frames, rate = self.frames(write_video(read_bags(filmed)[0], tmp_path / "episode.mp4"))
        assert rate == 20
        assert len(frames) == 16 + 30  # one a step, and the last one for a second and a half
        for step, frame in enumerate(frames[:16]):
            below = frame[64:].astype(int)  # the text stands above
            red = np.argwhere(below[..., 0] - below[..., 1] > 80)[:, 1] / 4
            assert red.mean() == pytest.approx(4 * step + 10, abs=1.5)

    def test_text_is_drawn_and_changes_with_the_step(self, filmed, tmp_path):
        frames, _ = self.frames(write_video(read_bags(filmed)[0], tmp_path / "episode.mp4"))
        bars = [frame[:64].astype(int) for frame in frames]
        assert all((bar > 150).any() for bar in bars)
        assert (abs(bars[0] - bars[5]) > 60).any()
        assert (abs(bars[15] - bars[-1]) > 60).any()  # the outcome

    def test_slower_cameras_play_at_their_own_speed(self, bag, tmp_path):
        made = bag(steps=12)
        made.episode = 1
        for step in range(12):
            made.state(5, step)
            if step % 2 == 0:
                made.image(picture(step))
            made.sim += 0.05
        made.result(5, "success")
        _, rate = self.frames(write_video(read_bags([made.close()])[0], tmp_path / "episode.mp4"))
        assert rate == 10

    def test_captions_name_step_and_steering(self, filmed):
        film = find_film(read_contents(filmed[1]))
        captions = [film.captions[stamp] for stamp in sorted(film.captions)]
        assert len(captions) == 16
        assert captions[9].split() == ["step", "9", "psr", "k=2", "sigma=0.1"]

    def test_captions_follow_the_dial(self, bag):
        made = bag(steps=16)
        made.episode = 1
        for step in range(16):
            made.state(5, step)
            made.image(picture(step))
            if step % 8 == 0:
                made.chunk(step, SHARP if step else Steering())
            made.sim += 0.05
        made.result(5, "success")
        film = find_film(read_contents(made.close()))
        captions = [film.captions[stamp] for stamp in sorted(film.captions)]
        assert [("k=2" in caption) for caption in captions] == [False] * 8 + [True] * 8

    def test_only_finished_episodes_are_shown(self, bag, tmp_path):
        made = bag()
        made.episode = 1
        for step in range(5):
            made.state(5, step)
            made.image(picture(step))
            made.sim += 0.05
        contents, _ = read_bags([made.close()])
        assert write_video(contents, tmp_path / "episode.mp4") is None
        assert not (tmp_path / "episode.mp4").exists()

    def test_images_of_other_kinds_are_no_film(self, bag):
        made = bag(steps=4)
        made.put("/depth", "sensor_msgs/msg/Image", height=1, width=1, encoding="32FC1", step=4, data=np.zeros(4))
        made.play(1)
        assert find_film(read_contents(made.close())) is None


class TestPixels:
    @pytest.mark.parametrize(
        "encoding, data, expected",
        [
            ("rgb8", [1, 2, 3], [1, 2, 3]),
            ("bgr8", [1, 2, 3], [3, 2, 1]),
            ("mono8", [7], [7, 7, 7]),
            ("rgba8", [1, 2, 3, 255], [1, 2, 3]),
        ],
    )
    def test_encodings(self, encoding, data, expected):
        padded = np.array([*data, 99, *data, 99], dtype=np.uint8)  # two rows of one pixel, a byte of padding each
        message = SimpleNamespace(encoding=encoding, width=1, height=2, step=len(data) + 1, data=padded)
        assert rgb(message).tolist() == [[expected], [expected]]

    @pytest.mark.parametrize("change", [{"encoding": "32FC1"}, {"step": 2}, {"height": 3}])
    def test_refuses_what_is_none(self, change):
        content = {"encoding": "rgb8", "width": 1, "height": 2, "step": 3, "data": np.zeros(6, dtype=np.uint8)}
        with pytest.raises(ValueError, match="image"):
            rgb(SimpleNamespace(**(content | change)))
