"""PolicyConfig: what it refuses, and its way to JSON and back."""

from __future__ import annotations

import json

import pytest

from psr_policy.config import PolicyConfig, TransformerOptions, UnetOptions


class TestRefuses:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"network": "mlp"}, r"network is 'mlp', expected one of: unet, transformer"),
            ({"obs_keys": ()}, "obs_keys"),
            ({"obs_keys": (("a", 2), ("a", 3))}, "no name twice"),
            ({"obs_keys": (("a", 0),)}, r"obs_keys\[a\] is 0"),
            ({"action_dim": 9}, "action_names has 10 names, expected action_dim = 9"),
            ({"horizon": 0}, "horizon is 0"),
            ({"horizon": 8.0}, "horizon is 8.0, expected an integer"),
            ({"horizon": 9}, "horizon is 9, expected a multiple of 2"),
            ({"n_action_steps": 8}, "n_action_steps is 8, expected at most .* 7"),
            ({"n_obs_steps": True}, "n_obs_steps is True"),
            ({"step_period": 0.0}, "step_period is 0.0"),
            ({"step_period": float("nan")}, "step_period is nan"),
            ({"beta_schedule": "cosine"}, "beta_schedule is 'cosine'"),
            ({"prediction_type": "noise"}, "prediction_type is 'noise'"),
            ({"network_options": TransformerOptions()}, "expected UnetOptions for network 'unet'"),
        ],
    )
    def test_a_field_out_of_range_by_name(self, tiny_config, changes, told):
        with pytest.raises(ValueError, match=told):
            tiny_config(**changes)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"down_dims": (64,)}, "at least two levels"),
            ({"down_dims": (64, 100)}, "multiples of n_groups = 8"),
            ({"kernel_size": 4}, "kernel_size is 4, expected an odd number"),
            ({"diffusion_step_embed_dim": 7}, "expected an even number"),
            ({"diffusion_step_embed_dim": 2}, "expected an even number >= 4"),
        ],
    )
    def test_a_unet_that_cannot_be_built(self, options, told):
        with pytest.raises(ValueError, match=told):
            UnetOptions(**options)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"n_emb": 10}, "n_emb is 10, expected a multiple of n_head = 4"),
            ({"p_drop_attn": 1.0}, "p_drop_attn is 1.0"),
            ({"n_layer": 0}, "n_layer is 0"),
            ({"n_cond_layers": -1}, "n_cond_layers is -1"),
        ],
    )
    def test_a_transformer_that_cannot_be_built(self, options, told):
        with pytest.raises(ValueError, match=told):
            TransformerOptions(**options)


class TestJson:
    @pytest.mark.parametrize("network", ["unet", "transformer"])
    def test_survives_the_way_to_json_and_back(self, tiny_config, network):
        config = tiny_config(network)
        assert PolicyConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config

    def test_refuses_unknown_and_missing_fields(self, tiny_config):
        fields = tiny_config().to_dict()
        with pytest.raises(ValueError, match="config has unknown field speed"):
            PolicyConfig.from_dict({**fields, "speed": 1})
        with pytest.raises(ValueError, match="config.network_options has unknown field n_layer"):
            PolicyConfig.from_dict({**fields, "network_options": {"n_layer": 3}})
        with pytest.raises(ValueError, match="config lacks action_dim"):
            PolicyConfig.from_dict({name: value for name, value in fields.items() if name != "action_dim"})


def test_default_sizes_follow_the_network(tiny_config):
    assert tiny_config("transformer", network_options=None).network_options == TransformerOptions()
    assert tiny_config("unet", network_options=None).network_options == UnetOptions()


def test_obs_dim_is_the_length_of_all_observations(tiny_config):
    assert tiny_config(obs_keys=(("a", 3), ("b", 4))).obs_dim == 7
