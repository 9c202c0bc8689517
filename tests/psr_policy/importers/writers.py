"""Writes a native policy as robomimic and LeRobot would, in the layouts that are documented of them."""

from __future__ import annotations

import collections
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from psr_policy.config import UnetOptions
from psr_policy.policy import DiffusionPolicy


def robomimic_payload(policy: DiffusionPolicy, normalized_obs: bool = True) -> dict[str, Any]:
    """What robomimic's save_model hands to torch.save. Without normalized_obs the file has no statistics of them."""
    config = policy.config
    weights = policy.model.state_dict(prefix="policy.noise_pred_net.")
    action, start, stats = policy.normalizer.action, 0, {}
    for name, size in config.obs_keys:
        field = policy.normalizer.obs
        part = slice(start, start + size)
        stats[name] = {
            "scale": [(1 / field.scale.double()[part]).tolist()],
            "offset": [(-field.offset.double() / field.scale.double())[part].tolist()],
        }
        start += size
    schedule = {
        "num_train_timesteps": config.num_train_timesteps,
        "num_inference_timesteps": 10,
        "beta_schedule": config.beta_schedule,
        "clip_sample": config.clip_sample,
        "prediction_type": config.prediction_type,
    }
    text = {
        "algo_name": "diffusion_policy",
        "algo": {
            "horizon": {
                "observation_horizon": config.n_obs_steps,
                "action_horizon": config.n_action_steps,
                "prediction_horizon": config.horizon,
            },
            # robomimic ignores these sizes.
            "unet": {"enabled": True, "down_dims": [1, 2, 3], "n_groups": 1},
            "ema": {"enabled": True, "power": 0.75},
            "language_conditioned": False,
            "ddpm": {"enabled": False, **schedule},
            "ddim": {"enabled": True, "set_alpha_to_one": True, "steps_offset": 0, **schedule},
        },
        "observation": {"modalities": {"obs": {"low_dim": [n for n, _ in reversed(config.obs_keys)], "rgb": []}}},
        "train": {"action_keys": ["actions"], "action_config": {"actions": {"normalization": "min_max"}}, "seed": 7},
    }
    return {
        "model": {
            "nets": {name: torch.zeros_like(tensor) for name, tensor in weights.items()},
            "optimizers": {"policy": {"state": {}, "param_groups": []}},
            "ema": weights,
        },
        "config": json.dumps(text),
        "algo_name": "diffusion_policy",
        "env_metadata": {"env_name": "Lift", "env_kwargs": {"control_freq": 20}},
        "shape_metadata": {
            "ac_dim": config.action_dim,
            "all_shapes": collections.OrderedDict((name, [size]) for name, size in config.obs_keys),
        },
        "variable_state": {"epoch": 600, "best_valid_loss": None},
        **({"obs_normalization_stats": stats} if normalized_obs else {}),
        "action_normalization_stats": {
            "actions": {
                "scale": [(1 / action.scale.double()).tolist()],
                "offset": [(-action.offset.double() / action.scale.double()).tolist()],
            }
        },
    }


def write_robomimic(
    path: Path,
    policy: DiffusionPolicy,
    change: Callable[[dict[str, Any]], Any] = lambda payload: None,
    change_config: Callable[[dict[str, Any]], Any] = lambda config: None,
    normalized_obs: bool = True,
) -> Path:
    """A .pth of the policy as its averaged weights; `nets` beside them holds zeros."""
    payload = robomimic_payload(policy, normalized_obs)
    config = json.loads(payload["config"])
    change_config(config)
    payload["config"] = json.dumps(config)
    change(payload)
    torch.save(payload, path)
    return path


def lerobot_weights(policy: DiffusionPolicy) -> dict[str, torch.Tensor]:
    """A U-Net's tensors under LeRobot's names."""
    weights = {}
    for name, tensor in policy.model.state_dict(prefix="diffusion.unet.").items():
        name = name.replace(".blocks.0.", ".conv1.").replace(".blocks.1.", ".conv2.")
        weights[re.sub(r"(_modules\.\d+\.2)\.conv\.", r"\1.", name)] = tensor.clone()
    return weights


