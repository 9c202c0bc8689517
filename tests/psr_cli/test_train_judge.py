"""`psr train judge`: from a folder of pictures of objects to a CLIP folder, by command line alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from psr_cli.stop_request import StopRequest
from psr_core.files import file_sha256
from psr_eval.clip_scores import ClipScorer
from tests.object_pictures import write_objects
from tests.psr_cli.training_runs import psr_train

SMALL = (
    "--patches 4 --width 16 --layers 1 --text-width 16 --text-layers 1 --features 8 --steps 4 --batch-size 4 "
    "--warmup-steps 1 --precision float32"
)


@pytest.fixture
def psr(tmp_path, monkeypatch):
    """Runs `psr train judge` in a folder of its own that holds pictures; returns the exit code."""
    write_objects(tmp_path / "objects", 12, 3)
    monkeypatch.chdir(tmp_path)
    with psr_train(f"judge --data objects {SMALL}", monkeypatch) as run:
        yield run


def test_makes_a_folder_that_scores_images(psr, tmp_path, capsys):
    assert psr("--out out") == 0
    said = capsys.readouterr().out
    assert "12 pictures to train on, 3 held out" in said and "saved out/clip" in said
    assert "of held-out pictures it names kind " in said
    scorer = ClipScorer(tmp_path / "out/clip", torch.device("cpu"))
    images = list(np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8))  # of another size
    scores = scorer.scores(images, ["a red mug", "an orange metal table, side view"])
    assert scores.shape == (2,) and np.isfinite(scores).all()
    assert scorer.image_features(images).shape == (2, 8)
    with pytest.raises(ValueError, match="text 'a zebra' says 'zebra', which this model does not know"):
        scorer.scores(images[:1], ["a zebra"])


def test_leaves_a_card(psr, tmp_path):
    assert psr("--out out --seed 5") == 0
    card = json.loads((tmp_path / "out/clip/card.json").read_text())
    assert card["command"].startswith("psr train judge --data objects")
    assert card["seed"] == 5 and card["git_revision"]
    assert (card["data"]["images"], card["data"]["held_out"]) == (12, 3)
    assert card["metrics"]["steps"] == 4 and card["metrics"]["valid_loss"] > 0
    for name in ("kind", "colour", "material", "view"):
        assert 0 <= card["metrics"]["named"][name]["share"] <= 1
    weights = tmp_path / "out/clip/model.safetensors"
    assert card["sha256"] == {weights.name: file_sha256(weights)}
    tensors = load_file(weights)
    # The weights, and no more; positions are integers.
    stored = [tensor for tensor in tensors.values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in stored} == {torch.float16}
    assert card["parameters"] == sum(tensor.numel() for tensor in stored)


def test_stopped_and_resumed_it_ends_with_the_same_weights(psr, tmp_path, monkeypatch, capsys):
    assert psr("--out whole") == 0
    with monkeypatch.context() as patch:
        asked = iter([False] * 2 + [True] * 100)
        patch.setattr(StopRequest, "requested", lambda self: next(asked))
        assert psr("--out part") == 130
    assert "stopped and saved at step 2; the same command with --resume continues" in capsys.readouterr().out
    assert psr("--out part --resume") == 0
    whole, part = (file_sha256(tmp_path / name / "clip/model.safetensors") for name in ("whole", "part"))
    assert whole == part


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--patches 5", "pictures have 16 pixels, expected a multiple of 5"),
        ("--patches 0", "patches is 0, expected an integer >= 1"),
        ("--width 18", "width is 18, expected a multiple of 4"),
        ("--text-width 6", "text_width is 6, expected a multiple of 4"),
        ("--batch-size 1", "batch_size is 1, expected an integer >= 2"),
        ("--threads 0", "threads is 0, expected 1 or more"),
    ],
)
def test_errors_are_one_line(psr, tmp_path, capsys, options, complaint):
    assert psr(f"--out out {options}") == 2
    assert complaint in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
