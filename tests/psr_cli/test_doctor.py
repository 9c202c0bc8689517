"""The doctor's verdicts: on what works here, and on faults made on purpose."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections import namedtuple
from pathlib import Path

import pytest

from psr_cli import doctor
from psr_cli.doctor import FAIL, OK, WARN, Check, describe, run_checks

ROOT = Path(__file__).resolve().parents[2]


def only(checks):
    (check,) = checks
    return check


@pytest.fixture
def suite_in(monkeypatch):
    """Makes the doctor look at another folder as the suite's root."""
    return lambda folder: monkeypatch.setattr(doctor, "suite_root", lambda: folder)


class TestReport:
    GOOD = Check("wheel", OK, "1.2", "turns")
    POOR = Check("horn", WARN, "", "is quiet", "blow harder")
    BAD = Check("brake", FAIL, "", "is missing", "buy one")

    def report(self, monkeypatch, capsys, checks, as_json=False):
        monkeypatch.setattr(doctor, "ALL_CHECKS", (lambda: checks,))
        code = doctor.run(Namespace(json=as_json))
        return code, capsys.readouterr().out

    def test_a_good_component_is_one_line(self):
        assert describe(self.GOOD).split() == ["ok", "wheel", "1.2", "turns"]

    def test_the_cure_has_a_line_of_its_own(self):
        assert describe(self.BAD).splitlines()[1].strip() == "cure: buy one"

    def test_a_failure_makes_the_exit_code_1(self, monkeypatch, capsys):
        code, out = self.report(monkeypatch, capsys, [self.GOOD, self.BAD])
        assert code == 1
        assert out.splitlines()[-1] == "1 ok, 0 warn, 1 fail"

    def test_a_warning_does_not(self, monkeypatch, capsys):
        code, out = self.report(monkeypatch, capsys, [self.GOOD, self.POOR])
        assert code == 0
        assert out.splitlines()[-1] == "1 ok, 1 warn, 0 fail"

    def test_json_holds_every_field(self, monkeypatch, capsys):
        code, out = self.report(monkeypatch, capsys, [self.GOOD, self.BAD], as_json=True)
        content = json.loads(out)
        assert code == 1
        assert content["counts"] == {"ok": 1, "warn": 0, "fail": 1}
        assert [Check(**check) for check in content["checks"]] == [self.GOOD, self.BAD]

    def test_a_check_that_raises_is_a_failure_and_the_others_are_still_made(self):
        def check_engine():
            yield Check("petrol", OK)
            raise RuntimeError("does not\nstart")

        checks = list(run_checks([check_engine, lambda: [self.GOOD]]))
        assert checks[0] == Check("engine", FAIL, "", "RuntimeError: does not start", doctor.SET_UP)
        assert checks[1] == self.GOOD

    def test_what_a_library_prints_stays_out_of_the_report(self, capsys):
        def check_chatty():
            print("hello from a library")
            return [self.GOOD]

        list(run_checks([check_chatty]))
        assert capsys.readouterr().out == ""


class TestRos:
    def test_it_works_here(self, ros_domain):
        checks = {check.component: check for check in doctor.check_ros()}
        assert {name: check.verdict for name, check in checks.items()} == {
            "rclpy": OK,
            "psr_interfaces": OK,
            "ROS node": OK,
        }
        assert checks["ROS node"].detail.startswith("rmw_")

    def test_without_a_folder_for_logs_no_node_starts(self, monkeypatch, ros_domain):
        monkeypatch.delenv("HOME")
        monkeypatch.delenv("ROS_LOG_DIR")
        node = [check for check in doctor.check_ros() if check.component == "ROS node"]
        assert only(node).verdict == FAIL
        assert "ROS_LOG_DIR" in only(node).cure

    def test_a_process_that_dies_is_a_failure_with_its_last_words(self, monkeypatch):
        monkeypatch.setattr(
            doctor, "ROS_PROBE", "import os, sys; print('libfoo.so is gone', file=sys.stderr); os._exit(6)"
        )
        check = only(doctor.check_ros())
        assert check.verdict == FAIL
        assert "libfoo.so is gone" in check.detail


