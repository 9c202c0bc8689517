"""`psr convert`, from a foreign file to a policy folder, by command line alone."""

from __future__ import annotations

import os

import pytest
import torch

from psr_cli.main import main
from psr_policy.checkpoint import load_policy, read_description
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.chi_writer import write_chi


@pytest.fixture
def source(tmp_path):
    return write_chi(tmp_path / "epoch=26.ckpt", tiny_policy())


def test_writes_a_policy_and_says_what_it_is(source, tmp_path, capsys, monkeypatch):
    words = ["convert", str(source), str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["psr", *words])
    assert main(words) == 0
    policy = load_policy(tmp_path / "out")
    streams = capsys.readouterr()
    assert policy.checkpoint_id in streams.out and "unet" in streams.out
    assert "0.05 s was assumed" in streams.err
    assert read_description(tmp_path / "out")["card"]["command"].startswith("psr convert ")


def test_takes_names_and_the_step_period(source, tmp_path, capsys):
    names = ",".join("abcdefghij")
    options = ["--obs-keys", "keypoint:4,agent:1", "--action-names", names, "--step-period", "0.1", "--format", "chi"]
    assert main(["convert", str(source), str(tmp_path / "out"), *options]) == 0
    config = load_policy(tmp_path / "out").config
    assert config.obs_keys == (("keypoint", 4), ("agent", 1))
    assert (config.action_names, config.step_period) == (tuple(names.split(",")), 0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--obs-keys", "keypoint:3"], "obs keys name 3 numbers"),
        (["--action-names", "x,y"], "2 action names"),
        (["--step-period", "-1"], "step_period is -1.0, expected seconds > 0"),
        (["--format", "lerobot"], "is a checkpoint of format chi, not lerobot"),
    ],
)
def test_an_option_that_does_not_fit_is_one_line(source, tmp_path, capsys, options, told):
    assert main(["convert", str(source), str(tmp_path / "out"), *options]) == 2
    message = capsys.readouterr().err
    assert told in message and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["keypoint", "keypoint:", ":3", "keypoint:0", "keypoint:x", "a:1,,b:2"])
def test_sizes_must_be_there(source, tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        main(["convert", str(source), str(tmp_path / "out"), "--obs-keys", text])
    assert "expected NAME:SIZE" in capsys.readouterr().err


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, capsys, zipped):
    marker, source = tmp_path / "marker", tmp_path / "evil.ckpt"
    torch.save({"cfg": Evil(marker), "state_dicts": {}}, source, _use_new_zipfile_serialization=zipped)
    assert main(["convert", str(source), str(tmp_path / "out")]) == 2
    assert main(["info", str(source)]) == 1
    streams = capsys.readouterr()
    assert ("posix.system" if zipped else "not a zip archive") in streams.err
    assert ("posix.system" if zipped else "not a zip archive") in streams.out
    assert not marker.exists() and not (tmp_path / "out").exists()
