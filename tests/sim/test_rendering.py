"""Images: which OpenGL draws, which way is up, and that depth and K put surfaces where they are."""

import numpy as np
import pytest

from sim import rendering
from sim.env import SimEnv
from sim.rendering import CameraConfig, choose_gl, intrinsics

SIZE = (96, 128)  # rows, columns


@pytest.fixture(scope="module")
def filmed():
    if not choose_gl().ok:
        pytest.skip(choose_gl().detail)
    env = SimEnv("Lift", camera=CameraConfig("agentview", width=SIZE[1], height=SIZE[0]))
    yield env
    env.close()


def world_points(env, images):
    """The world position (H, W, 3) of every pixel, from depth, K and the camera's pose."""
    data, model = env._env.sim.data._data, env._env.sim.model._model
    camera = model.camera(env.camera_config.name).id
    rows, columns = np.indices(images.depth.shape)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    points = (pixels @ np.linalg.inv(images.K).T) * images.depth[..., None].astype(float)
    # OpenCV's camera looks along +z with y down, MuJoCo's along -z with y up
    to_world = data.cam_xmat[camera].reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
    return points @ to_world.T + data.cam_xpos[camera]


def red(rgb):
    """Pixels of the cube, the only red thing in the scene."""
    rgb = rgb.astype(int)
    return (rgb[..., 0] > 80) & (rgb[..., 0] > 2 * rgb[..., 1]) & (rgb[..., 0] > 2 * rgb[..., 2])


class TestImages:
    def test_shapes_and_types(self, filmed):
        filmed.reset(0)
        images = filmed.images()
        assert (images.rgb.shape, images.rgb.dtype) == ((*SIZE, 3), np.uint8)
        assert (images.depth.shape, images.depth.dtype) == (SIZE, np.float32)
        assert np.isfinite(images.depth).all()
        assert images.depth.min() > 0.1

    def test_the_cube_is_where_depth_and_k_put_it(self, filmed):
        for seed in (0, 1, 2):
            cube, _ = filmed.reset(seed).objects["cube"]
            images = filmed.images()
            seen = world_points(filmed, images)[red(images.rgb)]
            assert len(seen) > 10
            # the visible faces lie within the cube's half diagonal of its centre
            assert np.linalg.norm(np.median(seen, axis=0) - cube) < 0.022 * np.sqrt(3)
            assert np.abs(seen[:, 1].mean() - cube[1]) < 0.008  # seen from the front: no bias sideways

    def test_the_table_is_flat_at_its_height(self, filmed):
        filmed.reset(0)
        images = filmed.images()
        points = world_points(filmed, images)
        near = (np.abs(points[..., 0] - 0.2) < 0.05) & (np.abs(points[..., 1]) < 0.3)
        assert near.sum() > 20
        assert points[near][:, 2] == pytest.approx(0.8, abs=3e-3)

    def test_same_seed_same_pixels_and_drawing_does_not_disturb(self, filmed, lift):
        observation = filmed.reset(3)
        first = filmed.images()
        filmed.reset(4)
        filmed.images()
        again = filmed.reset(3)
        assert np.array_equal(filmed.images().rgb, first.rgb)
        assert again.features["object"].tobytes() == observation.features["object"].tobytes()
        assert lift.reset(3).features["object"].tobytes() == observation.features["object"].tobytes()

    def test_a_lifted_cube_goes_up_in_the_image(self, filmed):
        from sim.experts.lift import LiftExpert

        observation, expert = filmed.reset(0), LiftExpert(0)
        before = filmed.images()
        while observation.objects["cube"][0][2] < 0.88 and observation.step < 150:
            observation = filmed.step(expert.act(observation))
        cube, _ = observation.objects["cube"]
        images = filmed.images()
        assert np.nonzero(red(images.rgb))[0].mean() < np.nonzero(red(before.rgb))[0].mean() - 3
        seen = world_points(filmed, images)[red(images.rgb)]
        assert np.linalg.norm(np.median(seen, axis=0) - cube) < 0.022 * np.sqrt(3)

    def test_images_larger_than_robosuites_buffer_are_possible(self):
        if not choose_gl().ok:
            pytest.skip(choose_gl().detail)
        env = SimEnv("Lift", camera=CameraConfig(width=1400, height=20))
        env.reset(0)
        assert env.images().rgb.shape == (20, 1400, 3)
        env.close()

    def test_an_unknown_camera_is_refused_with_the_names_there_are(self):
        if not choose_gl().ok:
            pytest.skip(choose_gl().detail)
        env = SimEnv("Lift", camera=CameraConfig("agent_view"))
        env.reset(0)
        with pytest.raises(ValueError, match="'agent_view' is not in the scene.*agentview"):
            env.images()
        env.close()


class TestIntrinsics:
    def test_a_right_angle_of_view_has_half_the_height_as_focal_length(self):
        assert np.allclose(intrinsics(90, 128, 96), [[48, 0, 63.5], [0, 48, 47.5], [0, 0, 1]])

    def test_the_edge_of_the_image_is_the_edge_of_the_field_of_view(self):
        k = intrinsics(45, 256, 256)
        assert np.degrees(np.arctan((k[1, 2] + 0.5) / k[1, 1])) == pytest.approx(22.5)

    @pytest.mark.parametrize("size", [0, -3, 5000])
    def test_impossible_sizes_are_refused(self, size):
        with pytest.raises(ValueError, match="camera width"):
            CameraConfig(width=size)


class TestChoosingGl:
    """The order and the fallback; whether a backend really draws is decided elsewhere and replaced here."""

    @pytest.fixture
    def draws(self, monkeypatch):
        working = set()
        monkeypatch.setattr(rendering, "_draws", lambda backend: (backend in working, f"answer of {backend}"))
        monkeypatch.setenv("MUJOCO_GL", "")
        choose_gl.cache_clear()
        yield working
        choose_gl.cache_clear()

    def test_egl_comes_first(self, draws, monkeypatch):
        import os

        draws.update({"egl", "osmesa"})
        assert choose_gl().backend == os.environ["MUJOCO_GL"] == "egl"

    def test_osmesa_is_the_fallback_and_the_reason_is_said(self, draws):
        draws.add("osmesa")
        report = choose_gl()
        assert (report.backend, report.ok) == ("osmesa", True)
        assert "egl does not draw: answer of egl" in report.detail

    def test_what_the_user_asked_for_is_tried_first(self, draws, monkeypatch):
        draws.update({"egl", "osmesa"})
        monkeypatch.setenv("MUJOCO_GL", "osmesa")
        assert choose_gl().backend == "osmesa"

    def test_nothing_draws(self, draws):
        import os

        report = choose_gl()
        assert (report.backend, report.ok) == ("", False)
        assert "libosmesa6" in report.detail
        assert os.environ["MUJOCO_GL"] == ""

    def test_a_camera_without_gl_says_what_to_install(self, draws):
        env = SimEnv("Lift", camera=CameraConfig())
        env.reset(0)
        with pytest.raises(RuntimeError, match="cannot be drawn.*libosmesa6"):
            env.images()
        env.close()


def test_a_backend_that_does_not_exist_does_not_draw():
    drew, detail = rendering._draws("nonsense")
    assert not drew
    assert "nonsense" in detail
