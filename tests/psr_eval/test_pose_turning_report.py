"""The report on videos of turning solids: what it says of what was counted, the pictures, the wireframes."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import ConvexHull

from psr_core import so3
from psr_core.statistics import wilson_interval
from psr_eval.pose_turning import Clip, Turning
from psr_eval.pose_turning_report import as_dict, as_markdown, chart, sentence, write_report
from psr_eval.pose_turning_rows import Row
from psr_eval.pose_turning_video import ALARM, BAR, SIDE, stills, write_video
from psr_eval.pose_wireframes import draw
from psr_perception.pose.raycaster import render
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import named_symmetry

SETTINGS = {"checkpoint": "pose@0123", "seed": 0}
TURNING = Turning(("cube", "cone"), 8)
PLAIN, OTHER = Row(), Row(noise="stamp")


def clip(shape, jumps=(), missing=(), pose_jumps=()):
    """Samples that turn by a symmetry in the frames `jumps`, poses in `pose_jumps`."""
    symmetry, truth = named_symmetry(shape), TURNING.rotations(shape)
    turn = so3.exp(torch.tensor([0, 0, torch.pi / 2], dtype=torch.float64))  # nothing to a cube, nor to a cone

    def turned(frames):
        return truth @ torch.stack([torch.matrix_power(turn, sum(f <= i for f in frames)) for i in range(len(truth))])

    poses = [None if i in missing else each for i, each in enumerate(turned(pose_jumps))]
    return Clip(symmetry, truth, turned(jumps), tuple(poses))


CLIPS = {
    (PLAIN, "cube"): clip("cube", jumps=(1, 2, 5)),
    (PLAIN, "cone"): clip("cone", jumps=(3,), missing=(4, 5)),
    (OTHER, "cube"): clip("cube", jumps=(1,), pose_jumps=(6, 7)),
    (OTHER, "cone"): clip("cone", missing=range(8)),
}


class TestText:
    def test_says_what_was_counted(self):
        low, high = (100 * end for end in wilson_interval(4, 14))
        assert sentence(PLAIN, [CLIPS[PLAIN, "cube"], CLIPS[PLAIN, "cone"]]) == (
            "unsteered, 50 steps, 200 samples, fixed noise: does the published pose jump by a symmetry? No: 0 of 12 "
            f"moves (95 % interval 0.0 to 24.2 %); the first sample: 4 of 14 moves (95 % interval {low:.1f} to "
            f"{high:.1f} %). Leaps to what looks different: sample 0, pose 0; slips: sample 0, pose 0."
        )

    def test_does_not_hide_a_pose_that_jumps(self):
        assert "symmetry? Yes: 2 of 7 moves" in sentence(OTHER, [CLIPS[OTHER, "cube"], CLIPS[OTHER, "cone"]])

    def test_every_line_has_as_many_cells_as_its_table(self):
        lines = [line for line in as_markdown(CLIPS, TURNING, SETTINGS).splitlines() if line.startswith("|")]
        assert len(lines) == 2 + 2 * 3 and len({line.count("|") for line in lines}) == 1

    def test_a_solid_without_a_pose_has_none_to_tell_of(self):
        lines = as_markdown(CLIPS, TURNING, SETTINGS).splitlines()
        cells = next(line for line in lines if line.startswith(f"| {OTHER.name} | cone")).split(" | ")
        assert cells[4] == "0 of 0 [0.0, 100.0] %" and cells[7] == "8" and cells[9] == "–"

    def test_json_has_every_figure(self, tmp_path):
        paths = write_report(CLIPS, TURNING, SETTINGS, b"png", tmp_path / "deep")
        assert [path.name for path in paths] == ["table.json", "table.md", "jumps.png", "frames.png"]
        report = json.loads(paths[0].read_text())
        assert report == json.loads(json.dumps(as_dict(CLIPS, TURNING, SETTINGS)))
        whole, cube, cone = report["rows"][:3]
        assert (whole["sample"]["jumps"], cube["sample"]["jumps"], cone["sample"]["jumps"]) == (4, 3, 1)
        assert cube["pose"]["median_move"] == pytest.approx(2)
        assert cone["frames_without_pose"] == 2 and cone["limit"] == pytest.approx(15)


class TestPictures:
    def test_a_chart_is_one(self):
        assert chart(CLIPS, TURNING).startswith(b"\x89PNG")

    def test_stills_frame_the_jumps_in_red(self):
        pixels = np.asarray(Image.open(io.BytesIO(stills(TURNING, {"cube": CLIPS[OTHER, "cube"]}))))
        assert pixels.shape == (BAR + SIDE, 4 * 3 * SIDE, 3)
        corners = pixels[BAR + 1, 1::SIDE]  # of picture, sample and pose, frame after frame
        assert [tuple(each) == ALARM for each in corners] == [False] * 3 + [False, True, False] * 3

    def test_the_video_has_every_frame_and_all_solids(self, tmp_path):
        clips = {shape: CLIPS[PLAIN, shape] for shape in TURNING.shapes}
        capture = cv2.VideoCapture(str(write_video(TURNING, clips, PLAIN, tmp_path / "video.mp4")))
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 8
        assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 2 * 3 * SIDE
        assert capture.get(cv2.CAP_PROP_FRAME_HEIGHT) == 2 * (BAR + SIDE)
        capture.release()


class TestWireframes:
    @pytest.mark.parametrize("shape", SOLIDS)
    def test_lie_on_what_the_ray_caster_shows(self, shape):
        rotation = TURNING.rotations("cube")[0]
        drawn = np.zeros((192, 192, 3), np.uint8)
        draw(drawn, shape, rotation, (255, 255, 255))
        edges = np.argwhere((drawn == drawn[..., :1]).all(-1) & (drawn[..., 0] > 120))  # not the coloured axes
        solid = render(SOLIDS[shape], rotation[None].float(), 192)[0].numpy() > 0
        outline = cv2.fillConvexPoly(np.zeros(solid.shape, np.uint8), edges[ConvexHull(edges).vertices, ::-1], 1) > 0
        assert (outline & solid).sum() / (outline | solid).sum() > 0.95