class TestDdsProfile:
    def check(self, monkeypatch, path):
        monkeypatch.setenv(doctor.PROFILE_VARIABLE, str(path))
        return only(doctor.check_dds_profile())

    def test_the_shipped_one_holds_an_image(self, monkeypatch):
        monkeypatch.delenv(doctor.PROFILE_VARIABLE, raising=False)
        check = only(doctor.check_dds_profile())
        assert check.verdict == OK
        assert "fastdds_shm.xml (shipped" in check.detail

    def test_one_that_is_not_there_fails(self, monkeypatch, tmp_path):
        check = self.check(monkeypatch, tmp_path / "nowhere.xml")
        assert check.verdict == FAIL
        assert "nowhere.xml" in check.detail and doctor.PROFILE_VARIABLE in check.cure

    @pytest.mark.parametrize("text", ["", "<profiles>", "<html/>"])
    def test_one_that_is_no_profile_fails(self, monkeypatch, tmp_path, text):
        path = tmp_path / "profile.xml"
        path.write_text(text)
        assert self.check(monkeypatch, path).verdict == FAIL

    @pytest.mark.parametrize(("size", "verdict"), [(512 << 10, WARN), (32 << 20, OK)])
    def test_a_segment_smaller_than_an_image_is_a_warning(self, monkeypatch, tmp_path, size, verdict):
        path = tmp_path / "profile.xml"
        shipped = (ROOT / "config" / "fastdds_shm.xml").read_text()
        path.write_text(shipped.replace(str(32 << 20), str(size)))
        assert self.check(monkeypatch, path).verdict == verdict


class TestMachine:
    @pytest.mark.parametrize(("free", "verdict"), [(64 << 20, WARN), (1 << 30, OK)])
    def test_shared_memory_must_hold_every_process(self, monkeypatch, free, verdict):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(1 << 30, 0, free))
        assert only(doctor.check_shared_memory()).verdict == verdict

    def test_without_a_back_end_only_images_are_lost(self, monkeypatch):
        import sim.rendering

        report = sim.rendering.GlReport("", False, "egl does not draw: no device")
        monkeypatch.setattr(sim.rendering, "choose_gl", lambda: report)
        check = only(doctor.check_gl())
        assert (check.verdict, check.detail) == (WARN, "egl does not draw: no device")
        assert "libosmesa6" in check.cure

    def test_a_missing_browser_is_a_warning(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        browser, ffmpeg = doctor.check_programs()
        assert (browser.verdict, ffmpeg.verdict) == (WARN, OK)

    def test_a_library_that_cannot_be_imported_fails_alone(self, monkeypatch):
        monkeypatch.setattr(doctor, "LIBRARIES", {"mcap": "bags", "no_such_library": "nothing"})
        good, bad = doctor.check_libraries()
        assert (good.verdict, bad.verdict) == (OK, FAIL)
        assert "no_such_library" in bad.detail and bad.cure


class TestPins:
    def check(self, suite_in, tmp_path, *lines):
        (tmp_path / "requirements.lock").write_text("\n".join(["# a comment", *lines]))
        suite_in(tmp_path)
        return only(doctor.check_pins())

    def test_what_differs_is_named_with_both_versions(self, suite_in, tmp_path):
        check = self.check(suite_in, tmp_path, "numpy==0.0.1", "no-such-package==3")
        assert check.verdict == WARN
        assert "(==0.0.1)" in check.detail and "no-such-package missing (==3)" in check.detail

    def test_pins_for_another_python_do_not_count(self, suite_in, tmp_path):
        check = self.check(suite_in, tmp_path, 'numpy==0.0.1; python_version < "3"', "pytest>=8")
        assert (check.verdict, check.detail.split()[0]) == (OK, "1")

    def test_an_installation_without_the_lock_has_none(self, suite_in, tmp_path):
        suite_in(tmp_path)
        assert list(doctor.check_pins()) == []


class TestWeights:
    def copy(self, suite_in, tmp_path):
        folder = tmp_path / "models" / "lift_unet"
        shutil.copytree(ROOT / "models" / "lift_unet", folder)
        suite_in(tmp_path)
        return folder

    def test_whole_ones_load(self, suite_in, tmp_path):
        folder = self.copy(suite_in, tmp_path)
        check = only(doctor.check_weights())
        sha256 = json.loads((folder / "policy.json").read_text())["card"]["sha256"]
        assert (check.verdict, check.component, check.version) == (OK, "models/lift_unet", sha256[:12])

    def test_a_changed_byte_fails(self, suite_in, tmp_path):
        path = self.copy(suite_in, tmp_path) / "policy.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        check = only(doctor.check_weights())
        assert check.verdict == FAIL
        assert "sha256" in check.detail and check.cure

    def test_none_at_all_fail(self, suite_in, tmp_path):
        suite_in(tmp_path)
        assert only(doctor.check_weights()).verdict == FAIL
