"""The command's front door: which subcommands there are, and what a user sees when something goes wrong."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from psr_cli import main as front
from psr_cli.main import SUBCOMMANDS, build_parser, main

HEAVY = ("torch", "rclpy", "psr_interfaces", "mujoco", "robosuite", "diffusers", "matplotlib", "rosbags")


@pytest.fixture
def subcommand(monkeypatch):
    """Makes `psr fake` do what the test gives."""

    def install(action):
        def add_parser(subparsers):
            subparsers.add_parser("fake", help="made for a test").set_defaults(run=action)

        monkeypatch.setitem(sys.modules, "psr_cli.fake", SimpleNamespace(add_parser=add_parser))
        monkeypatch.setattr(front, "SUBCOMMANDS", ("fake",))

    return install


def raising(error):
    def action(args):
        raise error

    return action


class TestSubcommands:
    def test_help_lists_every_one_of_them(self, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["--help"])
        assert stop.value.code == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        listed = {words[0] for words in lines if len(words) > 1}  # with a text of its own
        assert set(SUBCOMMANDS) <= listed

    @pytest.mark.parametrize("name", SUBCOMMANDS)
    def test_each_has_its_own_help(self, name, capsys):
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: psr {name}")

    def test_help_imports_nothing_heavy(self):
        code = "import sys; from psr_cli.main import build_parser; build_parser(); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert {name.partition(".")[0] for name in done.stdout.split()} & set(HEAVY) == set()

    def test_only_the_one_that_is_asked_for_is_imported(self):
        code = "import sys; from psr_cli.main import build_parser; build_parser(['doctor']); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        imported = set(done.stdout.split())
        assert "psr_cli.doctor" in imported
        assert not imported & {f"psr_cli.{name}" for name in SUBCOMMANDS if name != "doctor"}

    def test_an_unknown_one_is_refused_with_the_known_ones(self, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["steer"])
        assert stop.value.code == 2
        message = capsys.readouterr().err
        assert "steer" in message and all(name in message for name in SUBCOMMANDS)

    def test_an_unknown_option_is_refused(self, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", "--harder"])
        assert stop.value.code == 2
        assert "--harder" in capsys.readouterr().err

    def test_none_at_all_is_refused(self, capsys):
        with pytest.raises(SystemExit) as stop:
            main([])
        assert stop.value.code == 2
        assert "COMMAND" in capsys.readouterr().err

    def test_the_exit_code_is_the_subcommands(self, subcommand):
        subcommand(lambda args: 7)
        assert main(["fake"]) == 7


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (ValueError("steering.k is -1, expected > 0"), "steering.k is -1, expected > 0"),
            (FileNotFoundError("no policy folder at models/x"), "no policy folder at models/x"),
            (PermissionError(13, "Permission denied", "bag"), "[Errno 13] Permission denied: 'bag'"),
            (TimeoutError("no answer from /sim within 5 s"), "no answer from /sim within 5 s"),
            (ValueError("first line\n  second line"), "first line second line"),
            (ValueError(), "ValueError"),
        ],
    )
    def test_a_known_one_is_one_line_and_exit_code_2(self, subcommand, capsys, error, text):
        subcommand(raising(error))
        assert main(["fake"]) == 2
        streams = capsys.readouterr()
        assert (streams.out, streams.err) == ("", f"psr: error: {text}\n")

    def test_a_missing_package_comes_with_the_cure(self, subcommand, capsys):
        subcommand(raising(ModuleNotFoundError("No module named 'rclpy'")))
        assert main(["fake"]) == 2
        message = capsys.readouterr().err
        assert "No module named 'rclpy'" in message and "make setup" in message and message.count("\n") == 1

    def test_a_fault_of_the_suite_keeps_its_traceback(self, subcommand):
        subcommand(raising(KeyError("noise_pred")))
        with pytest.raises(KeyError):
            main(["fake"])

    @pytest.mark.parametrize("words", [["--debug", "fake"], ["fake", "--debug"]])
    def test_debug_shows_the_traceback_of_a_known_one(self, subcommand, words):
        subcommand(raising(ValueError("wrong")))
        with pytest.raises(ValueError, match="wrong"):
            main(words)

    def test_ctrl_c_is_exit_code_130_without_a_word(self, subcommand, capsys):
        subcommand(raising(KeyboardInterrupt()))
        assert main(["fake"]) == 130
        assert capsys.readouterr() == ("", "")

    def test_a_reader_that_leaves_early_is_no_error(self):
        code = (
            "import sys, types; from psr_cli import main\n"
            "def run(args):\n"
            "    for number in range(10**6): print(number)\n"
            "fake = types.SimpleNamespace(add_parser=lambda s: s.add_parser('fake').set_defaults(run=run))\n"
            "sys.modules['psr_cli.fake'] = fake; main.SUBCOMMANDS = ('fake',)\n"
            "sys.exit(main.main(['fake']))"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(timeout=60) == 1


def test_the_module_runs_like_the_command():
    done = subprocess.run([sys.executable, "-m", "psr_cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("psr ")


def test_a_subcommand_is_required_once():
    assert len(set(SUBCOMMANDS)) == len(SUBCOMMANDS)
    assert build_parser(["doctor"]).parse_args(["doctor"]).json is False
