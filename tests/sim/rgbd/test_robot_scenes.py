"""The robot's scenes with other looks: what is changed, what is not, and that the generator settles it all."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import mujoco
import numpy as np
import pytest

from sim.rgbd import robot_scenes
from sim.rgbd.robot_scenes import DEEPEST_CONTACT, TASKS, RobotScenes
from sim.rgbd.scene import CAMERA, FOVY
from sim.tasks import get_task


@pytest.fixture(scope="module")
def robots(lift):
    """Scenes of Lift for training and of Square for tests."""
    scenes = RobotScenes()
    scenes._envs["Lift"] = lift
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robot_scenes, "TASKS", {"train": ("Lift",), "test": ("Square",)})
        yield scenes
    scenes._envs.pop("Lift")
    scenes.close()


@pytest.fixture(scope="module")
def made(robots):
    return [robots.random_scene("train", np.random.default_rng(seed))[1] for seed in range(4)]


def test_tests_show_other_tasks():
    assert not set(TASKS["train"]) & set(TASKS["test"])
    assert all(get_task(task).simulator == "robosuite" for split in TASKS.values() for task in split)


def test_the_generator_settles_the_scene_whatever_came_before(robots, made):
    task, other = robots.random_scene("test", np.random.default_rng(0))
    again = robots.random_scene("train", np.random.default_rng(1))[1]
    assert task == "Square"
    assert (again.xml, again.assets) == (made[1].xml, made[1].assets)
    np.testing.assert_array_equal(again.qpos, made[1].qpos)
    np.testing.assert_array_equal(again.focus, made[1].focus)
    assert made[0].xml != made[1].xml


def test_every_texture_is_a_pattern_of_ours(made):
    for scene in made:
        files = [texture.get("file") for texture in ET.fromstring(scene.xml).iter("texture")]
        assert set(filter(None, files)) == set(scene.assets)
        assert len(scene.assets) == len(files) - 1  # all but the sky
    assert not set(made[0].assets.values()) & set(made[1].assets.values())


def test_looks_differ_and_shapes_do_not(made):
    first, second = (scene.load()[0] for scene in made[:2])
    assert (first.mat_rgba != second.mat_rgba).any(axis=1).sum() > 10
    arm = [number for number in range(first.nbody) if first.body(number).name.startswith("robot0")]
    np.testing.assert_array_equal(first.body_pos[arm], second.body_pos[arm])


def test_what_is_seen_is_opaque_and_marks_are_hidden(made):
    for scene in made:
        model, _ = scene.load()
        assert not ((model.geom_rgba[:, 3] > 0) & (model.geom_rgba[:, 3] < 1) & (model.geom_group == 1)).any()
        assert not ((model.mat_rgba[:, 3] > 0) & (model.mat_rgba[:, 3] < 1)).any()
        assert (model.site_group > 2).all()


def test_what_is_clear_glass_becomes_opaque():
    for rgba, expected in (("1 0 0 0.3", "1 0 0 1"), ("1 0 0 0", "1 0 0 0"), ("1 0 0 1", "1 0 0 1")):
        thing = ET.Element("geom", rgba=rgba)
        robot_scenes._make_opaque(thing)
        assert thing.get("rgba") == expected


def test_arms_move_within_their_ranges_and_push_into_nothing(made):
    arms = np.array([scene.qpos[:7] for scene in made])
    assert np.ptp(arms, axis=0).min() > 0.05
    for scene in made:
        model, data = scene.load()
        limited = [model.joint(f"robot0_joint{number}") for number in range(1, 8)]
        for joint in limited:
            assert joint.range[0] <= data.qpos[joint.qposadr[0]] <= joint.range[1]
        assert data.contact.dist.min(initial=0) > -DEEPEST_CONTACT


def test_an_arm_that_cannot_move_stays_as_it_was(monkeypatch, robots, lift):
    monkeypatch.setattr(robot_scenes, "DEEPEST_CONTACT", -np.inf)
    scene = robots.random_scene("train", np.random.default_rng(0))[1]
    np.testing.assert_array_equal(scene.qpos, lift.state()[1 : 1 + len(scene.qpos)])


def test_the_camera_looks_at_a_thing_of_the_task(made, lift):
    for scene in made:
        model, data = scene.load()
        assert FOVY[0] <= model.cam_fovy[model.camera(CAMERA).id] <= FOVY[1]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(scene.focus, data.body("cube_main").xpos, atol=1e-6)
