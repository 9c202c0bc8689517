"""Videos of turning solids through the node's runner: a network that knows the truth, jumps that are planted, gaps."""

from __future__ import annotations

import json
import math

import pytest
import torch

from psr_core import so3
from psr_core.so3_mixtures import RotationMixture
from psr_core.steering import Steering
from psr_eval.pose_turning import AXIS, Clip, Turning, film, measure
from psr_eval.pose_turning_rows import Row, read_rows
from psr_perception.pose import estimator, runner
from psr_perception.pose.modes import find_modes
from psr_perception.pose.raycaster import render
from psr_perception.pose.runner import PoseRequest
from psr_perception.pose.settings import PoseSettings
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import named_symmetry
from tests.conftest import ROOT
from tests.psr_eval.pose_oracle import TurningOracle, psr, turning_oracle

ROW = Row(10, 0.0, 60, "stamp", psr(cap=True))


def seen(turning, shape="cube", row=ROW, **fields):
    return film(turning_oracle(turning, shape, **fields), turning, shape, row)


class TestVideos:
    def test_turn_at_a_constant_rate_about_one_axis_of_the_object(self):
        rotations = Turning(("cone",), 5, 3.0).rotations("cone")
        vectors = so3.log(rotations[:-1].mT @ rotations[1:]).rad2deg()
        expected = 3 * torch.nn.functional.normalize(torch.tensor(AXIS, dtype=torch.float64), dim=0)
        torch.testing.assert_close(vectors, expected.expand(4, 3))

    @pytest.mark.parametrize("shape", SOLIDS)
    def test_the_axis_is_far_from_every_axis_of_symmetry(self, shape):
        symmetry, axis = named_symmetry(shape), torch.tensor(AXIS, dtype=torch.float64)
        axes = so3.log(symmetry.elements[1:])
        if symmetry.axis is not None:
            axes = torch.cat([axes, symmetry.axis[None]])
        cosines = (torch.nn.functional.normalize(axes, dim=-1) @ axis / axis.norm()).abs()
        assert cosines.max() < math.cos(math.radians(18))

    def test_show_the_solid_as_a_camera_would(self):
        turning = Turning(("icosahedron",), 2)
        images = list(turning.images("icosahedron", 80))
        assert [image.shape for image in images] == [(240, 240, 3)] * 2
        expected = render(SOLIDS["icosahedron"], turning.rotations("icosahedron")[1:].float(), 240)[0]
        assert abs(images[1] / 255.0 - expected.numpy()[..., None]).max() < 0.51 / 255

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"shapes": ("ball",)}, "shapes has 'ball', expected some of: tetrahedron"),
            ({"frames": 1}, "frames is 1, expected 2 or more"),
            ({"step": 0.0}, "step is 0.0, expected degrees a frame above 0, 10 at most"),
            ({"step": 11.0}, "step is 11.0"),
        ],
    )
    def test_that_cannot_be_are_refused(self, fields, told):
        with pytest.raises(ValueError, match=told):
            Turning(**fields)


class TestClips:
    @pytest.mark.parametrize("shape", ["cube", "cylinder"])
    def test_the_sample_jumps_and_the_pose_never(self, shape):
        clip = seen(Turning((shape,), 25), shape)
        sample, pose = clip.sample_moves(), clip.pose_moves()
        assert sample.jumped.sum() > 12
        assert not (pose.jumped | pose.slipped | pose.leapt).any()
        assert pose.angles.max() < 4 and pose.errors.max() < 2 > sample.errors.median()

    def test_a_pose_that_is_not_held_to_the_last_one_jumps_and_that_is_counted(self, monkeypatch):
        monkeypatch.setattr(runner.StablePose, "update", lambda self, rotation: rotation)
        assert seen(Turning(("cube",), 25)).pose_moves().jumped.sum() > 6

    def test_where_the_other_mode_becomes_the_heavier_the_pose_leaps_once_and_late(self):
        """Of two modes, 60 degrees apart modulo nothing, the shown one is left below half of the other's weight."""
        turning = Turning(("cone",), 21)
        other = so3.exp(torch.tensor([math.pi / 3, 0, 0], dtype=torch.float64))
        mixtures = [
            RotationMixture(
                torch.stack([each, each @ other]), 0.02, torch.tensor([1 - share, share], dtype=torch.float64)
            )
            for each, share in zip(
                turning.rotations("cone"), torch.linspace(0.1, 0.9, 21, dtype=torch.float64).tolist(), strict=True
            )
        ]
        moves = film(TurningOracle(mixtures), turning, "cone", Row(10, 0.0, 200, steering=psr(cap=True))).pose_moves()
        (frame,) = moves.frames[moves.leapt].tolist()
        assert 12 <= frame <= 16  # a third of the weight is left in frame 14, half in frame 10
        assert not moves.slipped.any() and moves.errors[frame - 1] < 3 < 57 < moves.errors[frame]


