"""ROS parameter files: which parts of one are a node's, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from psr_cli.main import main
from psr_cli.parameter_file import read_parameters

SECTIONS = """
/**: {ros__parameters: {a: 1, b: 1, c: 1}}
/other: {ros__parameters: {b: 2, z: 2}}
/one: {ros__parameters: {b: 3, group: {x: true, deeper: {y: text}}}}
one: {ros__parameters: {c: 4, group.z: 0.5}}
"""
BROKEN = [
    ("", "holds NoneType, expected a ROS parameter file, /policy: {ros__parameters: "),
    ("[1, 2]", "holds list, expected a ROS parameter file"),
    ("{a: [", "cannot be read as YAML"),
    ("/sim: {ros__parameters: {task: Lift}}", "has no parameters for /policy, only for: /sim"),
    ("/policy: {k: 2}", "section /policy has no mapping ros__parameters"),
    ("/policy: {ros__parameters: 2}", "section /policy has no mapping ros__parameters"),
    ("/policy: {ros__parameters: {steering: {kk: 2}}}", "steering.kk is '2', but node policy has no such parameter"),
]


def test_sections_of_the_node_and_of_every_node_count_and_the_last_wins(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SECTIONS)
    wanted = {"a": 1, "b": 3, "c": 4, "group.x": True, "group.deeper.y": "text", "group.z": 0.5}
    assert read_parameters(tmp_path / "p.yaml", "one") == wanted


def test_ros_reads_the_same(tmp_path: Path, ros_domain: int) -> None:
    rclpy_node = pytest.importorskip("rclpy.node", reason="needs ROS")
    from rclpy.context import Context

    (tmp_path / "p.yaml").write_text(SECTIONS)
    context = Context()
    context.init(args=[], domain_id=ros_domain)
    node = rclpy_node.Node(
        "one",
        context=context,
        cli_args=["--ros-args", "--params-file", str(tmp_path / "p.yaml")],
        automatically_declare_parameters_from_overrides=True,
        start_parameter_services=False,
    )
    try:
        found = read_parameters(tmp_path / "p.yaml", "one")
        assert {name: node.get_parameter(name).value for name in found} == found
        assert not node.has_parameter("z")
    finally:
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize("graph", ["robot", "sim"])
@pytest.mark.parametrize(("content", "told"), BROKEN)
def test_another_file_is_refused_by_name_before_anything_runs(
    graph: str, content: str, told: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("psr_cli.up.supervise", None)
    file = tmp_path / "p.yaml"
    file.write_text(content)
    assert main(["up", graph, f"policy_parameters:={file}"]) == 2
    message = capsys.readouterr().err
    assert f"{file}" in message and told in message and message.count("\n") == 1


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ValueError, match=r"p\.yaml cannot be read as YAML"):
        read_parameters(tmp_path / "p.yaml", "one")


def test_an_absent_file_is_refused(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("psr_cli.up.supervise", None)
    assert main(["up", "sim", "policy_parameters:=nowhere.yaml"]) == 2
    assert f"no parameter file at {tmp_path}/nowhere.yaml" in capsys.readouterr().err


def test_what_is_given_goes_together_with_what_the_file_says(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("psr_cli.up.supervise", None)
    parameters = {"sampler": "ddpm", "steering.method": "nns", "steering.k": 2.0}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"/policy": {"ros__parameters": parameters}}))
    assert main(["up", "sim", f"policy_parameters:={tmp_path / 'p.yaml'}", "sampler:=ddim"]) == 2
    assert "DDIMScheduler cannot take steering.method 'nns'" in capsys.readouterr().err
