"""Assets: what MuJoCo makes of them, the same bytes every time, whole or not there; and their catalogue."""

import json

import mujoco
import numpy as np
import pytest

from psr_mesh import catalogue
from psr_mesh.asset import CARD, AssetOptions, read_asset, write_asset
from psr_mesh.build import build_asset
from psr_mesh.catalogue import CATALOGUE, add_asset, read_catalogue
from psr_mesh.colours import bake
from psr_mesh.surface import SurfaceOptions, extract_surface
from tests.psr_mesh.fields import Solid, box

FIELD = Solid(box((0.6, 0.3, 0.2)))
SURFACE = SurfaceOptions(resolution=24, faces=300)
OPTIONS = AssetOptions(longest_side=0.06, density=500.0, seed=3)
MADE = {"prompt": "a brick", "seed": 7}


@pytest.fixture(scope="module")
def asset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets") / "brick"
    return build_asset(FIELD, folder, surface=SURFACE, asset=OPTIONS, made=MADE)


@pytest.fixture
def copied(asset, tmp_path):
    import shutil

    return shutil.copytree(asset.folder, tmp_path / "brick")


class TestInMujoco:
    def test_it_weighs_what_its_volume_and_density_say(self, asset):
        model = mujoco.MjModel.from_xml_path(str(asset.mjcf))
        surface = extract_surface(FIELD, SURFACE)
        volume = surface.volume * (0.06 / surface.mesh.extents.max()) ** 3
        assert model.body("object").mass[0] == pytest.approx(500 * volume, rel=1e-6)

    def test_its_centre_of_mass_is_its_origin_and_its_inertia_a_boxs(self, asset):
        body = mujoco.MjModel.from_xml_path(str(asset.mjcf)).body("object")
        assert np.abs(body.ipos).max() < 1e-4
        x, y, z = np.square(asset.statistics["size_m"])
        expected = sorted(body.mass[0] / 12 * np.array([y + z, x + z, x + y]))
        assert sorted(body.inertia) == pytest.approx(expected, rel=0.1)

    def test_hulls_collide_and_the_mesh_is_only_seen(self, asset):
        model = mujoco.MjModel.from_xml_path(str(asset.mjcf))
        visual = model.geom_group == 1
        assert visual.sum() == 1 and (~visual).sum() == asset.statistics["hulls"]
        assert not model.geom_contype[visual].any() and model.geom_contype[~visual].all()
        assert set(model.geom_condim[~visual]) == {4}

    def test_the_sites_are_at_its_extent_in_metres(self, asset):
        model = mujoco.MjModel.from_xml_path(str(asset.mjcf))
        size = np.array(asset.statistics["size_m"])
        assert size.max() == pytest.approx(0.06)
        assert model.site("top_site").pos[2] - model.site("bottom_site").pos[2] == pytest.approx(size[2], abs=1e-6)
        assert model.site("horizontal_radius_site").pos[:2] == pytest.approx(size[:2] / 2, abs=1e-3)


class TestFolder:
    def test_the_same_input_gives_the_same_bytes(self, asset, tmp_path):
        again = build_asset(FIELD, tmp_path / "again", surface=SURFACE, asset=OPTIONS, made=MADE)
        names = sorted(path.name for path in asset.folder.iterdir())
        assert names == sorted(path.name for path in again.folder.iterdir())
        assert all((asset.folder / name).read_bytes() == (again.folder / name).read_bytes() for name in names)

    def test_what_is_read_back_is_what_was_written(self, asset):
        assert read_asset(asset.folder) == asset
        assert asset.made == MADE

    def test_a_changed_or_missing_file_is_named(self, copied):
        (copied / "texture.png").write_bytes(b"")
        with pytest.raises(ValueError, match=r"texture\.png is not the file"):
            read_asset(copied)
        (copied / "hull_00.obj").unlink()
        with pytest.raises(ValueError, match=r"hull_00\.obj is missing"):
            read_asset(copied)

    def test_another_kind_of_card_is_refused(self, copied):
        (copied / CARD).write_text("{}")
        with pytest.raises(ValueError, match=r"asset\.json does not describe an asset"):
            read_asset(copied)

    def test_an_existing_folder_is_left_alone(self, asset):
        with pytest.raises(FileExistsError, match="name another folder"):
            build_asset(FIELD, asset.folder)

    def test_nothing_is_left_when_writing_fails(self, tmp_path, monkeypatch):
        surface = extract_surface(FIELD, SURFACE)
        texture = bake(FIELD, surface.mesh)

        def full(path):
            raise OSError("no space left on device")

        monkeypatch.setattr("psr_mesh.asset.file_sha256", full)
        with pytest.raises(OSError, match="no space"):
            write_asset(tmp_path / "brick", surface, texture, OPTIONS)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("field", "value"), [("longest_side", 0), ("density", -1), ("hulls", 17), ("seed", -1)])
    def test_options_out_of_range(self, field, value):
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            AssetOptions(**{field: value})


class TestCatalogue:
    def test_assets_are_listed_in_order_and_anew(self, copied):
        folder = copied.parent
        copied.rename(folder / "first")
        import shutil

        shutil.copytree(folder / "first", folder / "second")
        assert read_catalogue(folder) == []
        add_asset(folder, "first")
        add_asset(folder, "second", results={"passed": True})
        add_asset(folder, "first", results={"passed": False})
        entries = read_catalogue(folder)
        assert [(entry.name, entry.results) for entry in entries] == [
            ("second", {"passed": True}),
            ("first", {"passed": False}),
        ]
        assert entries[0].made == MADE and entries[0].statistics["mass_kg"] > 0

    def test_a_kill_at_any_moment_of_writing_leaves_the_old_list(self, copied, monkeypatch):
        folder = copied.parent
        add_asset(folder, "brick")
        before = (folder / CATALOGUE).read_bytes()

        def killed(*paths):
            raise KeyboardInterrupt

        for moment in ("psr_core.files.os.replace", "psr_core.files.Path.write_bytes"):
            with monkeypatch.context() as patch:
                patch.setattr(moment, killed)
                with pytest.raises(KeyboardInterrupt):
                    add_asset(folder, "brick", results={"new": 1})
            assert (folder / CATALOGUE).read_bytes() == before
        add_asset(folder, "brick", results={"new": 1})  # what the kills left behind is in nobody's way
        assert read_catalogue(folder)[0].results == {"new": 1}

    @pytest.mark.parametrize("text", ["{", "[]", '{"format": "psr catalogue", "format_version": 1, "assets": [{}]}'])
    def test_a_broken_one_is_named_with_the_cure_and_left_alone(self, copied, text):
        path = copied.parent / CATALOGUE
        path.write_text(text)
        with pytest.raises(ValueError, match=r"catalogue\.json.*move it away"):
            add_asset(copied.parent, "brick")
        assert path.read_text() == text

    def test_a_damaged_asset_or_a_missing_thumbnail_is_not_listed(self, copied):
        with pytest.raises(FileNotFoundError, match=r"none\.png is missing"):
            add_asset(copied.parent, "brick", thumbnail="none.png")
        (copied / "object.xml").write_text("")
        with pytest.raises(ValueError, match=r"object\.xml"):
            add_asset(copied.parent, "brick")
        assert read_catalogue(copied.parent) == []

    def test_it_says_what_it_is(self, copied):
        add_asset(copied.parent, "brick")
        content = json.loads((copied.parent / CATALOGUE).read_text())
        assert (content["format"], content["format_version"]) == (catalogue.FORMAT, catalogue.VERSION)