class TestGaps:
    """Frames whose samples agree on nothing: no pose is published, and the next is nearest to the last published."""

    def clip(self, monkeypatch, gap, frames=60):
        asked = []

        def modes(*args):
            asked.append(args)
            return [] if len(asked) - 1 in gap else find_modes(*args)

        monkeypatch.setattr(estimator, "find_modes", modes)
        return seen(Turning(("cube",), frames), row=Row(5, 0.0, 20, "stamp", psr(cap=True)))

    def test_a_short_one_is_bridged(self, monkeypatch):
        clip = self.clip(monkeypatch, range(3, 13), 15)
        moves = clip.pose_moves()
        assert clip.missing == 10 and clip.poses[3] is clip.poses[12] is None
        assert moves.frames.tolist() == [1, 2, 13, 14]
        assert moves.angles[2] == pytest.approx(22, abs=3)
        assert not (moves.jumped | moves.slipped | moves.leapt).any()

    def test_after_one_in_which_the_object_turned_far_another_form_is_followed_and_that_is_told(self, monkeypatch):
        """80 degrees: one of the look-alikes is nearer to the last pose than the form that was followed."""
        clip = self.clip(monkeypatch, range(3, 42), 45)
        moves = clip.pose_moves()
        assert moves.frames[moves.jumped | moves.slipped].tolist() == [42]
        assert moves.angles.max() < 63 < moves.true.max(), "no two forms of a cube are farther from any rotation"
        assert moves.errors.max() < 3, "what is shown looks right all the same"


class TestMeasuring:
    TURNING = Turning(("cube",), 3)
    ROWS = (Row(4, 0.0, 10), Row(4, 0.0, 10, "stamp"))

    def test_keeps_each_video_and_goes_on_with_the_same_clips(self, tmp_path):
        path, reports = tmp_path / "clips.jsonl", []

        def stop(done, total, name):
            reports.append((done, total))
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            measure(turning_oracle(self.TURNING, "cube"), self.TURNING, self.ROWS, path, report=stop)
        assert reports == [(0, 6), (1, 6), (2, 6), (3, 6), (4, 6)]
        assert len(path.read_text().splitlines()) == 1
        reports.clear()
        again = measure(
            turning_oracle(self.TURNING, "cube"), self.TURNING, self.ROWS, path, report=lambda *r: reports.append(r[:2])
        )
        assert reports == [(0, 3), (1, 3), (2, 3), (3, 3)]
        for row in self.ROWS:
            expected = film(turning_oracle(self.TURNING, "cube"), self.TURNING, "cube", row)
            torch.testing.assert_close(again[row, "cube"].samples, expected.samples, rtol=0, atol=1e-6)
            torch.testing.assert_close(again[row, "cube"].poses, expected.poses, rtol=0, atol=1e-6)

    def test_a_frame_without_a_pose_is_kept_as_such(self, tmp_path, monkeypatch):
        monkeypatch.setattr(estimator, "find_modes", lambda *_: [])
        clips = measure(turning_oracle(self.TURNING, "cube"), self.TURNING, self.ROWS[:1], tmp_path / "clips.jsonl")
        clip = clips[self.ROWS[0], "cube"]
        assert isinstance(clip, Clip) and clip.poses == (None, None, None)

    def test_other_settings_are_estimated_anew(self, tmp_path):
        path = tmp_path / "clips.jsonl"
        network = turning_oracle(self.TURNING, "cube")
        measure(network, self.TURNING, self.ROWS[:1], path)
        measure(network, Turning(("cube",), 3, 1.0), self.ROWS[:1], path)
        measure(network, self.TURNING, self.ROWS[:1], path, seed=1)
        measure(network, self.TURNING, self.ROWS[:1], path, facts={"weights": "b"})
        assert len(path.read_text().splitlines()) == 4 == len({json.dumps(line) for line in path.open()})


class TestRows:
    def test_the_default_is_what_the_node_asks_for(self):
        node = PoseRequest(PoseSettings(), Steering(cap=True))
        asked = Row().request(0)
        assert (asked.settings, asked.region, asked.noise) == (node.settings, node.region, node.noise)
        assert asked.steering.is_identity and node.steering.is_identity

    def test_the_shipped_ones_begin_with_the_node_and_go_on_with_the_thesis_steering(self):
        rows = read_rows(ROOT / "config" / "reproduce" / "pose_video.yaml")
        assert rows[:2] == [Row(), Row(steering=psr(cap=True))]
        assert [row.noise for row in rows] == ["fixed", "fixed", "stamp", "stamp"]

    def test_a_name_tells_everything_that_differs(self):
        assert Row().name == "unsteered, 50 steps, 200 samples, fixed noise"
        assert ROW.name == "psr k=7 σ=0.5 cap, 10 steps, eta 0, 60 samples, stamp noise"

    @pytest.mark.parametrize(
        ("entry", "told"),
        [
            ("{steps: 5}", "row 1: unknown field steps; expected some of: num_inference_steps"),
            ("{noise: loud}", "row 1: noise is 'loud', expected one of: fixed, stamp"),
            ("{eta: high}", "row 1: eta is 'high', expected a number from 0 to 1"),
            ("{eta: 2}", "row 1: eta is 2"),
            ("{samples: 0}", "row 1: samples is 0, expected a whole number from 1"),
            ("{eta: 0, steering: {method: nns, k: 2}}", "row 1: steering.method nns scales injected noise"),
            ("{}, {noise: fixed}", "two rows are unsteered, 50 steps, 200 samples, fixed noise; remove one"),
        ],
    )
    def test_that_cannot_be_are_named(self, tmp_path, entry, told):
        path = tmp_path / "rows.yaml"
        path.write_text(f"rows: [{entry}]")
        with pytest.raises(ValueError, match=told):
            read_rows(path)
