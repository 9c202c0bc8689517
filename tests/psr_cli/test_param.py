"""`psr param` against a node with steering parameters in another process."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs ROS")

from psr_cli import param
from psr_cli.demo import free_domain

pytestmark = pytest.mark.ros

NODE = """
import sys
from psr_ros.lifecycle import SuiteNode, run_node
from psr_ros.steering_parameters import SteeringParameters

class Policy(SuiteNode):
    def __init__(self):
        super().__init__("policy")
        SteeringParameters(self)
        self.declare("weights", "somewhere", "Folder of the checkpoint.")

sys.exit(run_node(Policy))
"""


@pytest.fixture(scope="module", autouse=True)
def _domain() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(free_domain(os.getpid())))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield


@pytest.fixture(scope="module")
def node(_domain: None) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", NODE])
    yield
    process.terminate()
    assert process.wait(20) == 0


def psr_param(*words: str) -> int:
    parser = argparse.ArgumentParser()
    param.add_parser(parser.add_subparsers())
    args = parser.parse_args(["param", *words])
    return int(args.run(args))


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    return capsys


class TestWithoutNodes:
    @pytest.fixture(autouse=True)
    def _impatience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(param, "DISCOVERY", 0.5)
        monkeypatch.setattr(param, "LISTING", 0.5)

    def test_nothing_to_list(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("list") == 1
        assert "no node is running here" in out.readouterr().err

    def test_an_absent_node(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("get", "policy", "steering.k") == 1
        assert out.readouterr().err.startswith("no node /policy; running: none. Check the name and ROS_DOMAIN_ID")


@pytest.mark.usefixtures("node")
class TestWithANode:
    def test_set_is_seen_by_get(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("set", "/policy", "steering.k", "2") == 0
        assert out.readouterr().out == "/policy steering.k = 2.0\n"
        assert psr_param("get", "policy", "steering.k") == 0
        assert out.readouterr().out == "2.0\n"

    def test_a_refusal_gives_the_reason_and_the_value_that_stays(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("set", "policy", "steering.sigma", "0.5") == 0
        out.readouterr()
        for value in ("0", "nan"):
            assert psr_param("set", "policy", "steering.sigma", value) == 1
            error = out.readouterr().err
            assert error.startswith("/policy refused: ") and error.endswith("; steering.sigma stays 0.5\n"), error
        assert psr_param("set", "policy", "steering.sigma", "much") == 1
        assert "'much', expected a number" in out.readouterr().err

    def test_an_unknown_parameter_is_answered_with_those_there_are(self, out: pytest.CaptureFixture[str]) -> None:
        for words in (("get", "policy", "k"), ("set", "policy", "k", "1"), ("describe", "policy", "k")):
            assert psr_param(*words) == 1
            error = out.readouterr().err
            assert error.startswith("/policy has no parameter k; it has: ") and "steering.k" in error

    def test_an_absent_node_is_answered_with_those_there_are(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("list", "polcy") == 1
        assert "no node /polcy; running: /policy" in out.readouterr().err

    def test_list_shows_every_node(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("list") == 0
        lines = out.readouterr().out.splitlines()
        assert lines[0] == "/policy"
        assert "  weights: somewhere" in lines and "  steering.cap: false" in lines

    def test_describe_gives_type_range_and_meaning(self, out: pytest.CaptureFixture[str]) -> None:
        assert psr_param("describe", "policy", "steering.k") == 0
        first, second = out.readouterr().out.splitlines()
        assert first == "steering.k (double), 0 to 1000"
        assert second.strip().startswith("Sharpness")
        assert psr_param("describe", "policy") == 0
        text = out.readouterr().out
        assert "steering.method (string), one of: psr, " in text and "Folder of the checkpoint." in text


def test_values_look_the_way_they_are_typed() -> None:
    assert [param.text(value) for value in (True, 1.5, 3, "a", [1.0, False], None)] == [
        "true",
        "1.5",
        "3",
        "a",
        "[1.0, false]",
        "not set",
    ]
