"""The set-up's own rules: what is done again and when, what is said when a step fails, what a user has to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """tools/set_up.py, working in a folder of the test's own."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import set_up as module

    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (tmp_path / "log").write_text("")
    places = {"ROOT": tmp_path, "VENV": venv, "VENV_PYTHON": venv / "bin" / "python", "STAMPS": venv / ".setup"}
    for name, path in {**places, "INSTALLING": venv / ".setup" / "installing", "LOG": tmp_path / "log"}.items():
        monkeypatch.setattr(module, name, path)
    return module


@pytest.fixture
def system_packages(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import system_packages as module

    return module


class TestOnce:
    def test_a_finished_step_is_not_done_again(self, set_up):
        done = []
        for _ in range(2):
            set_up.once("step", "key", lambda: done.append("done"))
        assert done == ["done"]

    def test_another_key_does_it_again(self, set_up):
        done = []
        for key in ("old", "new"):
            set_up.once("step", key, lambda key=key: done.append(key))
        assert done == ["old", "new"]

    def test_a_step_that_fails_is_done_again_even_under_its_old_key(self, set_up):
        def fail():
            raise set_up.SetupError("no")

        done = []
        set_up.once("step", "old", lambda: done.append(1))
        with pytest.raises(set_up.SetupError):
            set_up.once("step", "new", fail)
        set_up.once("step", "old", lambda: done.append(2))
        assert done == [1, 2]


class TestKey:
    def test_changes_with_a_files_content_and_name(self, set_up, tmp_path):
        first, second = tmp_path / "a", tmp_path / "b"
        first.write_text("text")
        second.write_text("text")
        keys = [set_up.key_of(first), set_up.key_of(second)]
        first.write_text("other text")
        keys.append(set_up.key_of(first))
        assert len(set(keys)) == 3

    def test_stays_when_nothing_changes(self, set_up, tmp_path):
        assert set_up.key_of("3.11", tmp_path / "a") == set_up.key_of("3.11", tmp_path / "a")

    def test_changes_with_the_folder_since_environments_cannot_be_moved(self, set_up, monkeypatch, tmp_path):
        before = set_up.key_of("3.11")
        monkeypatch.setattr(set_up, "ROOT", tmp_path / "elsewhere")
        assert set_up.key_of("3.11") != before


class TestVenv:
    def sound(self, set_up, tmp_path):
        set_up.VENV_PYTHON.symlink_to(sys.executable)
        (set_up.VENV / "bin" / "pip").write_text(f"#!{set_up.VENV_PYTHON}\n")

    def test_a_whole_one_is_kept(self, set_up, tmp_path):
        self.sound(set_up, tmp_path)
        assert set_up.venv_is_sound()

    def test_one_that_was_moved_is_not(self, set_up, tmp_path):
        self.sound(set_up, tmp_path)
        (set_up.VENV / "bin" / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
        assert not set_up.venv_is_sound()

    @pytest.mark.parametrize("lost", ["pip", "python"])
    def test_one_without_python_or_pip_is_not(self, set_up, tmp_path, lost):
        self.sound(set_up, tmp_path)
        (set_up.VENV / "bin" / lost).unlink()
        assert not set_up.venv_is_sound()

    def test_one_in_which_pip_was_killed_is_not(self, set_up, tmp_path):
        self.sound(set_up, tmp_path)
        with set_up.pip_at_work():
            assert not set_up.venv_is_sound()
        assert set_up.venv_is_sound()

    @pytest.mark.parametrize(
        ("said", "sound"), [("Collecting torch\n", True), ("Installing collected packages: torch\n", False)]
    )
    def test_a_failure_of_pip_matters_once_it_began_to_install(self, set_up, tmp_path, said, sound):
        self.sound(set_up, tmp_path)
        with pytest.raises(set_up.SetupError), set_up.pip_at_work():
            set_up.LOG.write_text(set_up.LOG.read_text() + said)
            raise set_up.SetupError("no network")
        assert set_up.venv_is_sound() is sound


class TestPython:
    def test_one_that_is_supported_is_found(self, set_up, monkeypatch):
        monkeypatch.setenv("PYTHON", sys.executable)
        assert set_up.is_supported(set_up.find_python())

    def test_one_that_is_not_there_is_named_with_the_cure(self, set_up, monkeypatch):
        monkeypatch.setenv("PYTHON", "python9.9")
        with pytest.raises(set_up.SetupError, match=r"3\.10, 3\.11 or 3\.12 among: python9\.9; install one"):
            set_up.find_python()


class TestEnvironment:
    def test_another_ros_is_kept_out(self, set_up, monkeypatch):
        for name in ("PYTHONPATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"):
            monkeypatch.setenv(name, "/opt/ros/jazzy")
        assert "/opt/ros/jazzy" not in set_up.clean_environment().values()

    @pytest.mark.parametrize("bootstrapped", [True, False])
    def test_library_paths_go_only_when_another_environment_set_them(self, set_up, monkeypatch, bootstrapped):
        monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere/lib")
        monkeypatch.delenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", raising=False)
        if bootstrapped:
            monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
        assert ("LD_LIBRARY_PATH" in set_up.clean_environment()) is not bootstrapped


class TestRun:
    def test_says_what_is_done(self, set_up, capsys):
        set_up.run("[1/6] greeting", ["echo", "hello"], {"PATH": "/usr/bin:/bin"})
        assert capsys.readouterr().out.startswith("[1/6] greeting ...\n[1/6] greeting: done in 0 s")
        assert set_up.LOG.read_text() == "hello\n"

    def test_a_failure_shows_its_last_words_and_where_the_rest_is(self, set_up):
        with pytest.raises(set_up.SetupError) as caught:
            set_up.run("[1/6] greeting", ["sh", "-c", "echo no paper; exit 3"], {"PATH": "/usr/bin:/bin"})
        message = str(caught.value)
        assert "greeting failed (exit code 3)" in message and "no paper" in message and str(set_up.LOG) in message


class TestSystemPackages:
    @pytest.fixture
    def missing(self, system_packages, monkeypatch):
        """install_missing on a machine that lacks these, run as this user; returns the commands it gives."""

        def install(packages, user, offered=("cmake", "libegl1"), apt=True):
            monkeypatch.setattr(system_packages, "needed", lambda python, with_tests: packages)
            monkeypatch.setattr(system_packages.os, "geteuid", lambda: user)
            monkeypatch.setattr(system_packages, "_apt_offers", lambda name: name in offered)
            monkeypatch.setattr(system_packages.shutil, "which", lambda name: f"/usr/bin/{name}" if apt else None)
            commands = []
            system_packages.install_missing("python3", False, commands.append)
            return [" ".join(command) for command in commands]

        return install

    @pytest.fixture
    def packages(self, system_packages):
        def make(present, *names, optional=False):
            return [system_packages.SystemPackage(name, present, "a purpose", optional) for name in names]

        return make

    def test_nothing_is_done_when_everything_is_there(self, missing, packages):
        assert missing(packages(True, "cmake", "make"), user=0) == []

    def test_root_gets_what_is_missing(self, missing, packages):
        update, install = missing(packages(False, "cmake") + packages(True, "make"), user=0)
        assert update.endswith("update")
        assert install.endswith("install -y --no-install-recommends cmake")

    def test_a_user_is_told_what_to_install(self, missing, packages):
        with pytest.raises(ValueError, match=r"sudo apt-get update && sudo apt-get install -y cmake libegl1$"):
            missing(packages(False, "cmake") + packages(False, "libegl1", optional=True), user=1000)

    def test_an_optional_one_that_apt_does_not_know_is_done_without(self, missing, packages, capsys):
        assert missing(packages(False, "libosmesa6", optional=True), user=1000) == []
        assert "going on without libosmesa6" in capsys.readouterr().out

    def test_without_apt_the_names_are_told_all_the_same(self, missing, packages):
        with pytest.raises(ValueError, match=r"(?s)cmake.*your distribution's packages"):
            missing(packages(False, "cmake"), user=0, offered=(), apt=False)

    def test_what_was_installed_is_seen(self, system_packages):
        packages = {package.name: package for package in system_packages.needed(sys.executable, True)}
        assert "chromium" in packages
        assert [name for name, package in packages.items() if not package.present and not package.optional] == []
