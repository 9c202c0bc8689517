"""`psr up` in a process of its own, with small scripts in the place of nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from psr_cli import up
from psr_cli.graph import load_graph

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
PSR = (
    "import argparse\nfrom psr_cli import up\nparser = argparse.ArgumentParser()\n"
    "up.add_parser(parser.add_subparsers())\nargs = parser.parse_args()\nraise SystemExit(args.run(args))"
)
POLITE = """
import os, signal, sys, time

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
print("pid", os.getpid(), "parameters", open(sys.argv[-1]).read().split(), flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("bye")
"""
DYING = "import sys, time\ntime.sleep(0.2)\nsys.exit('out of memory')"
GRAPH = """
description: two nodes
arguments: {size: {default: 1, description: how large}}
nodes:
  - {name: one, module: polite, executable: one, parameters: {size: $(size)}}
  - {name: two, module: SECOND, executable: two}
"""
# A simulator's action without a simulator: the third episode aborts, unless the node dies in the second.
SIMULATOR = """
import os, sys
from psr_interfaces.action import RunEpisodes
from psr_interfaces.msg import EpisodeResult
from psr_ros.lifecycle import SuiteNode, run_node
from rclpy.action import ActionServer

class Simulator(SuiteNode):
    def __init__(self):
        super().__init__("sim")
        self.declare("dies", False, "whether")

    def activate(self):
        self.server = ActionServer(self, RunEpisodes, "~/run_episodes", self.run)

    def deactivate(self):
        self.server.destroy()

    async def run(self, goal):
        if self.parameter("dies"):
            os._exit(7)
        goal.publish_feedback(RunEpisodes.Feedback(finished=1, successes=1))
        outcomes = [0, 1, 2][: goal.request.episodes]
        results = [EpisodeResult(outcome=outcome, reason="no policy" * (outcome == 2)) for outcome in outcomes]
        goal.succeed()
        return RunEpisodes.Result(results=results, successes=1, failures=1, aborted=outcomes.count(2))

sys.exit(run_node(Simulator))
"""


class Up:
    """`psr up graph.yaml ...` in the folder `place`, its output in lines."""

    def __init__(self, place: Path, *words: str) -> None:
        (place / "tmp").mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PSR, "up", str(place / "graph.yaml"), *words],
            env={**os.environ, "PYTHONPATH": f"{place}:{ROOT}", "TMPDIR": str(place / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.lines = self.process.stdout
        self.text = ""

    def until(self, text: str) -> str:
        """The line that holds `text`."""
        for line in self.lines:
            self.text += line
            if text in line:
                return line
        pytest.fail(f"{text!r} did not come, but:\n{self.text}")

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        self.text += self.lines.read()
        return self.process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    for name, body in (("polite", POLITE), ("dying", DYING), ("simulator", SIMULATOR)):
        (tmp_path / f"{name}.py").write_text(body)
    (tmp_path / "graph.yaml").write_text(GRAPH.replace("SECOND", "polite"))
    yield tmp_path
    assert not list((tmp_path / "tmp").glob("*")), "temporary files are left"


def pid_in(line: str) -> int:
    return int(line.split("pid ")[1].split()[0])


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


class TestStopping:
    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_one_signal_stops_everything(self, place: Path, signum: signal.Signals, code: int) -> None:
        run = Up(place)
        pids = [pid_in(run.until("pid ")) for _ in range(2)]
        run.process.send_signal(signum)
        assert run.end() == code
        assert "one | bye" in run.text and "two | bye" in run.text
        assert all(map(gone, pids))

    def test_parameters_arrive(self, place: Path) -> None:
        run = Up(place, "size:=42")
        assert "'size:', '42'" in run.until("one | pid")
        run.process.send_signal(signal.SIGINT)
        run.end()


class TestDeath:
    @pytest.fixture(autouse=True)
    def _second_node_dies(self, place: Path) -> None:
        (place / "graph.yaml").write_text(GRAPH.replace("SECOND", "dying"))

    def test_one_death_stops_the_graph_and_says_why(self, place: Path) -> None:
        run = Up(place)
        assert run.end() == 1
        assert "two ended with exit code 1; the last it printed:" in run.text
        assert run.text.count("out of memory") == 2, "as it came, and in the report"
        assert "one | bye" in run.text
        assert "RESTARTING" not in run.text

    def test_the_others_can_be_left_alive(self, place: Path) -> None:
        run = Up(place, "--keep-going")
        run.until("two ended with exit code 1")
        assert run.process.poll() is None
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
        assert "one | bye" in run.text

    def test_a_node_can_be_started_again_but_not_for_ever(self, place: Path) -> None:
        run = Up(place, "--respawn", "two")
        assert run.end() == 1
        assert run.text.count("RESTARTING two") == 5
        assert run.text.count("two ended with exit code 1") == 6


class TestEpisodes:
    @pytest.fixture(autouse=True)
    def _simulator(self, place: Path, ros_domain: int) -> None:
        pytest.importorskip("rclpy", reason="needs ROS")
        arguments = "arguments: {dies: {default: false, description: whether}}\n"
        node = "{name: sim, module: simulator, executable: sim, parameters: {dies: $(dies)}}"
        (place / "graph.yaml").write_text(f"{arguments}nodes: [{node}]\n")

    def test_a_run_ends_by_itself(self, place: Path) -> None:
        run = Up(place, "--episodes", "2")
        assert run.end() == 0
        assert "1/2 episodes, 1 successes" in run.text
        assert "1 of 2 episodes succeeded, 1 failed\n" in run.text

    def test_an_aborted_episode_is_a_failed_run(self, place: Path) -> None:
        run = Up(place, "--episodes", "4")
        assert run.end() == 1
        assert "1 of 4 episodes succeeded, 1 failed, 1 aborted (no policy: 1), 1 not run\n" in run.text

    def test_a_death_ends_the_wait(self, place: Path) -> None:
        run = Up(place, "dies:=true", "--episodes", "2")
        assert run.end() == 1
        assert "sim ended with exit code 7" in run.text


class TestCommandLine:
    def test_arguments_are_shown_without_starting_anything(self, place: Path) -> None:
        run = Up(place, "--show-args")
        assert run.end() == 0
        assert "size:=1    (int)\n      how large" in run.text and "pid" not in run.text

    def test_only_nodes_of_the_graph_can_be_respawned(self, place: Path) -> None:
        (place / "tmp").mkdir()
        plan = load_graph(str(place / "graph.yaml")).resolve({})
        with pytest.raises(ValueError, match="--respawn three: the graph has no such node; it has: one, two"):
            up._check_respawn(["three"], plan)
