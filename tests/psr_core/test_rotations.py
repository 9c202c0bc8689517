"""Rotation forms convert into each other without loss, batched, with the stated conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from psr_core import rotations

axis_angles = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=0, max_dims=2, max_side=3).map(lambda s: (*s, 3)),
    elements=st.floats(-1.7, 1.7),
)


class TestRoundTrips:
    @given(axis_angles)
    def test_axis_angle(self, axis_angle):
        matrix = rotations.axis_angle_to_matrix(axis_angle)
        assert matrix.shape == (*axis_angle.shape[:-1], 3, 3)
        np.testing.assert_allclose(rotations.matrix_to_axis_angle(matrix), axis_angle, atol=1e-7)

    @given(axis_angles)
    def test_rot6d_and_quaternion(self, axis_angle):
        matrix = rotations.axis_angle_to_matrix(axis_angle)
        np.testing.assert_allclose(rotations.rot6d_to_matrix(rotations.matrix_to_rot6d(matrix)), matrix, atol=1e-12)
        quat = rotations.matrix_to_quat_xyzw(matrix)
        assert (quat[..., 3] >= 0).all()
        np.testing.assert_allclose(rotations.quat_xyzw_to_matrix(quat), matrix, atol=1e-12)


class TestPoseInFrame:
    poses = hnp.arrays(np.float64, (3, 6), elements=st.floats(-1.5, 1.5)).map(
        lambda v: np.concatenate([v[:, :3], Rotation.from_rotvec(v[:, 3:]).as_quat()], axis=1)
    )

    @given(poses, poses)
    def test_putting_it_back_gives_the_pose(self, pose, frame):
        seen = rotations.pose_in_frame(pose, frame)
        assert (seen[:, 6] >= 0).all()
        axes = rotations.quat_xyzw_to_matrix(frame[:, 3:])
        back = (axes @ seen[:, :3, None])[..., 0] + frame[:, :3]
        np.testing.assert_allclose(back, pose[:, :3], atol=1e-9)
        turned = axes @ rotations.quat_xyzw_to_matrix(seen[:, 3:])
        np.testing.assert_allclose(turned, rotations.quat_xyzw_to_matrix(pose[:, 3:]), atol=1e-9)

    @given(poses)
    def test_a_pose_seen_from_itself_is_none(self, pose):
        np.testing.assert_allclose(rotations.pose_in_frame(pose, pose), [[0, 0, 0, 0, 0, 0, 1]] * 3, atol=1e-9)


class TestConventions:
    def test_rot6d_is_the_first_two_rows(self):
        matrix = Rotation.from_euler("xyz", [0.1, 0.2, 0.3]).as_matrix()
        np.testing.assert_array_equal(rotations.matrix_to_rot6d(matrix), matrix[:2].ravel())

    def test_quaternions_are_xyzw(self):
        np.testing.assert_allclose(rotations.quat_xyzw_to_matrix([0, 0, 0, 1]), np.eye(3), atol=1e-15)

    @given(hnp.arrays(np.float64, (6,), elements=st.floats(-1, 1)))
    def test_any_network_output_becomes_a_rotation_or_an_error(self, rot6d):
        try:
            matrix = rotations.rot6d_to_matrix(rot6d)
        except ValueError as error:
            assert "row of rot6d" in str(error)
        else:
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
            assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)


class TestErrors:
    def test_wrong_shape_is_named(self):
        with pytest.raises(ValueError, match=r"rot6d has shape \(5,\), expected \(\.\.\., 6\)"):
            rotations.rot6d_to_matrix(np.zeros(5))

    def test_zero_rows_are_refused(self):
        with pytest.raises(ValueError, match="first row of rot6d"):
            rotations.rot6d_to_matrix(np.zeros(6))
