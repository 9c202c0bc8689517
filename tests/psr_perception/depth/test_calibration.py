"""Rectification: where a point of the scene is seen without the lens, whatever the lens did."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from psr_perception.depth.calibration import Calibration, Rectifier

WIDTH, HEIGHT = 96, 64
K = (80.0, 0.0, 47.5, 0.0, 80.0, 31.5, 0.0, 0.0, 1.0)
P = (70.0, 0.0, 46.0, 0.0, 0.0, 70.0, 32.0, 0.0, 0.0, 0.0, 1.0, 0.0)
EYE = tuple(np.eye(3).ravel())
DISTORTIONS = {
    "plumb_bob": (-0.3, 0.1, 0.001, -0.002, 0.0),
    "rational_polynomial": (-0.3, 0.1, 0.001, -0.002, 0.0, 0.02, 0.01, 0.0),
    "equidistant": (0.05, -0.02, 0.01, 0.0),
}


def calibration(model="plumb_bob", d=None, p=P, r=EYE, width=WIDTH, height=HEIGHT):
    return Calibration(width, height, model, DISTORTIONS.get(model, ()) if d is None else d, K, r, p)


def seen_by_the_lens(model, point):
    """Pixel (u, v) of a point in front of the camera, in the raw image."""
    points, k, d = np.array([[point]]), np.reshape(K, (3, 3)), np.array(DISTORTIONS[model])
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    return project(points, np.zeros(3), np.zeros(3), k, d)[0].ravel()


class TestRectifier:
    @pytest.mark.parametrize("model", sorted(DISTORTIONS))
    @pytest.mark.parametrize("point", [(0.0, 0.0, 1.0), (0.4, -0.25, 1.0), (-0.35, 0.2, 1.0)])
    def test_brings_a_point_where_p_projects_it(self, model, point):
        u, v = seen_by_the_lens(model, point)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        blob = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8)
        image = np.rint(np.repeat(blob[:, :, None], 3, axis=2) * 255).astype(np.uint8)
        rectified = Rectifier().rectify(image, calibration(model))[:, :, 0].astype(float)
        found = (rectified * columns).sum() / rectified.sum(), (rectified * rows).sum() / rectified.sum()
        expected = calibration(model).camera(image.shape).project(np.array(point))
        np.testing.assert_allclose(found, expected, atol=0.3)
        assert np.abs(np.subtract((u, v), expected)).max() > 0.4, "else nothing was to be done"

    def test_leaves_an_image_alone_that_needs_nothing(self):
        image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        assert Rectifier().rectify(image, calibration(d=(0.0,) * 5, p=(0.0,) * 12)) is image

    def test_turns_by_r(self):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        image[:, 60:] = 255
        turned = tuple(np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]).ravel())  # upside down
        rectified = Rectifier().rectify(image, calibration(d=(), p=(0.0,) * 12, r=turned))
        assert rectified[:, :30].min() == 255
        assert rectified[:, 60:].max() == 0

    def test_follows_a_new_calibration(self):
        image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        rectifier = Rectifier()
        first, second = (rectifier.rectify(image, calibration(model)) for model in ("plumb_bob", "equidistant"))
        assert not np.array_equal(first, second)
        assert np.array_equal(rectifier.rectify(image, calibration("plumb_bob")), first)

    @pytest.mark.parametrize(
        ("made", "complaint"),
        [
            (calibration("mystery", d=(0.1,)), "distortion_model 'mystery' with 1 coefficients, expected one of plumb"),
            (calibration("plumb_bob", d=(0.1,) * 3), "'plumb_bob' with 3 coefficients"),
            (calibration("plumb_bob", d=(float("nan"),) * 5), "'plumb_bob' with 5 coefficients"),
            (calibration(width=64), "the image has 96 x 64 pixels, its camera_info is for 64 x 64"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, made, complaint):
        with pytest.raises(ValueError, match=complaint):
            Rectifier().rectify(np.zeros((HEIGHT, WIDTH, 3), np.uint8), made)
