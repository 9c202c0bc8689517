"""Checkpoints (`.ckpt`) of Diffusion Policy (Chi et al. 2023, real-stanford/diffusion_policy, MIT).

A file holds `cfg` (an omegaconf tree with unresolved references), `state_dicts` (model, ema_model, optimizer) and
`pickles`. Read are policies for low-dimensional observations: ConditionalUnet1D with observations as global condition,
and TransformerForDiffusion with observations as condition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from psr_policy.config import TransformerOptions, UnetOptions
from psr_policy.dataset import ARM_ACTION_NAMES, action_names
from psr_policy.importers.fields import SCHEDULER_FIELDS, Fields, noise_schedule
from psr_policy.importers.foreign import STEP_PERIOD_UNKNOWN, ForeignCheckpoint, copied, numbered
from psr_policy.importers.safe_pickle import Inert, integer
from psr_policy.normalizer import STATISTICS
from psr_policy.transformer import attention_masks

LABEL = "Diffusion Policy (Chi et al.)"
_NETWORKS = {
    ("DiffusionUnetLowdimPolicy", "ConditionalUnet1D"): "unet",
    ("DiffusionTransformerLowdimPolicy", "TransformerForDiffusion"): "transformer",
}
_POLICY_FIELDS = {
    *("_target_", "model", "noise_scheduler", "horizon", "obs_dim", "action_dim", "n_action_steps", "n_obs_steps"),
    *("num_inference_steps", "pred_action_steps_only", "oa_step_convention"),
    *("obs_as_cond", "obs_as_local_cond", "obs_as_global_cond"),
}
_MODEL_FIELDS = {
    "unet": {"_target_", "input_dim", "local_cond_dim", "global_cond_dim", *vars(UnetOptions())},
    "transformer": {
        *("_target_", "input_dim", "output_dim", "cond_dim", "horizon", "n_obs_steps", "time_as_cond", "obs_as_cond"),
        *vars(TransformerOptions()),
    },
}
# Sizes that robosuite gives these observations by their meaning; `object` takes what is left.
_ROBOSUITE_SIZES = {"_eef_pos": 3, "_eef_quat": 4, "_gripper_qpos": 2}


class HydraFields(Fields):
    """A configuration with references. Resolved are ${a.b} and the sum of two such; nothing is ever evaluated."""

    _REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}")
    _SUM = re.compile(r"\$\{eval:\s*'?\s*\$\{(\w+(?:\.\w+)*)\}\s*\+\s*\$\{(\w+(?:\.\w+)*)\}\s*'?\s*\}")

    def __init__(self, path: Path, where: str, tree: Any) -> None:
        super().__init__(path, where, tree)
        self._pending: list[str] = []

    def resolve(self, name: str, node: Any) -> Any:
        if not isinstance(node, str) or "${" not in node:
            return node
        if node in self._pending:
            raise self.fault(name, node, "a reference that does not lead back to itself")
        self._pending.append(node)
        try:
            if match := self._REFERENCE.fullmatch(node):
                return self.get(match[1])
            if match := self._SUM.fullmatch(node):
                return self.integer(match[1]) + self.integer(match[2])
        finally:
            self._pending.pop()
        raise self.fault(name, node, "a value or a plain ${a.b}: expressions are not evaluated here")


def recognises(payload: Any) -> bool:
    """Whether what safe_pickle.load returned is of this format."""
    return isinstance(payload, Mapping) and {"cfg", "state_dicts"} <= set(payload)


def fields_of(path: Path, payload: Mapping[str, Any]) -> HydraFields:
    """The checkpoint's configuration."""
    return HydraFields(path, "cfg", plain(payload["cfg"]))


