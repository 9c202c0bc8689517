"""TransformerForDiffusion: the reference's parameters, and who may look at whom."""

from __future__ import annotations

import pytest
import torch

from psr_policy.config import TransformerOptions
from psr_policy.transformer import TransformerForDiffusion, attention_masks


def expected_shapes(action_dim: int, obs_dim: int, horizon: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the reference's checkpoints (8 layers of width 256), without its masks and dummies."""
    shapes: dict[str, tuple[int, ...]] = {"pos_emb": (1, horizon, 256), "cond_pos_emb": (1, 3, 256)}

    def layer(name: str, *weight: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    layer("input_emb", 256, action_dim)
    layer("cond_obs_emb", 256, obs_dim)
    layer("encoder.0", 1024, 256)
    layer("encoder.2", 256, 1024)
    for i in range(8):
        for attention in ("self_attn", "multihead_attn"):
            name = f"decoder.layers.{i}.{attention}"
            shapes[f"{name}.in_proj_weight"], shapes[f"{name}.in_proj_bias"] = (768, 256), (768,)
            layer(f"{name}.out_proj", 256, 256)
        layer(f"decoder.layers.{i}.linear1", 1024, 256)
        layer(f"decoder.layers.{i}.linear2", 256, 1024)
        for norm in ("norm1", "norm2", "norm3"):
            layer(f"decoder.layers.{i}.{norm}", 256)
    layer("ln_f", 256)
    layer("head", action_dim, 256)
    return shapes


def test_names_shapes_and_count_are_the_reference_s():
    net = TransformerForDiffusion(10, 23, 10, 2, TransformerOptions())
    found = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    assert found == expected_shapes(10, 23, 10)
    # The reference stores 161 tensors: these, two masks and a dummy.
    assert len(found) == 158
    assert sum(p.numel() for p in net.parameters()) == 8_968_458


class TestMasks:
    def test_an_action_sees_itself_and_the_past(self):
        mask, _ = attention_masks(4, 3)
        assert ((mask == 0) == torch.ones(4, 4).tril().bool()).all()

    def test_an_action_sees_time_and_observations_up_to_its_own_step(self):
        _, memory = attention_masks(3, 4)
        seen = [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
        assert ((memory == 0) == torch.tensor(seen).bool()).all()

    def test_what_is_not_seen_is_minus_infinity(self):
        for mask in attention_masks(4, 3):
            assert set(mask.unique().tolist()) == {float("-inf"), 0.0}


class TestForward:
    def make(self, **changes) -> tuple[TransformerForDiffusion, list[torch.Tensor]]:
        torch.manual_seed(0)
        options = TransformerOptions(**{"n_layer": 2, "n_head": 2, "n_emb": 8, **changes})
        net = TransformerForDiffusion(10, 5, 8, 2, options).eval()
        # Weights as small as the initial ones would hide in rounding what depends on what.
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        return net, [torch.randn(3, 8, 10), torch.tensor([0, 7, 19]), torch.randn(3, 2, 5)]

    @pytest.mark.parametrize("changes", [{}, {"n_cond_layers": 1}, {"causal_attn": False}])
    def test_keeps_the_shape_and_uses_every_input(self, changes):
        net, inputs = self.make(**changes)
        assert net(*inputs).shape == (3, 8, 10)
        for which in range(3):
            changed = list(inputs)
            changed[which] = inputs[which] + 1
            assert (net(*changed) - net(*inputs)).abs().max() > 1e-3

    def test_later_actions_do_not_change_earlier_predictions(self):
        net, (x, t, c) = self.make()
        later = x.clone()
        later[:, 5:] += 1
        difference = (net(later, t, c) - net(x, t, c)).abs().amax(dim=(0, 2))
        assert difference[:5].max() == 0
        assert difference[5:].min() > 1e-3

    def test_without_the_masks_they_do(self):
        net, (x, t, c) = self.make(causal_attn=False)
        later = x.clone()
        later[:, 5:] += 1
        assert (net(later, t, c) - net(x, t, c)).abs().amax(dim=(0, 2))[:5].min() > 1e-4

    def test_dropout_acts_in_training_only(self):
        net, inputs = self.make(p_drop_attn=0.5)
        assert torch.equal(net(*inputs), net(*inputs))
        net.train()
        assert not torch.equal(net(*inputs), net(*inputs))
