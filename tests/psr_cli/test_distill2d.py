"""`psr distill2d` by command line alone, on a tiny Stable Diffusion."""

from __future__ import annotations

import json
import shlex
import signal
import sys

import numpy as np
import pytest
from PIL import Image

from psr_cli import distill2d
from psr_cli.main import main
from psr_cli.stop_request import StopRequest
from psr_core.distillation.methods import METHODS
from tests.psr_core.distillation.tiny_priors import SIZE, tiny_multi_view, tiny_text_to_image


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    tiny_text_to_image(folder / "sd")
    tiny_multi_view(folder / "mv")
    return folder


@pytest.fixture
def distil(priors, tmp_path, monkeypatch):
    """Runs `psr distill2d` in a folder of its own with the priors sd and mv; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    for name in ("sd", "mv"):
        (tmp_path / name).symlink_to(priors / name)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(options: str, prompt: str = "a cat", prior: str = "sd") -> int:
        words = ["distill2d", prompt, *shlex.split(f"--prior {prior} --steps 6 --seeds 3 {options}")]
        monkeypatch.setattr(sys, "argv", ["psr", *words])
        return main(words)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def stop_after(monkeypatch, steps):
    asked = iter([False] * steps + [True] * 100)
    monkeypatch.setattr(StopRequest, "requested", lambda self: next(asked))


def card(folder):
    return json.loads((folder / "card.json").read_text())


def test_makes_the_grid_the_pictures_and_the_card(distil, tmp_path, capsys):
    assert distil("--out out --seed 4 --k 2 --sigma 0.5 --set grid=3") == 0
    assert "saved out/grid.png: 6 iterations" in capsys.readouterr().out
    grid = np.asarray(Image.open(tmp_path / "out/grid.png"))
    assert grid.shape == (SIZE, 3 * SIZE, 3)
    for place, seed in enumerate((4, 5, 6)):
        alone = np.asarray(Image.open(tmp_path / f"out/seed_{seed}.png"))
        np.testing.assert_array_equal(grid[:, place * SIZE : (place + 1) * SIZE], alone)
    written = card(tmp_path / "out")
    assert written["settings"]["steering"]["k"] == 2.0 and written["settings"]["options"] == {"grid": 3}
    assert written["seed"] == 4 and written["metrics"]["steps"] == 6
    # Two an iteration, none in the last one, at t = 0; two nodes of the trajectory are as far as the iterations look.
    assert written["model_calls"]["guided"] == 3 * (2 * 5 + 2)
    assert written["model_calls"]["model"] == 2 * written["model_calls"]["guided"]
    assert len(written["data"]["weights_sha256"]) == 64 and "training_seconds" in written["metrics"]
    assert written["made_with"]["device"] == "cpu"


@pytest.mark.parametrize("options", ["", "--method vsd --picture pixels"])
def test_stopped_and_resumed_it_ends_with_the_same_files(distil, tmp_path, monkeypatch, capsys, options):
    assert distil(f"--out whole {options}") == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert distil(f"--out part {options}") == 130
    assert "--resume continues" in capsys.readouterr().out
    stopped = (tmp_path / "part/grid.png").read_bytes()
    assert card(tmp_path / "part")["metrics"]["steps"] == 2
    assert distil(f"--out part --resume {options}") == 0
    for path in (tmp_path / "whole").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "part" / path.name).read_bytes()
    assert stopped != (tmp_path / "part/grid.png").read_bytes()
    assert card(tmp_path / "whole")["model_calls"] == card(tmp_path / "part")["model_calls"]


def test_a_preview_is_there_before_the_end(distil, tmp_path, monkeypatch):
    seen = []
    from psr_eval import pictures

    write = pictures.write_pictures
    monkeypatch.setattr(pictures, "write_pictures", lambda out, *rest: (write(out, *rest), seen.append(out)))
    assert distil("--out out --save-seconds 0") == 0
    assert len(seen) == 6  # after every step


def test_a_run_of_other_settings_is_not_continued(distil, capsys):
    assert distil("--out out --steps 1") == 0
    assert distil("--out out --steps 1") == 2
    assert "already holds a training run; add --resume" in capsys.readouterr().err
    assert distil("--out out --steps 1 --resume --guidance 3") == 2
    assert "other settings: guidance = None, now 3.0" in capsys.readouterr().err


def test_a_method_that_has_finished_is_no_interruption(distil, tmp_path, capsys):
    assert distil("--out out --method msd --set threshold=1e6 --set sampler_steps=2") == 0
    assert "saved out/grid.png: 1 iterations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "prompt", "prior", "complaint"),
    [
        ("", " ", "sd", "prompt is empty"),
        ("", "a cat", "nowhere", "prior folder nowhere does not exist"),
        ("", "a cat", "mv", "prior mv is a multi-view model, expected a text-to-image one"),
        ("--set kappa=fixed", "a cat", "sd", "dsd has no option kappa"),
        ("--set kappa", "a cat", "sd", "--set kappa: expected NAME=VALUE"),
        ("--method nfsd", "a cat", "sd", "nfsd: negative is missing"),
        ("--k 0", "a cat", "sd", "steering.k is 0"),
        ("--size 15", "a cat", "sd", "size is 15 pixels"),
        ("--device cpu --dtype float16", "a cat", "sd", "dtype is float16 and device is cpu"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(distil, tmp_path, capsys, options, prompt, prior, complaint):
    assert distil(f"--out out {options}", prompt, prior) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_offers_every_method():
    assert set(distill2d.METHODS) == set(METHODS)
