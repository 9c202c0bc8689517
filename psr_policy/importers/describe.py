"""What a checkpoint is, in words and numbers, without converting it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psr_policy.checkpoint import load_policy, read_description
from psr_policy.importers.foreign import to_native
from psr_policy.importers.formats import LABELS, NATIVE, fingerprints, open_source, origin, read
from psr_policy.policy import DiffusionPolicy

_SCHEDULE = ("num_train_timesteps", "beta_schedule", "prediction_type", "clip_sample")


def describe(path: Path | str, format: str = "auto") -> dict[str, Any]:
    """Plain JSON values: source, format, sha256, usable, why_not, says (of its making), notes, and the policy's own.

    format is None for a file that cannot be opened safely. usable: it runs as it is (native) or can be converted; else
    why_not says what is in the way. Raises FileNotFoundError for what is not there.
    """
    path = Path(path)
    facts: dict[str, Any] = {"source": str(path), "format": None, "label": None, "usable": False, "why_not": None}
    try:
        source = open_source(path, format)
        facts.update(format=source.format, label=LABELS[source.format], sha256=fingerprints(path))
        facts.update(_native(path) if source.format == NATIVE else {"says": origin(source)})
        if source.format != NATIVE:
            foreign = read(source)
            facts.update(notes=list(foreign.notes), policy=describe_policy(to_native(foreign)))
        facts["usable"] = True
    except ValueError as error:
        facts.setdefault("sha256", fingerprints(path))
        facts["why_not"] = str(error)
    return facts


def _native(path: Path) -> dict[str, Any]:
    says = dict(read_description(path)["card"])
    return {"notes": says.pop("notes", []), "says": says, "policy": describe_policy(load_policy(path))}


def describe_policy(policy: DiffusionPolicy) -> dict[str, Any]:
    """Network, sizes, timing, noise schedule, and the layout and normalisation of observations and actions."""
    config = policy.config.to_dict()
    first = config["n_obs_steps"] - 1
    return {
        "network": config["network"],
        "network_options": config["network_options"],
        "parameters": sum(parameter.numel() for parameter in policy.model.parameters()),
        **{name: config[name] for name in ("horizon", "n_obs_steps", "n_action_steps", "step_period")},
        "executed": [first, first + config["n_action_steps"]],
        "scheduler": {name: config[name] for name in _SCHEDULE},
        "obs": _columns(config["obs_keys"], policy.normalizer.obs),
        "actions": _columns([(name, 1) for name in config["action_names"]], policy.normalizer.action),
    }


def _columns(keys: list[tuple[str, int]], field: Any) -> list[dict[str, Any]]:
    rows, start = [], 0
    for name, size in keys:
        part = slice(start, start + size)
        numbers = {key: getattr(field, key)[part].tolist() for key in ("min", "max", "scale", "offset")}
        rows.append({"name": name, "columns": [start, start + size], **numbers})
        start += size
    return rows


def as_text(facts: Mapping[str, Any]) -> str:
    """The facts of describe() for a person to read."""
    lines = [facts["source"], f"  format       {facts['label'] or 'unknown'}"]
    sha256 = facts["sha256"]
    for name, digest in sha256.items() if isinstance(sha256, Mapping) else [("", sha256)]:
        lines.append(f"  sha256       {digest} {name}".rstrip())
    lines += policy_lines(facts["policy"]) if "policy" in facts else []
    for name, value in _flat(facts.get("says", {})):
        lines.append(f"  says         {name}: {value}")
    lines += [f"  note         {note}" for note in facts.get("notes", [])]
    if facts["why_not"]:
        lines.append(f"  not usable   {facts['why_not']}")
    elif facts["format"] == NATIVE:
        lines.append("  usable       as it is")
    else:
        lines.append(f"  usable       after `psr convert {facts['source']} FOLDER`")
    return "\n".join(lines)


def policy_lines(policy: Mapping[str, Any]) -> list[str]:
    """What describe_policy found, a line each."""
    options = ", ".join(f"{name} {value}" for name, value in policy["network_options"].items())
    schedule = ", ".join(f"{name} {value}" for name, value in policy["scheduler"].items())
    start, end = policy["executed"]
    lines = [
        f"  network      {policy['network']}, {policy['parameters']:,} parameters ({options})",
        f"  timing       {policy['n_obs_steps']} observations in, {policy['horizon']} actions out, rows {start} to "
        f"{end - 1} executed, {policy['step_period']:g} s a step",
        f"  noise        {schedule}",
    ]
    for kind, title in (("obs", "observation"), ("actions", "action")):
        for row in policy[kind]:
            first, last = row["columns"][0], row["columns"][1] - 1
            columns = f"column {first}" if first == last else f"columns {first} to {last}"
            lines.append(
                f"  {title:<12} {row['name']}, {columns}, from {min(row['min']):.4g} to {max(row['max']):.4g}, "
                f"scale {_span(row['scale'])}, offset {_span(row['offset'])}"
            )
    return lines


def _span(numbers: list[float]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:.4g}" if low == high else f"{low:.4g} .. {high:.4g}"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names with dots and plain values; the card of a policy is a tree."""
    rows: list[tuple[str, Any]] = []
    for name, value in tree.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return rows