def read(path: Path, payload: Mapping[str, Any]) -> ForeignCheckpoint:
    """The policy of a checkpoint that safe_pickle.load returned.

    Raises ValueError naming the file, the field and its value when something is missing or cannot be represented.
    """
    fields = fields_of(path, payload)
    network = _network(fields)
    fields.known("policy", _POLICY_FIELDS)
    fields.expect("policy.pred_action_steps_only", False, False, "a whole horizon is predicted here")
    fields.known("policy.model", _MODEL_FIELDS[network])
    fields.known("policy.noise_scheduler", SCHEDULER_FIELDS)
    options = _unet(fields) if network == "unet" else _transformer(fields)
    state = _state_dict(fields, payload)
    weights = {n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")}
    config = {
        "network": network,
        "network_options": options,
        "obs_keys": _obs_keys(fields),
        "action_dim": fields.integer("policy.action_dim"),
        "action_names": _action_names(fields),
        **{name: fields.integer(f"policy.{name}") for name in ("horizon", "n_obs_steps", "n_action_steps")},
        **noise_schedule(fields, "policy.noise_scheduler."),
    }
    if network == "transformer":
        _drop_masks(path, weights, config)
    notes = [STEP_PERIOD_UNKNOWN]
    if len(config["obs_keys"]) > 1:
        sizes = ", ".join(f"{name}:{size}" for name, size in config["obs_keys"])
        notes.append(f"the file names its observations without sizes: {sizes} are robosuite's; --obs-keys sets others")
    if fields.maybe("n_latency_steps"):
        notes.append(f"n_action_steps counts {fields.maybe('n_latency_steps')} steps of latency, as it was trained")
    return ForeignCheckpoint(
        "chi",
        path,
        config,
        copied({name: tensor for name, tensor in weights.items() if name != "_dummy_variable"}),
        {kind: _normalizer(path, state, kind) for kind in ("obs", "action")},
        origin(path, payload),
        tuple(notes),
    )


def origin(path: Path, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says of its making, as far as it can be read."""
    fields = fields_of(path, payload)
    pickles = payload.get("pickles")
    steps = {name: integer(pickles.get(name)) for name in ("epoch", "global_step")} if isinstance(pickles, dict) else {}
    named = {
        "policy": "policy._target_",
        "task": "task.name",
        "sampler": "policy.noise_scheduler._target_",
        "num_inference_steps": "policy.num_inference_steps",
        "ema": "training.use_ema",
        "seed": "training.seed",
    }
    found = {**{name: fields.maybe(field) for name, field in named.items()}, **steps}
    return {name: value for name, value in found.items() if value is not None}


def plain(node: Any) -> Any:
    """An omegaconf tree, as Inert objects, in dicts, lists and plain values; references stay text."""
    if isinstance(node, Inert):
        state = node.state if isinstance(node.state, dict) else {}
        return plain(state["_content"]) if "_content" in state else plain(state.get("_val"))
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(item) for item in node]
    return node


def _network(fields: Fields) -> str:
    targets = tuple(fields.text(name).rpartition(".")[2] for name in ("policy._target_", "policy.model._target_"))
    if targets not in _NETWORKS:
        expected = " or ".join(" with ".join(pair) for pair in _NETWORKS)
        raise fields.fault(
            "policy._target_", " with ".join(targets), f"{expected} (low-dimensional observations, no images)"
        )
    return _NETWORKS[targets]


def _unet(fields: Fields) -> dict[str, Any]:
    why = "observations are one global condition here"
    fields.expect("policy.obs_as_local_cond", False, False, why)
    fields.expect("policy.obs_as_global_cond", True, False, why)
    fields.expect("policy.oa_step_convention", True, False, "the first executed action belongs to the last observation")
    sizes = ("diffusion_step_embed_dim", "kernel_size", "n_groups")
    return {
        "down_dims": fields.integers("policy.model.down_dims"),
        **{name: fields.integer(f"policy.model.{name}") for name in sizes},
        "cond_predict_scale": fields.boolean("policy.model.cond_predict_scale"),
    }


def _transformer(fields: Fields) -> dict[str, Any]:
    why = "time and observations are the condition here"
    fields.expect("policy.obs_as_cond", True, False, why)
    fields.expect("policy.model.time_as_cond", True, True, why)
    sizes = ("n_layer", "n_head", "n_emb", "n_cond_layers")
    return {
        **{name: fields.integer(f"policy.model.{name}") for name in sizes},
        # Only training drops anything; the rates are kept for those who go on with it.
        **{name: fields.number(f"policy.model.{name}") for name in ("p_drop_emb", "p_drop_attn")},
        "causal_attn": fields.boolean("policy.model.causal_attn"),
    }


def _state_dict(fields: Fields, payload: Mapping[str, Any]) -> dict[str, Tensor]:
    name = "ema_model" if fields.boolean("training.use_ema") else "model"
    state = Fields(fields.path, "file", payload).get(f"state_dicts.{name}", None)
    if not isinstance(state, Mapping):
        raise ValueError(f"{fields.path}: state_dicts.{name} is missing, which cfg.training.use_ema asks for")
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _drop_masks(path: Path, weights: dict[str, Tensor], config: Mapping[str, Any]) -> None:
    """Removes the stored attention masks, which follow from the sizes, after a look that they are those."""
    own = attention_masks(config["horizon"], 1 + config["n_obs_steps"])
    for name, mask in zip(("mask", "memory_mask"), own, strict=True):
        stored = weights.pop(name, None)
        causal = config["network_options"]["causal_attn"]
        if (stored is not None) != causal or (stored is not None and not stored.equal(mask)):
            raise ValueError(
                f"{path}: model.{name} is not the mask that horizon, n_obs_steps and causal_attn = {causal} give; "
                "expected the reference's attention"
            )


def _normalizer(path: Path, state: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    prefix = f"normalizer.params_dict.{kind}."
    names = {name: f"{prefix}{name}" for name in ("scale", "offset")}
    names.update({name: f"{prefix}input_stats.{name}" for name in STATISTICS})
    if missing := [name for name in names.values() if name not in state]:
        raise ValueError(f"{path}: {missing[0]} is missing; without its normaliser a policy has no units")
    return copied({name: state[stored] for name, stored in names.items()})


def _obs_keys(fields: Fields) -> tuple[tuple[str, int], ...]:
    """Names from the task's list where their sizes are sure, else one feature `obs`."""
    total = fields.integer("policy.obs_dim")
    try:
        keys = fields.get("task.obs_keys", None) or fields.get("task.dataset.obs_keys", None) or []
    except ValueError:
        keys = []
    sizes: dict[str, int | None] = {str(key): None for key in keys}
    for key in sizes:
        sizes[key] = next((size for ending, size in _ROBOSUITE_SIZES.items() if key.endswith(ending)), None)
    rest = total - sum(size or 0 for size in sizes.values())
    if [key for key, size in sizes.items() if size is None] != ["object"] or rest < 1:
        return (("obs", total),)
    return tuple((key, size or rest) for key, size in sizes.items())


def _action_names(fields: Fields) -> tuple[str, ...]:
    """Those of absolute poses where the task says so (position, rot6d, gripper for each arm), else numbers."""
    count = fields.integer("policy.action_dim")
    absolute = fields.maybe("task.abs_action") is True and count % len(ARM_ACTION_NAMES) == 0
    return action_names(count) if absolute else numbered("action", count)
