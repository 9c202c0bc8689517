"""What `psr demo` does around the graph; tests/end_to_end runs the graph itself."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

import pytest

from psr_cli import demo


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    demo.add_parser(parser.add_subparsers())
    return parser.parse_args(["demo", *words])


class TestOutputFolder:
    def test_nothing_to_keep(self, tmp_path: Path) -> None:
        assert demo.keep_older(tmp_path / "demo") is None

    def test_earlier_runs_get_the_next_free_number(self, tmp_path: Path) -> None:
        folder = tmp_path / "demo"
        for number in (1, 2, 3):
            folder.mkdir()
            (folder / "content").write_text(f"run {number}")
            assert demo.keep_older(folder) == tmp_path / f"demo.{number}"
            assert not folder.exists()
        assert [(tmp_path / f"demo.{n}" / "content").read_text() for n in (1, 2, 3)] == ["run 1", "run 2", "run 3"]


class TestIsolation:
    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR"):
            monkeypatch.setenv(name, "remembered by monkeypatch")
            monkeypatch.delenv(name)

    def test_a_run_keeps_to_itself(self, tmp_path: Path) -> None:
        demo.isolate(tmp_path)
        assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 100
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert os.environ["ROS_LOG_DIR"] == str(tmp_path / "log")

    def test_a_domain_that_was_chosen_stays(self, tmp_path: Path) -> None:
        os.environ |= {"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
        demo.isolate(tmp_path)
        assert os.environ["ROS_DOMAIN_ID"] == "7"
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"

    def test_a_domain_in_use_is_passed_over(self) -> None:
        domain = demo.free_domain(58)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
            participant.bind(("", 7400 + 250 * domain + 10))
            assert demo.free_domain(domain - 1) == domain + 1
        assert demo.free_domain(domain - 1) == domain

    def test_every_process_id_leads_to_a_domain(self) -> None:
        assert {demo.free_domain(start) in range(1, 101) for start in (0, 99, 100, 4_194_304)} == {True}


class TestCommandLine:
    @pytest.mark.parametrize("episodes", ["0", "1", "5", "-2"])
    def test_both_halves_need_the_same_number_of_episodes(self, episodes: str, tmp_path: Path) -> None:
        args = parse(f"--episodes={episodes}", "--out", str(tmp_path / "demo"))
        with pytest.raises(ValueError, match=f"--episodes is {episodes}, expected an even number"):
            args.run(args)
        assert not (tmp_path / "demo").exists()

    @pytest.mark.parametrize(
        ("option", "file"), [("--checkpoint", "policy.safetensors"), ("--pose-checkpoint", "pose.safetensors")]
    )
    def test_a_missing_checkpoint_is_found_before_anything_starts(self, tmp_path: Path, option: str, file: str) -> None:
        args = parse(option, str(tmp_path / "nothing"), "--out", str(tmp_path / "demo"))
        with pytest.raises(FileNotFoundError, match=f"nothing/{file}"):
            args.run(args)
        assert not (tmp_path / "demo").exists()
