"""An object dropped and lifted: what is counted, filmed, said on the page and listed in its catalogue."""

import json
import shutil

import pytest

from psr_cli.demo import shipped_asset
from psr_cli.main import main
from psr_core.statistics import wilson_interval
from psr_eval.asset_lifts import VIDEO, AssetLifts, Attempt
from psr_eval.asset_views import as_html
from psr_mesh.asset import AssetOptions
from psr_mesh.build import build_asset
from psr_mesh.catalogue import add_asset, read_catalogue
from psr_mesh.surface import SurfaceOptions
from sim.drop_test import DropResult, drop_test
from sim.rendering import choose_gl
from tests.psr_mesh.fields import Solid, box


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    """Lists a bar 9 cm long and 4 cm wide: too long for the gripper one way, not the other."""
    folder = tmp_path_factory.mktemp("catalogue")
    made = {"prompt": "a <b>bar</b>", "seed": 7}
    surface, options = SurfaceOptions(resolution=24, faces=300), AssetOptions(longest_side=0.09, threshold=0.2)
    build_asset(Solid(box((0.9, 0.4, 0.4))), folder / "bar", surface=surface, asset=options, made=made)
    add_asset(folder, "bar", results={"other": 1})
    return folder


@pytest.fixture(scope="module")
def lifted(catalogue, tmp_path_factory):
    """What `psr lift` leaves."""
    out = tmp_path_factory.mktemp("out")
    assert main(["lift", str(catalogue / "bar"), "--seeds", "2", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
class TestLifting:
    def test_the_expert_grasps_across_the_narrow_side(self, lifted):
        told = json.loads((lifted / "lifts.json").read_text())
        assert told["lift"]["successes"] == 2, told["attempts"]
        assert (told["lift"]["low"], told["lift"]["high"]) == wilson_interval(2, 2)
        assert all(attempt["steps"] < 200 and not attempt["why"] for attempt in told["attempts"])

    def test_the_catalogue_has_the_results_beside_the_others(self, lifted, catalogue):
        (entry,) = read_catalogue(catalogue)
        assert entry.results["other"] == 1
        assert entry.results["lift"]["successes"] == 2
        assert entry.results["drop_test"]["problems"] == []

    @pytest.mark.skipif(not choose_gl().ok, reason=choose_gl().detail)
    def test_the_page_shows_it_from_all_sides_and_the_film(self, lifted, catalogue):
        lifts = AssetLifts(drop_test(catalogue / "bar"), (Attempt(0, True, 60, ""), Attempt(1, False, 200, "slipped")))
        page = as_html(catalogue / "bar", lifts, lifted)
        assert (lifted / VIDEO).stat().st_size > 1000
        assert page.count("data:video/mp4") == 1 and page.count("data:image/jpeg") == 6 and page.count("image/png") == 1
        assert "1 of 2 seeds" in page and "a &lt;b&gt;bar&lt;/b&gt;" in page

    def test_a_damaged_object_is_named(self, catalogue, tmp_path):
        copy = shutil.copytree(catalogue / "bar", tmp_path / "bar")
        (copy / "object.xml").write_text("<mujoco/>")
        with pytest.raises(ValueError, match=r"object\.xml"):
            as_html(copy, AssetLifts(drop_test(catalogue / "bar"), ()), tmp_path)


def test_failures_are_told_by_their_reason():
    drop = DropResult(0.5, 0, 0, 0, 0, 0, 0, 0.1, False, ())
    attempts = [Attempt(seed, False, 200, why) for seed, why in enumerate(["slipped", "far", "slipped"])]
    lines = AssetLifts(drop, (*attempts, Attempt(3, True, 50, ""))).as_text().splitlines()
    assert "100 mm wide where it is narrowest, does not fit" in lines[0]
    assert lines[1].startswith("lifted on 1 of 4 seeds")
    assert lines[2:] == ["  2 times: slipped", "  1 times: far"]


def test_a_suite_without_an_object_has_none_to_show(tmp_path, monkeypatch):
    monkeypatch.setattr("psr_cli.demo.suite_root", lambda: tmp_path)
    assert shipped_asset() is None
    (tmp_path / "models" / "assets" / "cup").mkdir(parents=True)
    (tmp_path / "models" / "assets" / "cup" / "object.xml").touch()
    assert shipped_asset() == tmp_path / "models" / "assets" / "cup"


class TestRefusals:
    def test_a_missing_object(self, tmp_path, capsys):
        assert main(["lift", str(tmp_path / "none")]) == 2
        assert "none is missing; name an asset's folder" in capsys.readouterr().err

    def test_no_seeds(self, catalogue, capsys):
        assert main(["lift", str(catalogue / "bar"), "--seeds", "0"]) == 2
        assert "seeds is 0" in capsys.readouterr().err
