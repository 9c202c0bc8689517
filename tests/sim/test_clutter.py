"""Objects from files that stand about: apart from everything, in their places by the seed, at rest."""

import mujoco
import numpy as np
import pytest

from psr_mesh.asset import AssetOptions
from psr_mesh.build import build_asset
from psr_mesh.surface import SurfaceOptions
from sim.actions import pose_row
from sim.clutter import CLEARANCES, Clutter
from sim.env import SimEnv
from sim.environments import make_env
from sim.extras import Extras
from tests.psr_mesh.fields import Solid, box, torus


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """A folder with a brick that lies flat only after it has fallen over, and a ring."""
    folder = tmp_path_factory.mktemp("catalogue")
    surface, asset = SurfaceOptions(resolution=24, faces=300), AssetOptions(longest_side=0.06, threshold=0.2)
    for name, solid in {"brick": box((0.2, 0.1, 0.6)), "ring": torus(0.6, 0.2)}.items():
        build_asset(Solid(solid), folder / name, surface=surface, asset=asset)
    return folder


@pytest.fixture(scope="module")
def scene(catalogue):
    env = make_env("Lift", extras=Extras(clutter=str(catalogue), clutter_count=3))
    yield env
    env.close()


def model_and_data(env):
    return env._env.sim.model._model, env._env.sim.data._data


def places(env):
    _, data = model_and_data(env)
    return np.array([data.body(f"clutter{number}_main").xpos for number in range(3)])


def distance_between(model, data, ours, theirs):
    """The smallest distance (m) between geoms of two lists."""
    return min(mujoco.mj_geomDistance(model, data, a, b, 1.0, None) for a in ours for b in theirs)


def collision_geoms(model, body):
    return np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == 0)).tolist()


class TestInLift:
    def test_they_keep_clear_of_the_cube_the_hand_and_each_other(self, scene):
        for seed in range(3):
            scene.reset(seed)
            model, data = model_and_data(scene)
            groups = [collision_geoms(model, model.body(f"clutter{number}_main").id) for number in range(3)]
            cube = collision_geoms(model, model.body("cube_main").id)
            hand = collision_geoms(model, model.body("gripper0_right_leftfinger").id)
            for number, ours in enumerate(groups):
                for theirs in (cube, hand, *groups[:number]):
                    assert distance_between(model, data, ours, theirs) > 0.95 * CLEARANCES[0]

    def test_the_seed_decides_where_they_are_and_leaves_the_task_alone(self, scene, lift):
        first = scene.reset(5)
        before = places(scene)
        scene.reset(6)
        assert np.abs(places(scene) - before).max() > 0.01
        scene.reset(5)
        assert (places(scene) == before).all()
        plain = lift.reset(5)
        assert np.array_equal(first.objects["cube"][0], plain.objects["cube"][0])
        assert np.array_equal(first.features["robot0_eef_pos"], plain.features["robot0_eef_pos"])

    def test_they_lie_still(self, scene):
        observation = scene.reset(7)
        before = places(scene)
        for _ in range(10):
            observation = scene.step(pose_row(observation.eef_position, observation.eef_rotation, -1))
        assert np.abs(places(scene) - before).max() < 0.005
        assert (places(scene)[:, 2] > 0.8).all()


def test_a_full_table_leaves_out_what_has_no_room(scene):
    model, data = model_and_data(scene)
    clutter = scene._clutter
    clutter.choose(0)
    assert clutter.place(model, data, np.zeros(2), np.full(2, 0.17)) < 3  # a table hardly larger than its edges
    assert (places(scene)[:, 0] >= 10).any()


class TestRefusals:
    def test_a_folder_without_objects(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="holds no assets"):
            Clutter(tmp_path, 3)

    def test_too_many(self, catalogue):
        with pytest.raises(ValueError, match="clutter_count is 11, expected 1 to 10"):
            Clutter(catalogue, 11)

    @pytest.mark.parametrize("task", ["Transport", "PushT"])
    def test_tasks_that_take_none(self, catalogue, task):
        with pytest.raises(ValueError, match=f"for task {task}; expected one of: Lift, Can, Square, ToolHang"):
            make_env(task, extras=Extras(clutter=str(catalogue)))

    def test_a_missing_object_to_lift(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="none is missing"):
            SimEnv("Lift", extras=Extras(asset=str(tmp_path / "none")))
