"""The square grey picture of a region: where it lies, what is black, which regions are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_perception.pose.region import SMALLEST, Region, square_picture

HEIGHT, WIDTH = 24, 40
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def grey(values):
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


class TestPicture:
    def test_of_a_square_region_is_those_pixels(self):
        image = grey(ROWS + 5 * COLUMNS)
        found = square_picture(image, Region(7, 3, 16, 16), 16)
        assert found.dtype == np.float32
        np.testing.assert_allclose(255 * found, image[3:19, 7:23, 0], atol=1e-4)

    @pytest.mark.parametrize(
        ("region", "rows", "columns"), [((10, 4, 16, 8), (0, 16), (10, 26)), ((10, 4, 8, 16), (4, 20), (6, 22))]
    )
    def test_widens_the_shorter_side_about_the_centre(self, region, rows, columns):
        image = grey(ROWS + 5 * COLUMNS)
        expected = image[slice(*rows), slice(*columns), 0]
        np.testing.assert_allclose(255 * square_picture(image, Region(*region), 16), expected, atol=1e-4)

    def test_is_black_where_it_leaves_the_image(self):
        found = square_picture(grey(np.full((HEIGHT, WIDTH), 200)), Region(), WIDTH)
        bright = slice((WIDTH - HEIGHT) // 2, (WIDTH + HEIGHT) // 2)
        assert (found[bright] == np.float32(200 / 255)).all()
        assert found[: bright.start].max() == found[bright.stop :].max() == 0

    def test_weighs_the_colours_as_the_eye_does(self):
        """Of rec. 601, as the training images are."""
        for channel, weight in enumerate((0.299, 0.587, 0.114)):
            image = np.zeros((16, 16, 3), np.uint8)
            image[:, :, channel] = 200
            assert square_picture(image, Region(), 16).mean() == pytest.approx(weight * 200 / 255, abs=1 / 255)

    @pytest.mark.parametrize("size", [6, 96])
    def test_of_another_size_keeps_the_mean_of_a_ramp_and_its_direction(self, size):
        found = square_picture(grey(5 * COLUMNS), Region(8, 0, 24, 24), size)
        assert found.shape == (size, size)
        assert found.mean() == pytest.approx(5 * 19.5 / 255, abs=0.01)
        assert (np.diff(found.mean(axis=0)) >= 0).all() and found[:, -1].mean() > found[:, 0].mean() + 0.3

    def test_smaller_is_the_mean_of_what_it_covers(self):
        noise = np.random.default_rng(0).integers(0, 256, (24, 24))
        found = square_picture(grey(noise), Region(), 6)
        np.testing.assert_allclose(255 * found, noise.reshape(6, 4, 6, 4).mean((1, 3)), atol=1)

    @given(
        st.integers(0, WIDTH - SMALLEST),
        st.integers(0, HEIGHT - SMALLEST),
        st.integers(SMALLEST, 60),
        st.integers(SMALLEST, 60),
    )
    def test_shows_all_of_the_region_that_the_image_has_and_nothing_that_it_has_not(self, x, y, width, height):
        side = max(width, height)
        found = square_picture(grey(np.full((HEIGHT, WIDTH), 255)), Region(x, y, width, height), side)
        left, top = x - (side - width) // 2, y - (side - height) // 2
        columns = np.clip([left, left + side], 0, WIDTH)
        rows = np.clip([top, top + side], 0, HEIGHT)
        assert found.sum() == pytest.approx(np.diff(columns).item() * np.diff(rows).item())


class TestRefuses:
    @pytest.mark.parametrize("size", [(5, 0), (0, 5), (7, 20), (20, 7)])
    def test_a_region_that_is_tiny_or_of_one_size_only(self, size):
        with pytest.raises(
            ValueError, match=rf"region.width is {size[0]} and region.height {size[1]}, expected 8 pixels"
        ):
            Region(0, 0, *size)

    def test_a_negative_corner(self):
        with pytest.raises(ValueError, match="region.x is -1 and region.y 0, expected pixels, 0 or more"):
            Region(-1, 0, 9, 9)

    @pytest.mark.parametrize(("x", "y"), [(WIDTH, 0), (0, HEIGHT), (WIDTH - 7, 0), (0, HEIGHT - 7)])
    def test_a_region_outside_the_image(self, x, y):
        with pytest.raises(
            ValueError, match=rf"region x {x}, y {y}, 20 x 20 shows less than 8 x 8 pixels .* of 40 x 24"
        ):
            square_picture(grey(ROWS), Region(x, y, 20, 20), 16)

    def test_an_image_of_next_to_nothing(self):
        with pytest.raises(ValueError, match="less than 8 x 8 pixels of an image of 4 x 3"):
            square_picture(np.zeros((3, 4, 3), np.uint8), Region(), 16)
