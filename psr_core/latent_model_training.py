"""The training of a latent diffusion model as one folder: first the autoencoder, then the denoiser in its latents."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from psr_core.files import file_sha256
from psr_core.latent_training import AutoencoderSettings, AutoencoderTrainer, DenoiserTrainer, LatentTrainSettings
from psr_core.small_networks import parameter_count
from psr_core.training_run import TrainingRun

CARD = "card.json"
AUTOENCODER, DENOISER, PIPELINE = "autoencoder", "denoiser", "pipeline"
Train = Callable[[TrainingRun], bool]  # trains a run; whether it came to the end


class LatentModelTraining:
    """Both trainings of a folder `out`: out/autoencoder, out/denoiser, and what they make, out/pipeline.

    out/pipeline is a folder of diffusers, float16, with card.json. A subclass says what is trained on what. card:
    command, data and git revision. Raises FileExistsError as TrainingRun does.
    """

    def __init__(self, out: Path, card: Mapping[str, Any], resume: bool) -> None:
        self.out, self.card, self.resume = Path(out), dict(card), resume

    def autoencoder_trainer(self, settings: AutoencoderSettings) -> AutoencoderTrainer:
        """The trainer of the autoencoder."""
        raise NotImplementedError

    def denoiser_trainer(self, vae: AutoencoderKL, settings: LatentTrainSettings) -> DenoiserTrainer:
        """The trainer of the denoiser in this autoencoder's latents; sets the autoencoder's scaling factor, too."""
        raise NotImplementedError

    def pipeline(self, vae: AutoencoderKL, trainer: DenoiserTrainer) -> Any:
        """The pipeline of what is trained so far, in float32; its networks must not be those of the trainer."""
        raise NotImplementedError

    def train(self, autoencoder: AutoencoderSettings, denoiser: LatentTrainSettings, train: Train) -> bool:
        """Trains what is not trained yet; whether all came to the end."""
        coder = self.autoencoder_trainer(autoencoder)

        def keep_autoencoder(folder: Path, card: dict[str, Any]) -> None:
            save_with_card(coder.averaged, folder / "vae", {**card, "metrics": {**card["metrics"], **coder.errors()}})

        run = TrainingRun(coder, self.out / AUTOENCODER, self.card, keep_autoencoder, resume=self.resume)
        if not train(run):
            return False
        vae = as_stored(coder.averaged)
        trainer = self.denoiser_trainer(vae, denoiser)
        coded = json.loads((self.out / AUTOENCODER / "vae" / CARD).read_text())

        def keep_pipeline(folder: Path, card: dict[str, Any]) -> None:
            self._save(self.pipeline(vae, trainer), {**card, AUTOENCODER: coded})

        run = TrainingRun(trainer, self.out / DENOISER, self.card, keep_pipeline, resume=self.resume)
        return train(run)

    def _save(self, pipeline: Any, card: dict[str, Any]) -> None:
        networks = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
        card = {**card, "parameters": parameter_count(*networks), "weights_dtype": "float16"}
        save_with_card(pipeline.to(torch.float16), self.out / PIPELINE, card)
        pipeline.to(torch.float32)


def as_stored(network: Any) -> Any:
    """A copy on the CPU, its weights rounded as they will be stored: what is trained on it fits what is kept."""
    return copy.deepcopy(network).cpu().half().float().eval()


def _let_load_as_float32(config: Path) -> None:
    """Unless told otherwise transformers loads a network in the dtype that its configuration names, diffusers all else
    in float32: together they would fail, and processors are slow in float16."""
    if config.exists():
        config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=1) + "\n")


def save_with_card(model: Any, folder: Path, card: Mapping[str, Any]) -> None:
    """Saves a model (what has save_pretrained) with its card; whoever reads the folder finds the old one or the new."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    for part in (".", "text_encoder"):
        _let_load_as_float32(temporary / part / "config.json")
    digests = {str(path.relative_to(temporary)): file_sha256(path) for path in sorted(temporary.rglob("*.safetensors"))}
    (temporary / CARD).write_text(json.dumps({**card, "sha256": digests}, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
