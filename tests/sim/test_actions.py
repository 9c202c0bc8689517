"""Rows of ten numbers and robosuite's seven name the same commands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.actions import action_to_row, pose_row, row_to_action

numbers = st.floats(-2, 2)
vectors = st.tuples(numbers, numbers, numbers)


def rotation_error(a, b):
    """Angle in rad between axis-angle vectors (3,)."""
    return (Rotation.from_rotvec(a) * Rotation.from_rotvec(b).inv()).magnitude()


class TestRoundTrip:
    @given(vectors, vectors, st.floats(-1, 1))
    def test_an_action_survives_as_a_row(self, position, axis_angle, gripper):
        action = np.array([*position, *axis_angle, gripper])
        back = row_to_action(action_to_row(action))
        assert np.allclose(back[[0, 1, 2, 6]], action[[0, 1, 2, 6]], atol=1e-6)
        assert rotation_error(back[3:6], action[3:6]) < 1e-6

    @given(vectors, st.integers(0, 2**32 - 1), st.floats(-1, 1))
    def test_a_row_survives_as_an_action(self, position, seed, gripper):
        row = pose_row(position, Rotation.random(random_state=seed).as_matrix(), gripper)
        assert np.allclose(action_to_row(row_to_action(row)), row, atol=1e-5)

    def test_leading_shapes_are_kept(self):
        actions = np.random.default_rng(0).normal(size=(5, 3, 7)).clip(-1, 1)
        rows = action_to_row(actions)
        assert rows.shape == (5, 3, 10)
        assert row_to_action(rows).shape == (5, 3, 7)
        assert np.array_equal(rows[2, 1], action_to_row(actions[2, 1]))


class TestForm:
    def test_a_row_holds_the_first_two_rows_of_the_matrix(self):
        quarter_turn = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # about z
        assert pose_row([1, 2, 3], quarter_turn, -1).tolist() == [1, 2, 3, 0, -1, 0, 1, 0, 0, -1]
        assert np.allclose(row_to_action(pose_row([1, 2, 3], quarter_turn, -1)), [1, 2, 3, 0, 0, np.pi / 2, -1])

    def test_rows_are_single_and_actions_double_precision(self):
        assert action_to_row(np.zeros(7)).dtype == np.float32
        assert row_to_action(action_to_row(np.zeros(7))).dtype == np.float64


class TestWhatAPolicyMayAnswer:
    def test_rotations_that_are_off_are_made_orthonormal(self):
        row = pose_row([0, 0, 0], np.eye(3), 0)
        row[3:9] = [2, 0, 0, 0.5, 0.7, 0]  # not unit, not at right angles
        assert np.allclose(row_to_action(row)[3:6], 0)

    def test_the_gripper_is_clipped(self):
        assert row_to_action(pose_row([0, 0, 0], np.eye(3), 1.7))[6] == 1
        assert row_to_action(pose_row([0, 0, 0], np.eye(3), -9))[6] == -1

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("place", [0, 5, 9])
    def test_non_finite_numbers_are_refused(self, place, bad):
        row = pose_row([0, 0, 0], np.eye(3), 0)
        row[place] = bad
        with pytest.raises(ValueError, match="action row holds non-finite"):
            row_to_action(row)

    def test_another_size_is_refused(self):
        with pytest.raises(ValueError, match=r"shape \(7,\), expected \(..., 10\)"):
            row_to_action(np.zeros(7))
        with pytest.raises(ValueError, match=r"shape \(10,\), expected \(..., 7\)"):
            action_to_row(np.zeros(10))

    def test_no_rotation_at_all_is_refused(self):
        with pytest.raises(ValueError, match="rot6d"):
            row_to_action(np.zeros(10))
