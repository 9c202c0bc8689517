"""Jumps by a symmetry: none where the estimate follows the object, each one where it is planted, and what is none."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_core import so3
from psr_eval.pose_jumps import LIMIT, followed, jump_limit, moves
from psr_eval.pose_turning import Turning
from psr_perception.pose.solids import SOLIDS
from psr_perception.pose.symmetry import make_symmetry, named_symmetry

FRAMES = 40
GROUPS = {name: named_symmetry(name) for name in SOLIDS}
TRUTH = {name: Turning((name,), FRAMES).rotations(name) for name in SOLIDS}
SHAPES = st.sampled_from(list(SOLIDS))


def noise(n, angle, seed=0):
    """Rotations (n, 3, 3) of that many rad about random axes."""
    axes = torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return so3.exp(angle * torch.nn.functional.normalize(axes, dim=-1))


def symmetry_of(group, number, turn):
    """An element of the group that turns by more than its limit: any but the identity, or a turn about the axis."""
    if group.axis is None:
        return group.elements[1 + number % (len(group.elements) - 1)]
    return group.elements[number % len(group.elements)] @ so3.exp(turn * group.axis)


class TestLimit:
    @pytest.mark.parametrize(
        ("shape", "degrees"), [("tetrahedron", 60), ("cube", 45), ("icosahedron", 36), ("cone", 15), ("cylinder", 15)]
    )
    def test_is_half_of_the_smallest_rotation_or_fixed(self, shape, degrees):
        assert math.degrees(jump_limit(GROUPS[shape])) == pytest.approx(degrees)

    def test_without_symmetries_serves_leaps(self):
        assert jump_limit(make_symmetry("none", [])) == LIMIT


class TestFollowing:
    @settings(max_examples=30)
    @given(SHAPES, st.integers(0, 99), st.floats(0.5, 3), st.integers(0, 99))
    def test_any_one_form_with_noise_is_steady(self, shape, number, turn, seed):
        group, truth = GROUPS[shape], TRUTH[shape]
        # The axis' noise of a round solid moves the form that is nearest, too; 4 degrees are far above a mean's.
        angle = jump_limit(group) / 4
        found = moves(group, truth, list(truth @ symmetry_of(group, number, turn) @ noise(FRAMES, angle, seed)))
        assert not (found.jumped | found.slipped | found.leapt).any()
        assert found.errors.max() <= math.degrees(angle) + 1e-6
        torch.testing.assert_close(found.true, torch.full((FRAMES - 1,), 2.0, dtype=torch.float64))

    @given(SHAPES, st.integers(0, 99), st.floats(0.5, 3))
    @settings(max_examples=30)
    def test_the_form_that_is_followed_is_the_one_that_was_planted(self, shape, number, turn):
        group, truth = GROUPS[shape], TRUTH[shape]
        form = symmetry_of(group, number, turn)
        torch.testing.assert_close(followed(group, truth, truth @ form), form.expand_as(truth), rtol=0, atol=1e-6)


class TestJumps:
    @settings(max_examples=40)
    @given(
        SHAPES, st.lists(st.integers(1, FRAMES - 1), unique=True, max_size=6), st.integers(0, 99), st.floats(0.5, 2.6)
    )
    def test_are_found_where_they_are_planted_and_nowhere_else(self, shape, frames, number, turn):
        group, truth = GROUPS[shape], TRUTH[shape]
        form, estimates = torch.eye(3, dtype=torch.float64), []
        for frame in range(FRAMES):
            if frame in frames:
                form = form @ symmetry_of(group, number + frame, turn)
            estimates.append(truth[frame] @ form)
        found = moves(group, truth, estimates)
        assert found.frames[found.jumped].tolist() == sorted(frames)
        assert not (found.slipped | found.leapt).any(), "each looks like the truth"
        assert found.errors.max() < 1e-5

    def test_a_slow_glide_about_a_continuous_axis_is_none_and_a_sudden_turn_is(self):
        group, truth = GROUPS["cone"], TRUTH["cone"]
        twists = torch.linspace(0, 5, FRAMES, dtype=torch.float64)  # 7 degrees a frame
        twists[20:] += 0.4
        found = moves(group, truth, list(truth @ so3.exp(twists[:, None] * group.axis)))
        assert found.frames[found.jumped].tolist() == [20]

    def test_a_cylinder_that_is_turned_over_is_one(self):
        group, truth = GROUPS["cylinder"], TRUTH["cylinder"].clone()
        estimates = torch.cat([truth[:7], truth[7:] @ group.elements[1]])
        assert moves(group, truth, list(estimates)).jumped.nonzero().tolist() == [[6]]


class TestOtherThings:
    def test_a_leap_to_what_looks_different_is_told_apart(self):
        group, truth = GROUPS["cone"], TRUTH["cone"]
        away = truth.clone()
        away[10] = truth[10] @ so3.exp(torch.tensor([1.0, 0, 0], dtype=torch.float64))
        found = moves(group, truth, list(away))
        assert found.frames[found.leapt].tolist() == [10, 11]
        assert found.errors[10] == pytest.approx(math.degrees(1))

    def test_an_estimate_that_stands_still_slips_and_does_not_jump(self):
        found = moves(GROUPS["icosahedron"], TRUTH["icosahedron"], [TRUTH["icosahedron"][0]] * FRAMES)
        assert found.slipped.any() and not (found.jumped | found.leapt).any()
        assert found.angles.max() < 1e-6

    def test_a_gap_is_one_move_from_the_last_estimate(self):
        truth = TRUTH["cube"]
        found = moves(GROUPS["cube"], truth, [*truth[:3], None, None, *truth[5:8]])
        assert found.frames.tolist() == [1, 2, 5, 6, 7]
        torch.testing.assert_close(found.angles, found.true)
        assert found.true[2] == pytest.approx(6)

    @pytest.mark.parametrize("estimates", [[None, None], [None, torch.eye(3, dtype=torch.float64)]])
    def test_of_none_or_one_there_are_no_moves(self, estimates):
        found = moves(GROUPS["cylinder"], TRUTH["cylinder"][:2], estimates)
        assert len(found.angles) == len(found.jumped) == 0
        assert len(found.errors) == sum(each is not None for each in estimates)
