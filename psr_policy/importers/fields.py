"""Named access to a foreign configuration: every error names the file, the field, its value and what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_REQUIRED = object()


class Fields:
    """A tree of dicts, lists and plain values; fields are addressed as "policy.horizon".

    path: the file, and where: what stands before a field's name in errors ("cfg").
    """

    def __init__(self, path: Path, where: str, tree: Any) -> None:
        self.path, self.where, self.tree = path, where, tree

    def get(self, name: str, default: Any = _REQUIRED) -> Any:
        """The value of a field. Raises ValueError when it is missing and there is no default."""
        node = self.tree
        for part in name.split("."):
            node = self.resolve(name, node)
            if not isinstance(node, Mapping) or part not in node:
                if default is not _REQUIRED:
                    return default
                raise ValueError(f"{self.path}: {self.where}.{name} is missing; it is not a complete checkpoint")
            node = node[part]
        return self.resolve(name, node)

    def resolve(self, name: str, node: Any) -> Any:
        """What a value stands for: itself. Formats with references override it."""
        return node

    def integer(self, name: str) -> int:
        value = self.get(name)
        if type(value) is not int:
            raise self.fault(name, value, "an integer")
        return value

    def boolean(self, name: str, default: Any = _REQUIRED) -> bool:
        value = self.get(name, default)
        if type(value) is not bool:
            raise self.fault(name, value, "true or false")
        return value

    def number(self, name: str) -> float:
        value = self.get(name)
        if type(value) not in (int, float):
            raise self.fault(name, value, "a number")
        return float(value)

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str):
            raise self.fault(name, value, "a text")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        value = self.get(name)
        if not isinstance(value, (list, tuple)) or any(type(item) is not int for item in value):
            raise self.fault(name, value, "a list of integers")
        return tuple(value)

    def texts(self, name: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        value = self.get(name, default)
        if not isinstance(value, (list, tuple)) or not value or any(not isinstance(item, str) for item in value):
            raise self.fault(name, value, "a list of names")
        return tuple(value)

    def expect(self, name: str, expected: Any, default: Any = _REQUIRED, why: str = "") -> None:
        """Raises ValueError unless the field (or, when it is missing, the default) equals what is expected."""
        value = self.get(name, default)
        if value != expected or isinstance(value, bool) != isinstance(expected, bool):
            raise self.fault(name, value, f"{expected!r}{'; ' + why if why else ''}")

    def known(self, name: str, names: Iterable[str]) -> None:
        """Raises ValueError naming a field below `name` that is not one of these: it might change what is computed."""
        node = self.get(name)
        if not isinstance(node, Mapping):
            raise self.fault(name, node, "a group of fields")
        if unknown := sorted(set(node) - set(names)):
            raise ValueError(
                f"{self.path}: {self.where}.{name}.{unknown[0]} = {node[unknown[0]]!r} is not known here, and might "
                f"change what the policy does; expected only {', '.join(sorted(names))}"
            )

    def maybe(self, name: str) -> Any:
        """A field for the record: None when it is missing, cannot be resolved, or is no plain value."""
        try:
            value = self.get(name, None)
        except ValueError:
            return None
        return value if isinstance(value, (str, int)) or isinstance(value, float) and math.isfinite(value) else None

    def fault(self, name: str, value: Any, expected: str) -> ValueError:
        """The error that a field's value is not what was expected, to raise."""
        return ValueError(f"{self.path}: {self.where}.{name} is {value!r}, expected {expected}")


# What the native schedulers do (psr_policy.policy.make_scheduler); another value would sample differently.
_NATIVE_SCHEDULER = {
    "variance_type": "fixed_small",
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "trained_betas": None,
    "timestep_spacing": "leading",
    "thresholding": False,
    "rescale_betas_zero_snr": False,
}
_NATIVE_BETAS = {"beta_start": 0.0001, "beta_end": 0.02}
_READ = ("num_train_timesteps", "beta_schedule", "prediction_type", "clip_sample", "clip_sample_range", "_target_")
# The last two act with thresholding only, which is refused.
SCHEDULER_FIELDS = {*_NATIVE_SCHEDULER, *_NATIVE_BETAS, *_READ, "dynamic_thresholding_ratio", "sample_max_value"}
_SCHEDULERS = ("DDPMScheduler", "DDIMScheduler")


def noise_schedule(fields: Fields, prefix: str) -> dict[str, Any]:
    """The noise schedule among a PolicyConfig's fields, from diffusers' names below prefix ("policy.noise_scheduler.").

    Raises ValueError naming a field that is missing, or whose value the native schedulers do not have.
    """
    schedule = {
        "num_train_timesteps": fields.integer(f"{prefix}num_train_timesteps"),
        "beta_schedule": fields.text(f"{prefix}beta_schedule"),
        "prediction_type": fields.text(f"{prefix}prediction_type"),
        "clip_sample": fields.boolean(f"{prefix}clip_sample"),
    }
    target = fields.get(f"{prefix}_target_", _SCHEDULERS[0])
    if str(target).rpartition(".")[2] not in _SCHEDULERS:
        raise fields.fault(f"{prefix}_target_", target, f"one of: {', '.join(_SCHEDULERS)}")
    native = dict(_NATIVE_SCHEDULER)
    if schedule["clip_sample"]:
        native["clip_sample_range"] = 1.0
    if schedule["beta_schedule"] != "squaredcos_cap_v2":  # which has no such ends
        native.update(_NATIVE_BETAS)
    for name, value in native.items():
        fields.expect(f"{prefix}{name}", value, value, "the native scheduler has no other")
    return schedule
