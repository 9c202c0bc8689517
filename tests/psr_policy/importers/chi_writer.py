"""Writes a native policy as Diffusion Policy's own code would: a .ckpt with an omegaconf tree."""

from __future__ import annotations

import collections
import contextlib
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from psr_policy.config import TransformerOptions, UnetOptions
from psr_policy.policy import DiffusionPolicy
from psr_policy.transformer import attention_masks

EPOCH_26 = b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x1a."  # as dill writes the integer 26


@contextlib.contextmanager
def fake_packages() -> Iterator[dict[str, Any]]:
    """Modules of the names that omegaconf and dill have, so that a pickle can mention them; gone afterwards."""
    names = {
        "omegaconf.dictconfig": ["DictConfig"],
        "omegaconf.listconfig": ["ListConfig"],
        "omegaconf.nodes": ["AnyNode"],
        "omegaconf.base": ["ContainerMetadata", "Metadata"],
        "dill._dill": ["_load_type"],
    }
    made: dict[str, Any] = {}
    before = dict(sys.modules)
    for module, classes in names.items():
        parent = module.partition(".")[0]
        sys.modules.setdefault(parent, types.ModuleType(parent))
        sys.modules[module] = types.ModuleType(module)
        for name in classes:
            made[name] = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, made[name])
    try:
        yield made
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def as_omegaconf(tree: Any, made: dict[str, Any]) -> Any:
    """A tree of plain values as omegaconf objects lay it out, metadata and cached references with it."""
    if isinstance(tree, (dict, list)):
        node = made["DictConfig" if isinstance(tree, dict) else "ListConfig"]()
        metadata = made["ContainerMetadata"]()
        # omegaconf keeps what `${now:...}` gave in a defaultdict that is not empty.
        cache: Any = collections.defaultdict(dict)
        cache["now"]["%Y"] = "2023"
        metadata.__dict__ = {"ref_type": typing.Any, "object_type": dict, "key": None, "resolver_cache": cache}
        items = {k: as_omegaconf(v, made) for k, v in tree.items()} if isinstance(tree, dict) else None
        content = items if items is not None else [as_omegaconf(item, made) for item in tree]
        node.__dict__ = {"_metadata": metadata, "_parent": None, "_content": content}
        return node
    node = made["AnyNode"]()
    node.__dict__ = {"_metadata": made["Metadata"](), "_parent": None, "_val": tree}
    return node


def chi_cfg(policy: DiffusionPolicy) -> dict[str, Any]:
    """The configuration beside a policy, written with references as the reference's files are."""
    config, options = policy.config, policy.config.network_options
    common = {
        "horizon": "${horizon}",
        "obs_dim": "${obs_dim}",
        "action_dim": "${action_dim}",
        "n_obs_steps": "${n_obs_steps}",
        "n_action_steps": "${eval:'${n_action_steps}+${n_latency_steps}'}",
        "num_inference_steps": 100,
        "pred_action_steps_only": "${pred_action_steps_only}",
        "noise_scheduler": {
            "_target_": "diffusers.schedulers.scheduling_ddpm.DDPMScheduler",
            "num_train_timesteps": config.num_train_timesteps,
            "beta_start": 0.0001,
            "beta_end": 0.02,
            "beta_schedule": config.beta_schedule,
            "variance_type": "fixed_small",
            "clip_sample": config.clip_sample,
            "prediction_type": config.prediction_type,
        },
    }
    if isinstance(options, UnetOptions):
        kind = {
            "_target_": "diffusion_policy.policy.diffusion_unet_lowdim_policy.DiffusionUnetLowdimPolicy",
            "obs_as_local_cond": False,
            "obs_as_global_cond": True,
            "oa_step_convention": True,
            "model": {
                "_target_": "diffusion_policy.model.diffusion.conditional_unet1d.ConditionalUnet1D",
                "input_dim": "${eval: ${task.action_dim} if ${obs_as_local_cond} else 0}",
                **{**vars(options), "down_dims": list(options.down_dims)},
            },
        }
    else:
        assert isinstance(options, TransformerOptions)
        kind = {
            "_target_": "diffusion_policy.policy.diffusion_transformer_lowdim_policy.DiffusionTransformerLowdimPolicy",
            "obs_as_cond": True,
            "model": {
                "_target_": "diffusion_policy.model.diffusion.transformer_for_diffusion.TransformerForDiffusion",
                "time_as_cond": True,
                **vars(options),
            },
        }
    return {
        "obs_dim": "${task.obs_dim}",
        "action_dim": "${task.action_dim}",
        "horizon": config.horizon,
        "n_obs_steps": config.n_obs_steps,
        "n_action_steps": config.n_action_steps,
        "n_latency_steps": 0,
        "pred_action_steps_only": False,
        "policy": {**common, **kind},
        "training": {"use_ema": True, "seed": 42},
        "task": {"name": "made_up_lowdim", "obs_dim": config.obs_dim, "action_dim": config.action_dim},
        "logging": {"name": "${now:%Y.%m.%d}_${task.name}"},
    }


def chi_state(policy: DiffusionPolicy) -> dict[str, torch.Tensor]:
    """A policy's tensors under the reference's names, with what else a state dict of its has."""
    state = {"_dummy_variable": torch.empty(0), "mask_generator._dummy_variable": torch.empty(0)}
    state.update(policy.model.state_dict(prefix="model."))
    if policy.config.network == "transformer":
        masks = attention_masks(policy.config.horizon, 1 + policy.config.n_obs_steps)
        state.update({"model._dummy_variable": torch.empty(0), "model.mask": masks[0], "model.memory_mask": masks[1]})
    for kind in ("obs", "action"):
        for name, tensor in getattr(policy.normalizer, kind).named_buffers():
            stored = name if name in ("scale", "offset") else f"input_stats.{name}"
            state[f"normalizer.params_dict.{kind}.{stored}"] = tensor
    return state


def write_chi(
    path: Path,
    policy: DiffusionPolicy,
    change: Callable[[dict[str, Any]], Any] = lambda cfg: None,
    change_state: Callable[[dict[str, Any]], Any] = lambda state: None,
    pickles: dict[str, bytes] | None = None,
) -> Path:
    """A .ckpt of the policy as its averaged weights; `model` beside them holds zeros."""
    cfg, state = chi_cfg(policy), chi_state(policy)
    change(cfg)
    change_state(state)
    with fake_packages() as made:
        payload = {
            "cfg": as_omegaconf(cfg, made),
            "state_dicts": {
                "model": {n: torch.zeros_like(t) for n, t in state.items() if isinstance(t, torch.Tensor)},
                "ema_model": state,
                "optimizer": {"state": {}, "param_groups": []},
            },
            "pickles": pickles or {"epoch": EPOCH_26, "global_step": EPOCH_26},
        }
        torch.save(payload, path)
    return path
