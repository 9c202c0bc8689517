"""TransformerForDiffusion: predicts the noise in an action sequence by attending to time and observations.

Parameter names and shapes are those of Diffusion Policy (Chi et al. 2023, real-stanford/diffusion_policy, MIT), so that
weights trained there fit; the code is our own. The two attention masks follow from the sizes and are not stored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from psr_policy.config import TransformerOptions
from psr_policy.unet1d import SinusoidalEmbedding


class TransformerForDiffusion(nn.Module):
    """Noise prediction for an action sequence; the condition is one token for time and one for each observation.

    input_dim: numbers in one action. cond_dim: numbers in one observation.
    """

    def __init__(
        self, input_dim: int, cond_dim: int, horizon: int, n_obs_steps: int, options: TransformerOptions
    ) -> None:
        super().__init__()
        width, heads, p_drop = options.n_emb, options.n_head, options.p_drop_attn
        n_cond = 1 + n_obs_steps
        self.time_emb = SinusoidalEmbedding(width)
        self.input_emb = nn.Linear(input_dim, width)
        self.cond_obs_emb = nn.Linear(cond_dim, width)
        self.pos_emb = nn.Parameter(torch.zeros(1, horizon, width))
        self.cond_pos_emb = nn.Parameter(torch.zeros(1, n_cond, width))
        self.drop = nn.Dropout(options.p_drop_emb)
        layer = {"dropout": p_drop, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.encoder: nn.Module
        if options.n_cond_layers:
            self.encoder = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(width, heads, 4 * width, **layer),  # type: ignore[arg-type]
                options.n_cond_layers,
                enable_nested_tensor=False,
            )
        else:
            self.encoder = nn.Sequential(nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width))
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(width, heads, 4 * width, **layer),  # type: ignore[arg-type]
            options.n_layer,
        )
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, input_dim)
        self.mask: Tensor | None
        self.memory_mask: Tensor | None
        masks = attention_masks(horizon, n_cond) if options.causal_attn else (None, None)
        for name, mask in zip(("mask", "memory_mask"), masks, strict=True):
            self.register_buffer(name, mask, persistent=False)
        # Embeddings and encoder keep torch's wider initial weights: with the reference's 0.02, all that is seen of time
        # and observations begins so small that thousands of steps go by before it matters.
        self.decoder.apply(_initialise)
        self.head.apply(_initialise)
        nn.init.normal_(self.pos_emb, std=0.02)
        nn.init.normal_(self.cond_pos_emb, std=0.02)

    def forward(self, sample: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """Predicted noise (B, T, input_dim).

        sample (B, T, input_dim) noised actions; timesteps (B,) integers; condition (B, To, Do) normalised observations.
        """
        tokens = torch.cat([self.time_emb(timesteps)[:, None], self.cond_obs_emb(condition)], dim=1)
        memory = self.encoder(self.drop(tokens + self.cond_pos_emb))
        x = self.drop(self.input_emb(sample) + self.pos_emb)
        x = self.decoder(tgt=x, memory=memory, tgt_mask=self.mask, memory_mask=self.memory_mask)
        out: Tensor = self.head(self.ln_f(x))
        return out


def attention_masks(horizon: int, n_cond: int) -> tuple[Tensor, Tensor]:
    """What an action may look at: 0 where it may, -inf where not; (horizon, horizon) and (horizon, n_cond).

    Action t sees actions up to t, the time token 0, and the observation tokens s (observation s - 1) with t >= s - 1.
    """
    t, s = torch.arange(horizon)[:, None], torch.arange(n_cond)[None]
    past, seen = t >= torch.arange(horizon)[None], t >= s - 1
    masks = [torch.zeros(m.shape).masked_fill(~m, float("-inf")) for m in (past, seen)]
    return masks[0], masks[1]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.MultiheadAttention):
        nn.init.normal_(module.in_proj_weight, std=0.02)
        nn.init.zeros_(module.in_proj_bias)
