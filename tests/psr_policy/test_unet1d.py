"""ConditionalUnet1D: the reference's parameters, and what the output may depend on."""

from __future__ import annotations

import pytest
import torch

from psr_policy.config import UnetOptions
from psr_policy.unet1d import ConditionalUnet1D, SinusoidalEmbedding

TINY = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, kernel_size=3)


def reference_size(action_dim: int, obs_dim: int) -> ConditionalUnet1D:
    with torch.device("meta"):
        return ConditionalUnet1D(action_dim, 2 * obs_dim, UnetOptions())


def expected_shapes(action_dim: int, cond_dim: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in the reference's checkpoints (three levels 256, 512, 1024; kernel 5; FiLM scale and bias)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *weight: int, bias: int | None = None) -> None:
        shapes[f"{name}.weight"] = weight
        shapes[f"{name}.bias"] = (weight[0] if bias is None else bias,)

    def residual(name: str, c_in: int, c_out: int) -> None:
        for i, c in enumerate((c_in, c_out)):
            layer(f"{name}.blocks.{i}.block.0", c_out, c, 5)
            layer(f"{name}.blocks.{i}.block.1", c_out)
        layer(f"{name}.cond_encoder.1", 2 * c_out, cond_dim)
        if c_in != c_out:
            layer(f"{name}.residual_conv", c_out, c_in, 1)

    layer("diffusion_step_encoder.1", 1024, 256)
    layer("diffusion_step_encoder.3", 256, 1024)
    for i, (c_in, c_out) in enumerate(((action_dim, 256), (256, 512), (512, 1024))):
        residual(f"down_modules.{i}.0", c_in, c_out)
        residual(f"down_modules.{i}.1", c_out, c_out)
    for i, c in enumerate((256, 512)):
        layer(f"down_modules.{i}.2.conv", c, c, 3)
    residual("mid_modules.0", 1024, 1024)
    residual("mid_modules.1", 1024, 1024)
    for i, (c_in, c_out) in enumerate(((2048, 512), (1024, 256))):
        residual(f"up_modules.{i}.0", c_in, c_out)
        residual(f"up_modules.{i}.1", c_out, c_out)
        layer(f"up_modules.{i}.2.conv", c_out, c_out, 4)
    layer("final_conv.0.block.0", 256, 256, 5)
    layer("final_conv.0.block.1", 256)
    layer("final_conv.1", action_dim, 256, 1)
    return shapes


class TestReferenceParameters:
    def test_names_and_shapes(self):
        found = {name: tuple(tensor.shape) for name, tensor in reference_size(2, 20).state_dict().items()}
        assert found == expected_shapes(2, 256 + 2 * 20)
        assert len(found) == 148

    @pytest.mark.parametrize(
        ("action_dim", "obs_dim", "count"),
        [
            pytest.param(2, 20, 65_783_298, id="pusht"),
            pytest.param(10, 19, 65_768_970, id="lift"),
            pytest.param(10, 23, 65_883_658, id="can and square"),
            pytest.param(10, 53, 66_743_818, id="tool_hang"),
            pytest.param(20, 59, 66_933_780, id="transport"),
        ],
    )
    def test_count(self, action_dim, obs_dim, count):
        assert sum(p.numel() for p in reference_size(action_dim, obs_dim).parameters()) == count

    def test_without_scale_the_condition_only_shifts(self):
        options = UnetOptions(down_dims=(8, 16), diffusion_step_embed_dim=8, cond_predict_scale=False)
        net = ConditionalUnet1D(2, 6, options)
        assert net.mid_modules[0].cond_encoder[1].weight.shape == (16, 8 + 6)
        assert net(torch.randn(1, 4, 2), torch.zeros(1), torch.randn(1, 2, 3)).shape == (1, 4, 2)


class TestForward:
    def make(self) -> tuple[ConditionalUnet1D, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        torch.manual_seed(0)
        net = ConditionalUnet1D(10, 2 * 5, TINY).eval()
        return net, (torch.randn(3, 8, 10), torch.tensor([0, 7, 19]), torch.randn(3, 2, 5))

    def test_keeps_the_shape(self):
        net, inputs = self.make()
        assert net(*inputs).shape == (3, 8, 10)

    def test_rows_do_not_see_each_other(self):
        net, (x, t, c) = self.make()
        torch.testing.assert_close(net(x[1:2], t[1:2], c[1:2]), net(x, t, c)[1:2])

    @pytest.mark.parametrize("which", range(3))
    def test_every_input_matters(self, which):
        net, inputs = self.make()
        changed = list(inputs)
        changed[which] = inputs[which] + 1
        assert (net(*changed) - net(*inputs)).abs().max() > 1e-3


def test_embedding_of_time_is_sines_then_cosines():
    embedding = SinusoidalEmbedding(6)(torch.tensor([0, 3]))
    torch.testing.assert_close(embedding[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    angles = 3 * torch.tensor([1.0, 1e-2, 1e-4])
    torch.testing.assert_close(embedding[1], torch.cat([angles.sin(), angles.cos()]))
