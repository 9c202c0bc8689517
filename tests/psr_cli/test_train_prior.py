"""`psr train prior`: from a folder of pictures of objects to a pipeline folder, by command line alone."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from psr_cli.main import main
from psr_cli.stop_request import StopRequest
from psr_core.distillation.prior_folder import TEXT, open_prior
from psr_core.files import file_sha256
from tests.object_pictures import write_objects
from tests.psr_cli.training_runs import psr_train

SMALL = (
    "--autoencoder-channels 16,16 --autoencoder-steps 3 --crop 8 --unet-channels 16,16 --text-width 16 --text-layers 1 "
    "--steps 3 --batch-size 4 --warmup-steps 1 --precision float32"
)


@pytest.fixture
def psr(tmp_path, monkeypatch):
    """Runs `psr train prior` in a folder of its own that holds pictures; returns the exit code."""
    write_objects(tmp_path / "objects", 12, 3)
    monkeypatch.chdir(tmp_path)
    with psr_train(f"prior --data objects {SMALL}", monkeypatch) as run:
        yield run


def test_makes_a_folder_that_diffusers_and_distillation_load(psr, tmp_path, capsys):
    assert psr("--out out") == 0
    said = capsys.readouterr().out
    assert "12 pictures to train on, 3 held out" in said and "saved out/pipeline" in said
    folder = tmp_path / "out/pipeline"
    pipeline = StableDiffusionPipeline.from_pretrained(str(folder))
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a red mug", num_inference_steps=2, output_type="np").images.shape == (1, 16, 16, 3)
    assert pipeline.vae.config.scaling_factor not in (1.0, 0.18215)
    opened = open_prior(folder)
    assert opened.kind == TEXT
    prior = opened.load()
    assert prior.shape == (4, 8, 8) and len(prior.levels.alphas_cumprod) == 1000
    condition = prior.prompt("an orange metal table, side view", 2).positive
    assert condition["text"].shape == (2, 16, 16)
    with torch.no_grad():
        assert torch.equal(prior.features(["a mug"]), pipeline.text_encoder(_tokens(pipeline, "a mug"))[0])
        assert prior.noise(torch.zeros(2, *prior.shape), 500, condition).shape == (2, 4, 8, 8)
    for words in ({"text": "a zebra"}, {"text": "a mug", "negative": "a zebra"}):
        with pytest.raises(
            ValueError, match="text 'a zebra' says 'zebra', which this model does not know; it knows: , a"
        ):
            prior.prompt(rows=1, **words)


def test_leaves_a_card(psr, tmp_path):
    assert psr("--out out --seed 5") == 0
    card = json.loads((tmp_path / "out/pipeline/card.json").read_text())
    assert card["command"].startswith("psr train prior --data objects")
    assert card["seed"] == 5 and card["git_revision"]
    assert card["metrics"]["steps"] == card["autoencoder"]["metrics"]["steps"] == 3
    assert 0 < card["autoencoder"]["metrics"]["rgb"] < 2
    assert set(card["sha256"]) >= {"unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"}
    stored = 0
    for name, digest in card["sha256"].items():
        assert file_sha256(tmp_path / "out/pipeline" / name) == digest
        weights = load_file(tmp_path / "out/pipeline" / name)
        assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
        stored += sum(tensor.numel() for tensor in weights.values())
    assert card["parameters"] == stored


@pytest.mark.parametrize("after", [2, 5])  # within the autoencoder's steps, and within the denoiser's
def test_stopped_and_resumed_it_ends_with_the_same_weights(psr, tmp_path, monkeypatch, capsys, after):
    assert psr("--out whole") == 0
    with monkeypatch.context() as patch:
        asked = iter([False] * after + [True] * 100)
        patch.setattr(StopRequest, "requested", lambda self: next(asked))
        assert psr("--out part") == 130
    assert "--resume continues" in capsys.readouterr().out
    assert psr("--out part --resume") == 0
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        file = f"pipeline/{name}.safetensors"
        assert file_sha256(tmp_path / "whole" / file) == file_sha256(tmp_path / "part" / file)


def test_distil_names_an_unknown_word(psr, capsys):
    assert psr("--out out") == 0
    assert main(["distill2d", "a zebra", "--prior", "out/pipeline", "--out", "pictures", "--steps", "1"]) == 2
    assert "says 'zebra', which this model does not know; it knows: , a an" in capsys.readouterr().err


def test_another_kind_of_folder_is_named(psr, tmp_path, capsys):
    (tmp_path / "objects/index.json").unlink()
    assert psr("--out out") == 2
    assert "objects/index.json is missing: not a folder of pictures of objects" in capsys.readouterr().err


def _tokens(pipeline, text):
    return pipeline.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
