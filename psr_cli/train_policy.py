"""`psr train policy`: a diffusion policy from recorded demonstrations."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from psr_cli.training_command import card_so_far, run_to_end


def add_parser(subjects: Any) -> None:
    """Adds the subject."""
    policy = subjects.add_parser(
        "policy",
        help="a diffusion policy from a file of demonstrations",
        description="Train a diffusion policy from a robomimic HDF5 file with absolute actions, or from the Push-T "
        "demonstrations of the Diffusion Policy project as .npz (action, state, keypoint, episode_ends), of which a "
        "twentieth of the episodes, chosen by --seed, is held out. Ctrl-C saves and stops; the same command with "
        "--resume continues, and ends with the weights an uninterrupted run ends with (bit for bit on a CPU).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    policy.add_argument("--data", type=Path, required=True, help="robomimic HDF5 file, or Push-T .npz file")
    policy.add_argument(
        "--task", default=None, help="refuse demonstrations of another task than this (default: take any)"
    )
    policy.add_argument("--origin", default="", help="where the demonstrations come from, for the policy's card")
    policy.add_argument("--out", type=Path, required=True, help="folder for the policy, its training state and log")
    policy.add_argument("--resume", action="store_true", help="continue the run in --out, if there is one")
    policy.add_argument("--network", choices=("unet", "transformer"), default="unet")
    policy.add_argument("--down-dims", type=_integers, default=(64, 128, 192), help="U-Net: channels of each level")
    policy.add_argument("--embed-dim", type=int, default=64, help="U-Net: size of the time embedding")
    policy.add_argument("--kernel-size", type=int, default=5, help="U-Net: steps a convolution sees")
    policy.add_argument("--layers", type=int, default=8, help="transformer: decoder layers")
    policy.add_argument("--heads", type=int, default=4, help="transformer: attention heads")
    policy.add_argument("--width", type=int, default=256, help="transformer: width")
    policy.add_argument("--dropout", type=float, default=0.3, help="transformer: dropout in the layers")
    policy.add_argument(
        "--attention",
        choices=("causal", "full"),
        default="causal",
        help="transformer: an action attends to the earlier ones or to the whole chunk",
    )
    policy.add_argument(
        "--prediction",
        choices=("epsilon", "sample", "v_prediction"),
        default="epsilon",
        help="what the network predicts: the noise, the actions, or v",
    )
    policy.add_argument("--obs-keys", type=_names, default=None, help="observations, in order (default: the data's)")
    policy.add_argument("--obs-normalization", choices=("limits", "global_scale"), default="limits")
    policy.add_argument("--horizon", type=int, default=16, help="actions predicted at once")
    policy.add_argument("--n-obs-steps", type=int, default=2, help="observations the policy sees")
    policy.add_argument("--n-action-steps", type=int, default=8, help="actions executed before the next prediction")
    policy.add_argument("--steps", type=int, default=20000, help="optimiser steps in all")
    policy.add_argument("--batch-size", type=int, default=256)
    policy.add_argument("--lr", type=float, default=1e-4, help="learning rate after the warm-up")
    policy.add_argument("--warmup-steps", type=int, default=500)
    policy.add_argument("--grad-clip", type=float, default=0.0, help="largest gradient norm, 0 for none")
    policy.add_argument("--seed", type=int, default=0)
    policy.add_argument("--device", default="cpu", help="torch device: cpu, cuda, cuda:1")
    policy.add_argument("--save-dtype", choices=("float32", "float16"), default="float32", help="of the stored weights")
    policy.add_argument("--save-seconds", type=float, default=120.0, help="seconds between two saves")
    policy.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Trains; 0 when it came to the end, 130 when it was stopped and can be resumed."""
    from psr_core.devices import torch_device
    from psr_policy.checkpoint import load_policy
    from psr_policy.train import Trainer
    from psr_policy.training_data import load_training_data
    from psr_policy.training_run import policy_run

    data = load_training_data(args.data, args.obs_keys, args.seed)
    if args.task is not None:
        _check_task(args, data)
    origin = {"origin": args.origin} if args.origin else {}
    device = torch_device(args.device)
    trainer = Trainer(_config(args, data.train), _settings(args), data.train, data.valid, device)
    parameters = sum(p.numel() for p in trainer.policy.model.parameters())
    print(
        f"{args.network} with {parameters / 1e6:.2f} M parameters; {data.card['train_episodes']} episodes, "
        f"{len(trainer.train_data.index)} windows to train on, {data.card['valid_episodes']} episodes held out",
        flush=True,
    )
    card = {**card_so_far(), "data": {**data.card, **origin}}
    training = policy_run(trainer, args.out, card, resume=args.resume, save_dtype=args.save_dtype)
    if not run_to_end(training, args.save_seconds):
        return 130
    print(f"saved {load_policy(args.out).checkpoint_id} in {args.out}")
    return 0


def _check_task(args: argparse.Namespace, data: Any) -> None:
    from sim.tasks import get_task

    task, said = get_task(args.task), data.card.get("task")
    if said not in (None, task.name):
        raise ValueError(f"{args.data} holds demonstrations of task {said}, expected {task.name}; choose its file")
    observed = dict(data.train.obs_keys)
    differing = [
        f"{name} has {observed[name]} numbers, expected {size}"
        for name, size in task.obs_keys
        if observed.get(name, size) != size
    ]
    if differing:
        raise ValueError(f"{args.data} is not of task {task.name}: {'; '.join(differing)}; choose its file")


def _config(args: argparse.Namespace, data: Any) -> Any:
    from psr_policy.config import PolicyConfig, TransformerOptions, UnetOptions

    options: UnetOptions | TransformerOptions
    if args.network == "unet":
        options = UnetOptions(args.down_dims, args.embed_dim, args.kernel_size)
    else:
        options = TransformerOptions(
            args.layers, args.heads, args.width, p_drop_attn=args.dropout, causal_attn=args.attention == "causal"
        )
    return PolicyConfig(
        network=args.network,
        obs_keys=data.obs_keys,
        action_dim=len(data.action_names),
        action_names=data.action_names,
        horizon=args.horizon,
        n_obs_steps=args.n_obs_steps,
        n_action_steps=args.n_action_steps,
        step_period=data.step_period,
        prediction_type=args.prediction,
        network_options=options,
    )


def _settings(args: argparse.Namespace) -> Any:
    from psr_policy.train import PolicyTrainSettings

    # The reference trains the two networks with different AdamW settings.
    own: dict[str, Any] = {"betas": (0.9, 0.95), "weight_decay": 1e-3} if args.network == "transformer" else {}
    return PolicyTrainSettings(
        steps=args.steps,
        batch_size=args.batch_size,
        lr=args.lr,
        warmup_steps=args.warmup_steps,
        grad_clip=args.grad_clip,
        obs_normalization=args.obs_normalization,
        seed=args.seed,
        **own,
    )


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))
