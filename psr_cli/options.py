"""Command-line options that several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from psr_cli.graph import Plan, load_graph
from psr_core.steering import NAMED, Steering


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Adds --k, --sigma, --method, --integrator, --cap, --sampler, --steps and --noise-seed."""
    parser.add_argument("--k", type=float, default=1.0, help="sharpness: > 1 sharper, < 1 flatter (default: 1)")
    parser.add_argument("--sigma", type=float, default=1.0, help="assumed spread of a mode, normalised (default: 1)")
    parser.add_argument("--method", default="psr", choices=NAMED["method"], help="how k acts (default: psr)")
    parser.add_argument(
        "--integrator", default="plain", choices=NAMED["integrator"], help="how a step is taken (default: plain)"
    )
    parser.add_argument("--cap", action="store_true", help="never step past the predicted clean sample")
    parser.add_argument("--sampler", default="ddim", choices=["ddim", "ddpm"], help="sampler (default: ddim)")
    parser.add_argument("--steps", type=int, default=16, help="network calls per sample (default: 16)")
    parser.add_argument("--noise-seed", type=int, default=0, help="seed of the policy's own noise (default: 0)")


def steering_from(args: argparse.Namespace) -> Steering:
    """The Steering that the options of add_sampling_options name. Raises ValueError naming the field."""
    return Steering(args.k, args.sigma, args.method, args.integrator, args.cap)


def default_checkpoint(task: str) -> Path:
    """The checkpoint that `psr up sim task:=TASK` runs; from the current folder on where it lies below that."""
    nodes = load_graph("sim").resolve({"task": task}).nodes
    found = Path(next(str(node.parameters["checkpoint"]) for node in nodes if node.name == "policy"))
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def check_steering(plan: Plan) -> None:
    """Raises ValueError when a policy of the plan could not follow its steering parameters, before anything runs."""
    for node in plan.nodes:
        given = {name: value for name, value in node.parameters.items() if name.startswith("steering.")}
        steering = Steering.from_dict({name.removeprefix("steering."): value for name, value in given.items()})
        # Every sampler takes the rest; to ask one means to import torch.
        special = steering.method == "nns" or steering.integrator != "plain" or steering.cap
        if special and {"checkpoint", "sampler"} <= set(node.parameters):
            from psr_policy.checkpoint import read_config
            from psr_policy.policy import steered_scheduler

            config = read_config(str(node.parameters["checkpoint"]))
            steered_scheduler(config, steering, str(node.parameters["sampler"]), num_inference_steps=1)
