"""`psr train pose`: from nothing to a pose network, by command line alone."""

from __future__ import annotations

import json
import shlex
import sys

import pytest
import torch
from safetensors.torch import load_file

from psr_cli.main import main
from psr_cli.stop_request import StopRequest
from psr_cli.train_pose import SHAPES
from psr_core.files import file_sha256
from psr_perception.pose.checkpoint import load_pose_network, read_pose_description
from psr_perception.pose.solids import SOLIDS
from tests.psr_cli.training_runs import psr_train
from tests.psr_perception.pose.symsol_copy import write_symsol

SMALL = (
    "--resolution 8 --channels 8 --blocks 1 --features 8 --hidden 8 --steps 4 --batch-size 4 --noises 2 "
    "--warmup-steps 1 --shapes cube,cone"
)


@pytest.fixture
def psr(tmp_path, monkeypatch):
    """Runs `psr train pose` in a folder of its own; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    with psr_train(f"pose --out out {SMALL}", monkeypatch) as run:
        yield run


def test_the_default_is_every_solid():
    assert tuple(SOLIDS) == SHAPES


def test_makes_a_folder_that_the_network_loads_from(psr, tmp_path, capsys):
    assert psr("--seed 4 --threads 1 --precision float32") == 0
    network, checkpoint_id = load_pose_network("out")
    told = capsys.readouterr().out
    assert f"saved {checkpoint_id} in out" in told
    assert "cube, cone at 8 pixels" in told
    assert (network.config.image_size, network.config.channels) == (8, (8,))
    card = read_pose_description("out")["card"]
    assert card["command"] == shlex.join(sys.argv)
    assert (card["seed"], card["settings"]["noises"], card["data"]["solids"]) == (4, 2, ["cube", "cone"])
    assert card["settings"]["precision"] == "float32"
    assert card["git_revision"]
    assert card["sha256"] == file_sha256(tmp_path / "out" / "pose.safetensors")
    weights = load_file("out/pose.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


def test_tells_the_loss_and_the_error_of_samples_on_images_held_out(psr, tmp_path, capsys):
    assert psr() == 0
    metrics = read_pose_description("out")["card"]["metrics"]
    assert f"samples are {metrics['sampling_error_degrees']:.2f} degrees off" in capsys.readouterr().out
    # four steps teach nothing: chance is 41 degrees for the cube and 90 for the cone
    assert metrics["sampling_error_degrees"] == pytest.approx(65, abs=10)
    (logged,) = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    assert metrics["valid_loss"] == json.loads(logged)["valid_loss"] > 0


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_stops_when_asked_and_resumes_to_the_same_weights(psr, monkeypatch, tmp_path, capsys, precision):
    assert psr(f"--precision {precision}") == 0
    whole = (tmp_path / "out" / "pose.safetensors").read_bytes()
    (tmp_path / "out").rename(tmp_path / "whole")
    asked = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", lambda self: next(asked))
        assert psr(f"--precision {precision}") == 130
    assert "stopped and saved at step 2; the same command with --resume continues" in capsys.readouterr().out
    assert (tmp_path / "out" / "pose.safetensors").read_bytes() != whole
    assert psr(f"--precision {precision} --resume") == 0
    assert (tmp_path / "out" / "pose.safetensors").read_bytes() == whole


def test_learns_from_a_copy_of_symsol(psr, tmp_path, capsys):
    write_symsol(tmp_path / "symsol")
    assert psr("--symsol symsol") == 0
    card = read_pose_description("out")["card"]
    assert card["data"] == {"symsol": ["cone", "cube"], "images": 8}
    assert card["metrics"]["sampling_error_degrees"] == pytest.approx(65, abs=25)  # chance, by 8 images
    assert psr("--resume") == 2  # rendered pictures are another run
    assert "out" in capsys.readouterr().err


def test_the_reference_network_has_its_own_size(psr, monkeypatch):
    asked = {}
    from psr_perception.pose import training

    def stop(config, *_):
        asked["config"] = config
        raise ValueError("enough")

    monkeypatch.setattr(training, "PoseTrainer", stop)
    assert main(["train", "pose", "--out", "out", "--network", "reference"]) == 2
    assert (asked["config"].image_size, asked["config"].blocks) == (224, (3, 4, 6, 3))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--shapes cube,ball", "shapes has 'ball', expected some of: tetrahedron"),
        (
            "--symsol nowhere",
            "nowhere/train/rotations.npz is missing; expected symsol_dataset.zip unpacked into nowhere",
        ),
        ("--symsol nowhere --shapes ball", "shapes has 'ball', expected some of: tetrahedron"),
        ("--resolution 9", "image_size is 9, expected a multiple of 2"),
        ("--steps 0", "steps is 0"),
        ("--noises 0", "noises is 0"),
        ("--threads 0", "threads is 0, expected 1 or more"),
        ("--device tpu0", "device is 'tpu0', expected cpu, cuda"),
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(psr, tmp_path, capsys, options, told):
    assert psr(options) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_overwritten_unasked(psr, capsys):
    assert psr() == 0
    assert psr() == 2
    assert "already holds a training run; add --resume" in capsys.readouterr().err
