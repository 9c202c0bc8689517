"""What comparisons of distillation on a text-to-image prior share: how it and CLIP are read, and what is refused."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psr_eval.clip_scores import ClipScorer

FEWEST_PROMPTS = 3


def add_prior_options(parser: argparse.ArgumentParser) -> None:
    """--prior, --device, --dtype."""
    add = parser.add_argument
    add("--prior", default="models/prior", metavar="FOLDER", help="Stable Diffusion pipeline of diffusers, or a hub id")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number>")
    add("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="of the prior's networks")


def check_prompts(args: argparse.Namespace) -> None:
    """Leaves each of --prompts once. Raises ValueError for too few, and for a dtype that the device is not for."""
    args.prompts = tuple(dict.fromkeys(args.prompts))
    if len(args.prompts) < FEWEST_PROMPTS:
        raise ValueError(f"--prompts has {len(args.prompts)} different texts, expected {FEWEST_PROMPTS} or more")
    if args.dtype == "float16" and args.device == "cpu":
        raise ValueError("dtype is float16 and device is cpu, where it is slow and overflows; use float32 or bfloat16")


def check_least(args: argparse.Namespace, **least: int) -> None:
    """Raises ValueError naming an option below the least that it may be."""
    for name, value in least.items():
        if getattr(args, name) < value:
            raise ValueError(f"--{name} is {getattr(args, name)}, expected {value} or more")


def quiet_libraries() -> None:
    """Their bars of a second or two would only hide ours."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def text_prior(args: argparse.Namespace, size: int | None = None) -> Any:
    """The prior of --prior. Raises ValueError for one of another kind."""
    import torch

    from psr_core.distillation.prior_folder import TEXT, open_prior

    quiet_libraries()
    folder = open_prior(args.prior)
    if folder.kind != TEXT:
        raise ValueError(f"prior {args.prior} is a {folder.kind} model, expected a {TEXT} one: Stable Diffusion")
    return folder.load(args.device, getattr(torch, args.dtype), size)


def clip_space(args: argparse.Namespace, prompts: Sequence[str]) -> ClipScorer | None:
    """The space of --clip to compare pictures in, tried on the prompts."""
    if args.clip is None:
        return None
    from psr_core.devices import torch_device
    from psr_core.diffusers_folder import reading
    from psr_eval.clip_scores import ClipScorer
    from psr_eval.image_metrics import Weights

    if lacking := Weights(clip=args.clip).clip_lacks():
        raise ValueError(lacking)
    device = torch_device(args.device)
    space = reading(str(args.clip), args.clip, lambda: ClipScorer(args.clip, device), "clip")
    space.text_features(list(prompts))
    return space


def methods_with_words(args: argparse.Namespace, prior: Any, negative: str, notes: list[str]) -> list[str]:
    """--methods, without NFSD where --negative is missing and the prior does not know the words of its paper; a note
    says so."""
    from psr_core.known_words import require_known

    methods = list(args.methods)
    if "nfsd" in methods and args.negative is None:
        try:
            require_known([negative], prior.tokenizer)
        except ValueError:
            methods.remove("nfsd")
            notes.append(
                "NFSD is left out: this prior knows too few words to say what no picture should be; --negative can."
            )
            print(notes[-1], file=sys.stderr)
    return methods
