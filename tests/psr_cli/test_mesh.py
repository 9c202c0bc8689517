"""`psr mesh` by command line alone, on tiny priors."""

from __future__ import annotations

import json
import shlex
import signal
import sys

import cv2
import numpy as np
import pytest

from psr_cli.main import main
from psr_cli.stop_request import StopRequest
from psr_core.files import file_sha256
from psr_mesh import builder, settings
from psr_mesh.training import MeshTrainer
from tests.psr_core.distillation.tiny_priors import tiny_multi_view, tiny_novel_view, tiny_text_to_image
from tests.psr_mesh.tiny_meshes import SMALL


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    for name, make in (("sd", tiny_text_to_image), ("mv", tiny_multi_view), ("nv", tiny_novel_view)):
        make(folder / name)
    cv2.imwrite(str(folder / "cat.png"), np.full((20, 20, 3), 128, np.uint8))
    return folder


@pytest.fixture
def mesh(priors, tmp_path, monkeypatch):
    """Runs `psr mesh` in a folder of its own; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builder, "FRAMES", 2)
    monkeypatch.setitem(settings.PRESETS, "quick", {**SMALL, "views": 4})
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(options: str = "", prompt: str = "a cat", prior: str = "sd") -> int:
        words = ["mesh", prompt, *shlex.split(f"--preset quick --prior {priors / prior} {options}")]
        monkeypatch.setattr(sys, "argv", ["psr", *words])
        return main(words)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def entries(folder):
    return json.loads((folder / "catalogue.json").read_text())["assets"]


def test_it_makes_an_object_and_drops_it(mesh, tmp_path, capsys):
    assert mesh("--seed 3 --k 2 --sigma 0.5 --set grid=3 --steps 3") == 0
    out = capsys.readouterr().out
    assert "saved runs/catalogue/a_cat_3" in out and "dropped: " in out and " MB" in out
    (entry,) = entries(tmp_path / "runs/catalogue")
    assert entry["made"]["steering"]["k"] == 2.0 and entry["made"]["settings"]["options"] == {"grid": 3}
    assert entry["results"]["drop_test"]["problems"] == [] or "dropped: lies still" not in out
    assert (tmp_path / "runs/catalogue" / entry["thumbnail"]).is_file()
    assert (tmp_path / "runs/mesh/a_cat_3/preview.png").is_file()


def test_stopped_and_resumed_it_is_the_same_mesh(mesh, tmp_path, monkeypatch, capsys):
    assert mesh("--name whole") == 0
    with monkeypatch.context() as patch:
        asked = iter([False] * 2 + [True] * 100)
        patch.setattr(StopRequest, "requested", lambda self: next(asked))
        assert mesh("--name part") == 130
    assert "--resume continues" in capsys.readouterr().out
    assert mesh("--name part --resume") == 0
    digests = [file_sha256(tmp_path / f"runs/catalogue/{name}/visual.obj") for name in ("whole", "part")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("prior", "options"), [("mv", ""), ("nv", "--image {}/cat.png --image-elevation 20")])
def test_priors_of_other_kinds(mesh, tmp_path, priors, prior, options):
    assert mesh("--name cat " + options.format(priors), prior=prior) == 0
    assert [entry["name"] for entry in entries(tmp_path / "runs/catalogue")] == ["cat"]


@pytest.mark.parametrize(
    ("options", "prompt", "prior", "complaint"),
    [
        ("", " ", "sd", "prompt is empty"),
        ("", "a cat", "nowhere", "does not exist"),
        ("", "a cat", "nv", "image is missing"),
        ("--image cat.png", "a cat", "sd", "image is cat.png, expected none"),
        ("--views 3", "a cat", "mv", "views is 3, expected a multiple of 4"),
        ("--set kappa=fixed", "a cat", "sd", "dsd has no option kappa"),
        ("--set kappa", "a cat", "sd", "--set kappa: expected NAME=VALUE"),
        ("--method nfsd", "a cat", "sd", "nfsd: negative is missing"),
        ("--k 0", "a cat", "sd", "steering.k is 0"),
        ("--name A/B", "a cat", "sd", "name is 'A/B'"),
        ("--longest-side 9", "a cat", "sd", "longest_side is 9"),
        ("--catalogue /dev/null/x", "a cat", "sd", "/dev/null"),
        ("--out /dev/null/x", "a cat", "sd", "/dev/null"),
        ("--dtype float16", "a cat", "sd", "dtype is float16 and device is cpu"),
    ],
)
def test_bad_input_is_named_before_any_work(mesh, monkeypatch, capsys, options, prompt, prior, complaint):
    monkeypatch.setattr(MeshTrainer, "train_step", None)
    assert mesh(options, prompt, prior) == 2
    assert complaint in capsys.readouterr().err


def test_a_word_that_the_prior_does_not_know_is_named(mesh, monkeypatch, capsys):
    monkeypatch.setattr("psr_core.known_words.known_words", lambda tokenizer: ["a", "mug", ""])
    assert mesh("", "a zebra") == 2
    assert "'zebra'" in capsys.readouterr().err
