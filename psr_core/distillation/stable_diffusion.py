"""Stable Diffusion as a prior: text tokens say what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation.guidance import Prompt
from psr_core.distillation.latents import LatentPrior, frozen
from psr_core.distillation.prior import Condition
from psr_core.known_words import require_known


class StableDiffusionPrior(LatentPrior):
    """A condition's text (B, L, C) are the text encoder's features, cut at its longest text (77 tokens). A tokenizer
    that lists its words, as that of a small prior does, takes no others, and no text that it would have to cut.

    empty: the text that guidance moves away from; a negative prompt takes its place. For the rest see LatentPrior.
    """

    conditions: tuple[str, ...] = ("text",)

    def __init__(
        self,
        unet: Any,
        vae: Any,
        scheduler: Any,
        text_encoder: Any,
        tokenizer: Any,
        size: int | None = None,
        empty: str = "",
    ) -> None:
        super().__init__(unet, vae, scheduler, size)
        self.text_encoder, self.tokenizer = frozen(text_encoder), tokenizer
        self.empty = empty
        self._empty_features = self.features([empty])

    @property
    def parts(self) -> dict[str, Any]:
        return {**super().parts, "text_encoder": self.text_encoder}

    def features(self, texts: Sequence[str]) -> Tensor:
        """The features (B, L, C) of texts, on the text encoder's device, in its dtype.

        Raises ValueError for a word that the tokenizer does not know, where it says which it does.
        """
        require_known(texts, self.tokenizer)
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            said: Tensor = self.text_encoder(tokens.input_ids.to(self.text_encoder.device))[0]
        return said

    def prompt(
        self,
        text: str,
        rows: int,
        negative: str | None = None,
        perpendicular: Mapping[str, float] | None = None,
        **kept: Tensor,
    ) -> Prompt:
        """The prompt of `rows` samples that are all asked for by one text.

        negative: what NFSD moves away from. perpendicular: texts whose part that the prompt does not say is added with
        these (negative) weights. kept: entries that every condition has, such as a camera. Raises ValueError for an
        empty text, and as features() does.
        """
        perpendicular = perpendicular or {}
        named = {"prompt": text, "negative prompt": negative, **{f"perpendicular {t!r}": t for t in perpendicular}}
        for name, value in named.items():
            if value is not None:
                require_text(name, value)

        def condition(words: str) -> Condition:
            return {"text": self.features([words]).expand(rows, -1, -1), **kept}

        weights = torch.tensor(list(perpendicular.values()), device=self._empty_features.device)
        return Prompt(
            condition(text),
            None if negative is None else condition(negative),
            tuple(condition(one) for one in perpendicular),
            weights[:, None].expand(-1, rows) if perpendicular else None,
        )

    def arguments(self, x: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Any]]:
        return x, {"encoder_hidden_states": condition["text"].to(x.dtype)}

    def unconditional(self, x: Tensor) -> Condition:
        return {"text": self._empty_features.expand(len(x), -1, -1)}


def require_text(name: str, text: str) -> None:
    """Raises ValueError naming a text without a word."""
    if not text.strip():
        raise ValueError(f"{name} is empty, expected words that say what is meant")
