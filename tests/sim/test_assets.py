"""Objects from files: dropped onto a floor, looked at, and lifted in the cube's place."""

import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from psr_mesh.asset import AssetOptions
from psr_mesh.build import build_asset
from psr_mesh.surface import SurfaceOptions
from sim.actions import pose_row
from sim.assets import draw_asset, load_asset
from sim.drop_test import LONGEST, drop_test, narrowest_width
from sim.environments import make_env
from sim.extras import Extras
from sim.rendering import CameraConfig, choose_gl
from tests.psr_mesh.fields import Solid, ball, box


@pytest.fixture(scope="module")
def mjcf(tmp_path_factory):
    """name -> MJCF of a box 6 cm long, 4 cm wide and 3 cm high, and of a ball 10 cm across."""
    folder = tmp_path_factory.mktemp("assets")
    surface = SurfaceOptions(resolution=24, faces=300)
    made = {"box": (box((0.6, 0.4, 0.3)), 0.06), "ball": (ball(0.6), 0.1)}
    return {
        name: build_asset(
            Solid(solid), folder / name, surface=surface, asset=AssetOptions(longest_side=side, threshold=0.2)
        ).mjcf
        for name, (solid, side) in made.items()
    }


@pytest.fixture
def changed(mjcf, tmp_path):
    """Copies the box with its MJCF changed by a function of its root; returns the new MJCF."""

    def change(how):
        folder = shutil.copytree(mjcf["box"].parent, tmp_path / "changed")
        tree = ET.parse(folder / "object.xml")
        how(tree.getroot())
        tree.write(folder / "object.xml")
        return folder / "object.xml"

    return change


class TestDropTest:
    def test_a_box_lies_still_as_it_stood_and_can_be_grasped(self, mjcf):
        result = drop_test(mjcf["box"])
        assert result.passed and result.seconds < LONGEST
        assert abs(result.gap) < 1e-3 and result.tilt < 2
        assert result.width == pytest.approx(0.04, abs=4e-3)
        assert result.graspable

    def test_a_large_ball_lies_still_and_cannot_be_grasped(self, mjcf):
        result = drop_test(mjcf["ball"])
        assert result.problems == ()
        assert result.width == pytest.approx(0.1, abs=4e-3)
        assert not result.graspable

    def test_hulls_far_inside_let_it_sink(self, changed):
        def shrink(root):
            for mesh in root.iter("mesh"):
                if mesh.get("name").startswith("hull"):
                    mesh.set("scale", "0.3 0.3 0.3")

        result = drop_test(changed(shrink))
        assert not result.passed
        assert any("sinks" in problem for problem in result.problems)

    def test_hulls_too_large_let_it_hover(self, changed):
        def grow(root):
            for mesh in root.iter("mesh"):
                if mesh.get("name").startswith("hull"):
                    mesh.set("scale", "2 2 2")

        assert any("hovers" in problem for problem in drop_test(changed(grow)).problems)

    def test_without_collisions_it_never_lies_still(self, changed):
        def let_through(root):
            for geom in root.iter("geom"):
                geom.set("contype", "0")
                geom.set("conaffinity", "0")

        result = drop_test(changed(let_through))
        assert any("never lies still" in problem for problem in result.problems)
        assert any("sinks" in problem for problem in result.problems)

    def test_an_object_without_hulls_is_refused(self, changed):
        def strip(root):
            (body,) = (body for body in root.iter("body") if body.get("name") == "object")
            for geom in [geom for geom in body if geom.get("group") == "0"]:
                body.remove(geom)

        with pytest.raises(ValueError, match=r"object\.xml is not an object.*no mesh to collide"):
            drop_test(changed(strip))

    def test_what_is_no_object_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"none\.xml is missing"):
            load_asset(tmp_path / "none.xml")
        (tmp_path / "other.xml").write_text("<mujoco><worldbody><body name='thing'/></worldbody></mujoco>")
        with pytest.raises(ValueError, match=r"other\.xml is not an object.*no body 'object'"):
            load_asset(tmp_path / "other.xml")


@pytest.mark.parametrize("turn", np.linspace(0, np.pi, 7))
def test_the_narrowest_width_does_not_depend_on_how_it_lies(turn):
    corners = np.stack(np.meshgrid([-0.05, 0.05], [-0.02, 0.02], [0, 0.1]), -1).reshape(-1, 3)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    assert narrowest_width(corners @ axes.T) == pytest.approx(0.04)


def reddish(rgb):
    return (rgb[..., 0] > 80) & (rgb[..., 0] > 2 * rgb[..., 2].astype(int))


def bluish(rgb):
    return (rgb[..., 2] > 80) & (rgb[..., 2] > 2 * rgb[..., 0].astype(int))


@pytest.mark.skipif(not choose_gl().ok, reason=choose_gl().detail)
class TestPictures:
    def test_the_front_is_red_the_back_blue_and_from_its_left_the_front_is_on_the_left(self, mjcf):
        front, left, back = (draw_asset(mjcf["box"], azimuth, 0, 64, 64) for azimuth in (0, 90, 180))
        assert reddish(front).sum() > 200 and not bluish(front).any()
        assert bluish(back).sum() > 200 and not reddish(back).any()
        columns = np.arange(64) * np.ones((64, 1))
        assert columns[reddish(left)].max() <= columns[bluish(left)].min() + 2

    def test_lift_with_the_object_steps_and_shows_it(self, mjcf):
        env = make_env("Lift", CameraConfig(width=128, height=128), Extras(asset=str(mjcf["box"])))
        try:
            observation = env.reset(3)
            rgb = env.images().rgb
            assert reddish(rgb).sum() > 10 and bluish(rgb).sum() > 10
            for _ in range(4):
                observation = env.step(pose_row(observation.eef_position, observation.eef_rotation, -1))
            position, _ = observation.objects["cube"]
            assert position[2] == pytest.approx(0.8 + 0.015, abs=2e-3)  # half its height above the table
            assert not observation.success
        finally:
            env.close()


def test_other_tasks_take_no_asset(mjcf):
    with pytest.raises(ValueError, match="task Lift, which alone takes one"):
        make_env("PushT", extras=Extras(asset=str(mjcf["box"])))