def lerobot_config(policy: DiffusionPolicy, modes: dict[str, str]) -> dict[str, Any]:
    config, options = policy.config, policy.config.network_options
    kinds = {"observation.state": "STATE", "observation.environment_state": "ENV"}
    assert isinstance(options, UnetOptions)
    return {
        "type": "diffusion",
        # In the wrong order: the network knows its own.
        "input_features": {n: {"type": kinds[n], "shape": [size]} for n, size in reversed(config.obs_keys)},
        "output_features": {"action": {"type": "ACTION", "shape": [config.action_dim]}},
        "normalization_mapping": modes,
        **{name: getattr(config, name) for name in ("horizon", "n_obs_steps", "n_action_steps")},
        **{name: getattr(config, name) for name in ("num_train_timesteps", "beta_schedule", "prediction_type")},
        "clip_sample": config.clip_sample,
        "clip_sample_range": 1.0,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "noise_scheduler_type": "DDPM",
        "num_inference_steps": None,
        "down_dims": list(options.down_dims),
        "kernel_size": options.kernel_size,
        "n_groups": options.n_groups,
        "diffusion_step_embed_dim": options.diffusion_step_embed_dim,
        "use_film_scale_modulation": options.cond_predict_scale,
    }


def write_lerobot(
    folder: Path,
    policy: DiffusionPolicy,
    statistics: dict[str, dict[str, torch.Tensor]],
    modes: dict[str, str],
    old: bool = False,
    change: Callable[[dict[str, Any]], Any] = lambda config: None,
) -> Path:
    """A folder of the policy's weights and statistics {feature: {statistic: (D,)}}, in the old or new layout."""
    folder.mkdir(parents=True)
    config, weights = lerobot_config(policy, modes), lerobot_weights(policy)
    change(config)
    if old:
        for feature, tensors in statistics.items():
            group = "unnormalize_outputs" if feature == "action" else "normalize_inputs"
            for name, tensor in tensors.items():
                weights[f"{group}.buffer_{feature.replace('.', '_')}.{name}"] = tensor.clone()
                if feature == "action":
                    weights[f"normalize_targets.buffer_action.{name}"] = tensor.clone()
    else:
        _write_processors(folder, statistics, modes)
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    train = {"seed": 1000, "steps": 200000, "dataset": {"repo_id": "lerobot/made_up"}, "env": {"fps": 10}}
    (folder / "train_config.json").write_text(json.dumps(train))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A policy\n")
    return folder


def _write_processors(folder: Path, statistics: dict[str, dict[str, torch.Tensor]], modes: dict[str, str]) -> None:
    flat = {f"{feature}.{name}": t.clone() for feature, ts in statistics.items() for name, t in ts.items()}
    step: dict[str, Any] = {"config": {"eps": 1e-8, "features": {}, "norm_map": modes}}
    inward, outward = (f"policy_{kind}processor" for kind in ("pre", "post"))
    files = {
        inward: f"{inward}_step_3_normalizer_processor.safetensors",
        outward: f"{outward}_step_0_unnormalizer_processor.safetensors",
    }
    normalise = {"registry_name": "normalizer_processor", **step, "state_file": files[inward]}
    turn_back = {"registry_name": "unnormalizer_processor", **step, "state_file": files[outward]}
    device = {"registry_name": "device_processor", "config": {"device": "cpu"}}
    before = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "to_batch_processor", "config": {}},
        device,
    ]
    for name, steps in ((inward, [*before, normalise]), (outward, [turn_back, device])):
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "steps": steps}))
        safetensors.torch.save_file(flat, folder / files[name])


def with_pickle(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """Rewrites a torch.save file with its pickle changed, the archive itself being sound."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)
    path.write_bytes(buffer.getvalue())
    return path
