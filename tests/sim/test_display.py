"""The solid before the camera: it looks as the ray caster draws it, and nothing but the images knows of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psr_core.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from psr_perception.pose import raycaster
from psr_perception.pose.solids import SOLIDS as SHAPES
from psr_perception.pose.symmetry import named_symmetry
from sim import display
from sim.display import SOLIDS, Display
from sim.env import SimEnv
from sim.pusht import PushTEnv
from sim.rendering import CameraConfig, choose_gl, intrinsics

K = intrinsics(45, 256, 256)
TIMES = 0.05, 1.3, 2.9, 4.4, 7.7


@pytest.fixture(scope="module", params=SOLIDS)
def filmed(request):
    """The Lift scene with a solid before its camera, in the episode of seed 3."""
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    env = SimEnv("Lift", camera=CameraConfig(display=request.param))
    env.reset(3)
    yield env
    env.close()


@pytest.fixture(scope="module")
def plain():
    """What the same camera sees without it."""
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    env = SimEnv("Lift", camera=CameraConfig())
    env.reset(3)
    yield env.images()
    env.close()


def line_of_sight(position) -> np.ndarray:
    """The least rotation that takes the optical axis to a position."""
    direction = position / np.linalg.norm(position)
    axis = np.cross([0, 0, 1], direction)
    return axis_angle_to_matrix(axis / np.linalg.norm(axis) * np.arccos(direction[2]))


class TestInTheImage:
    @pytest.mark.parametrize("seconds", TIMES)
    def test_its_outline_is_the_ray_casters_under_the_published_rotation(self, filmed, plain, seconds, monkeypatch):
        images = filmed.images(seconds)
        shown = images.display
        column, row, side = shown.region(images.K)
        # Its size relative to its distance is what the region leaves of it; the ray caster's own is much nearer.
        monkeypatch.setattr(raycaster, "DISTANCE", 0.5 / display.RADIUS * shown.position[2])
        seen = torch.from_numpy(line_of_sight(shown.position).T @ shown.rotation)
        expected = raycaster.render(SHAPES[shown.solid], seen[None], side)[0].numpy() > 0.05
        outline = (images.depth != plain.depth)[row : row + side, column : column + side]
        assert (outline & expected).sum() / (outline | expected).sum() > 0.9

    def test_colour_and_depth_have_it_at_its_place_and_nowhere_else(self, filmed, plain):
        images = filmed.images(1.0)
        nearer = images.depth != plain.depth
        assert nearer.sum() > 1500
        assert np.abs(images.depth[nearer] - display.POSITION[2]).max() < display.RADIUS
        column, row, side = images.display.region(images.K)
        assert side >= 48
        inside = np.zeros_like(nearer)
        inside[row : row + side, column : column + side] = True
        assert not nearer[~inside].any()
        changed = (images.rgb != plain.rgb).any(-1)
        assert changed[nearer].mean() > 0.99
        rows, columns = np.nonzero(nearer)
        middle = (np.array([columns.min() + columns.max(), rows.min() + rows.max()]) + 1) / 2
        assert np.abs(middle - [column + side / 2, row + side / 2]).max() < 4

    def test_it_is_grey_and_its_faces_differ(self, filmed, plain):
        images = filmed.images(2.0)
        colours = images.rgb[images.depth != plain.depth].astype(int)
        assert np.percentile(np.ptp(colours, axis=1), 95) < 12  # but for pixels of its edge
        assert np.percentile(colours.mean(1), 90) - np.percentile(colours.mean(1), 10) > 50

    def test_the_same_time_gives_the_same_pixels(self, filmed):
        first = filmed.images(1.7)
        assert not np.array_equal(filmed.images(2.7).rgb, first.rgb)
        assert np.array_equal(filmed.images(1.7).rgb, first.rgb)

    def test_no_step_and_no_observation_knows_of_it(self, filmed, lift):
        row = np.array([0.0, 0.0, 1.0, 1, 0, 0, 0, -1, 0, -1])
        pairs = [(filmed.reset(5), lift.reset(5))]
        for step in range(5):
            filmed.images(step / 20)
            pairs.append((filmed.step(row), lift.step(row)))
        for mine, other in pairs:
            for name, feature in mine.features.items():
                assert feature.tobytes() == other.features[name].tobytes()
        assert filmed.state().tobytes() == lift.state().tobytes()
        filmed.reset(3)


class TestTurning:
    @given(st.floats(0, 1000), st.floats(0.01, 2))
    def test_it_turns_at_one_rate_about_one_axis(self, seconds, later):
        turn = Display("cube", seconds + later).rotation @ Display("cube", seconds).rotation.T
        assert np.allclose(matrix_to_axis_angle(turn), display.RATE * later * np.array(display.AXIS), atol=1e-7)

    @pytest.mark.parametrize("solid", SOLIDS)
    def test_it_does_not_look_alike_while_it_turns(self, solid):
        symmetry = named_symmetry(solid)
        rotations = torch.from_numpy(np.stack([Display(solid, second / 4).rotation for second in range(40)]))
        steps = symmetry.distance(rotations[:-1], rotations[1:]).rad2deg()
        assert steps.min() > 2  # of 6.25 degrees a quarter of a second


class TestRegion:
    @given(st.integers(48, 2000), st.integers(48, 2000))
    def test_it_is_a_square_about_the_centre_with_the_ray_casters_padding(self, width, height):
        matrix = intrinsics(45, width, height)
        column, row, side = Display("cube", 0.0).region(matrix)
        assert side == round(raycaster.PADDING * matrix[0, 0] * 2 * display.RADIUS / display.POSITION[2])
        centre = (matrix @ display.POSITION)[:2] / display.POSITION[2]
        assert abs(row + (side - 1) / 2 - centre[1]) <= 0.5
        assert abs(column + (side - 1) / 2 - centre[0]) <= 0.5 or column == 0
        assert column >= 0 and row >= 0


class TestRefusals:
    def test_an_unknown_solid_is_refused_with_the_names_there_are(self):
        with pytest.raises(ValueError, match="display is 'sphere', expected one of: cube, cylinder"):
            CameraConfig(display="sphere")

    def test_a_flat_board_has_none(self):
        with pytest.raises(ValueError, match="display is 'cube', but PushT is a flat board"):
            PushTEnv(camera=CameraConfig(display="cube"))
