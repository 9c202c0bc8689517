"""Command-line options that several subcommands share."""

from __future__ import annotations

import argparse

from psr_core.steering import Steering


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Adds --k, --sigma, --method, --sampler, --steps and --noise-seed."""
    parser.add_argument("--k", type=float, default=1.0, help="sharpness: > 1 sharper, < 1 flatter (default: 1)")
    parser.add_argument("--sigma", type=float, default=1.0, help="assumed spread of a mode, normalised (default: 1)")
    parser.add_argument("--method", default="psr", help="psr or none (default: psr)")
    parser.add_argument("--sampler", default="ddim", choices=["ddim", "ddpm"], help="sampler (default: ddim)")
    parser.add_argument("--steps", type=int, default=16, help="network calls per sample (default: 16)")
    parser.add_argument("--noise-seed", type=int, default=0, help="seed of the policy's own noise (default: 0)")


def steering_from(args: argparse.Namespace) -> Steering:
    """The Steering that the options of add_sampling_options name. Raises ValueError naming the field."""
    return Steering(k=args.k, sigma=args.sigma, method=args.method)
