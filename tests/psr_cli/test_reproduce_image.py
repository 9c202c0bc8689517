"""`psr reproduce image` by command line alone, on a tiny Stable Diffusion with tiny scoring networks."""

from __future__ import annotations

import json
import shlex

import pytest
from PIL import Image

from psr_cli.main import main
from psr_core.object_prior.words import word_tokenizer
from psr_eval.image_report import SHOWN_PROMPTS
from tests.tiny_pipelines import tiny_clip, tiny_inception, tiny_stable_diffusion

ROWS = """
rows:
  - {name: DDIM, scheduler: DDIMScheduler}
  - {name: DDIM + PSR, scheduler: DDIMScheduler, steering: {k: 0.9}}
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    tiny_stable_diffusion(folder / "model")
    tiny_clip(folder / "clip")
    tiny_inception(folder / "inception.pt")
    return folder


@pytest.fixture
def reproduce(weights, tmp_path, monkeypatch):
    """Runs `psr reproduce image` in a folder of its own that holds prompts.txt and rows.yaml; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("a cat\na red tram\n")
    (tmp_path / "rows.yaml").write_text(ROWS)
    for name in ("model", "clip", "inception.pt"):
        (tmp_path / name).symlink_to(weights / name)

    def run(options: str) -> int:
        return main(shlex.split(f"reproduce image --prompts prompts.txt --out out --steps 2 {options}"))

    return run


def table(tmp_path):
    return json.loads((tmp_path / "out" / "table.json").read_text())


def test_the_default_is_table_1_3_and_complete_with_weights(reproduce, tmp_path, capsys):
    assert reproduce("--model model") == 0  # first without weights: the images are made
    captured = capsys.readouterr()
    assert "the FID column will stay empty: missing: the Inception network (--inception FILE not given" in captured.err
    assert "the CLIP column will stay empty: missing: the CLIP model (--clip FOLDER not given" in captured.err
    assert "16/16 images" in captured.err
    assert "the FD (CLIP) column will stay empty: missing: the CLIP model" in captured.err
    assert "the diversity column will stay empty: 1 image a prompt, and it needs 2 or more" in captured.err
    assert "| EulerDiscrete + PSR (0.95, 1.0) | - | - | - | 7.5 | - |" in captured.out
    assert len(table(tmp_path)["rows"]) == 8
    assert not (tmp_path / "out" / "fid_clip.png").exists()

    # Then the weights come: nothing is made again, and every figure is there.
    sweep = "--guidance-sweep 2 7.5 10"
    files = "--inception inception.pt --reference out/ddim --clip clip"
    assert reproduce(f"--model model {sweep} {files}") == 0
    captured = capsys.readouterr()
    assert "4 images made, 16 were there" in captured.err
    assert captured.err.count("stay empty") == 1  # diversity
    assert "FID from no more images than its 12 features" in captured.out
    rows = table(tmp_path)["rows"]
    assert [row["name"] for row in rows[-2:]] == ["DDIM, guidance 2", "DDIM, guidance 10"]
    assert all(
        isinstance(row[name], float) for row in rows for name in ("fid", "clip_fd", "clip", "clip_standard_error")
    )
    assert (tmp_path / "out" / "fid_clip.png").stat().st_size > 10_000
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 20


def test_own_rows_and_more_images(reproduce, tmp_path):
    options = "--settings rows.yaml --images-per-prompt 2 --height 16 --width 16 --seed 3 --guidance 3"
    assert reproduce(f"--model model {options}") == 0
    rows = table(tmp_path)["rows"]
    assert [(row["name"], row["images"], row["guidance"]) for row in rows] == [("DDIM", 4, 3.0), ("DDIM + PSR", 4, 3.0)]
    assert rows[1]["steering"]["k"] == 0.9
    assert rows[1]["distance_to_stock"] > 0


def test_a_word_that_the_clip_model_does_not_know_is_named_before_any_image(reproduce, tmp_path, capsys):
    tiny_clip(tmp_path / "judge")
    word_tokenizer(["a", "cat"]).save_pretrained(tmp_path / "judge")
    assert reproduce("--model model --settings rows.yaml --clip judge") == 2
    assert "text 'a red tram' says 'red', 'tram', which this model does not know" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_more_prompts_than_the_contact_sheet_shows(reproduce, tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(f"prompt {'x' * n}" for n in range(1, SHOWN_PROMPTS + 3)))
    assert reproduce("--model model --settings rows.yaml") == 0
    assert table(tmp_path)["rows"][0]["images"] == SHOWN_PROMPTS + 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--model nowhere", "model folder nowhere does not exist"),
        ("--model model --settings none.yaml", "settings none.yaml do not exist"),
        ("--model model --prompts none.txt", "prompts none.txt do not exist"),
        ("--model model --device tpu9", "device is 'tpu9'"),
        ("--model model --dtype int8", "dtype is 'int8', expected one of: float32"),
        ("--model model --seed -1", "seed is -1"),
        ("--model model --height 30 --width 30", "divisible by 8"),
        ("--model model --guidance nan", "guidance is nan"),
        ("--model model --settings rows.yaml --guidance-sweep -1", "guidance is -1"),
    ],
)
def test_errors_are_one_line(reproduce, capsys, options, complaint):
    assert reproduce(options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("psr: error: ")
    assert complaint in last


def test_other_settings_are_refused_naming_them(reproduce, capsys):
    assert reproduce("--model model --settings rows.yaml") == 0
    assert reproduce("--model model --settings rows.yaml --steps 3 --seed 4") == 2
    error = capsys.readouterr().err
    assert "steps 2 there, 3 now" in error
    assert "seed 0 there, 4 now" in error


def test_ctrl_c_keeps_the_images(reproduce, tmp_path, monkeypatch, capsys):
    from diffusers import StableDiffusionPipeline

    draw, calls = StableDiffusionPipeline.__call__, []

    def interrupted(*args, **kwargs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(kwargs)
        return draw(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StableDiffusionPipeline, "__call__", interrupted)
        assert reproduce("--model model --settings rows.yaml --batch-size 1") == 130
    assert "interrupted: out keeps the images made; the same command goes on" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 2
    assert reproduce("--model model --settings rows.yaml --batch-size 1") == 0
    assert "2 images made, 2 were there" in capsys.readouterr().err


def test_a_broken_network_is_named_and_the_images_stay(reproduce, tmp_path, capsys):
    (tmp_path / "broken.pt").write_bytes(b"cut")
    (tmp_path / "real").mkdir()
    for name in "ab":
        Image.new("RGB", (32, 32)).save(tmp_path / "real" / f"{name}.png")
    assert reproduce("--model model --settings rows.yaml --inception broken.pt --reference real") == 2
    assert "broken.pt is no TorchScript file" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 4
