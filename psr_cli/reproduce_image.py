"""`psr reproduce image`: table 1.3 (FID and CLIP score of steered samplers) on any text-to-image model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from psr_cli.progress import Progress

DESCRIPTION = """Draws images with DDIM, DDPM and EulerDiscrete, stock and steered, from the same prompts and the same
noise, and puts them into one table. FID, CLIP score, the Fréchet distance in CLIP's features and diversity need weights
on disk; the images are made without them, too."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "image",
        help="FID and CLIP score of a text-to-image model (table 1.3)",
        description=DESCRIPTION,
        epilog="Interrupted, or with --clip added later: the same command goes on where the images end.",
    )
    add = parser.add_argument
    add("--model", required=True, help="folder of a diffusers text-to-image pipeline, or a hub id (owner/name)")
    add("--prompts", type=Path, required=True, help=".txt (one a line), .json (list) or .jsonl (prompt or caption)")
    add("--out", type=Path, default=Path("runs/reproduce/image"), help="folder (default: %(default)s)")
    add("--settings", type=Path, help="rows of the table (default: config/reproduce/image.yaml, those of table 1.3)")
    add("--steps", type=int, default=50, help="network calls per image (default: 50)")
    add("--seed", type=int, default=0, help="of the noise, the same for every row (default: 0)")
    add("--images-per-prompt", type=int, default=1, metavar="N", help="(default: 1)")
    add("--batch-size", type=int, default=4, metavar="N", help="images made at a time (default: 4)")
    add("--height", type=int, help="in pixels (default: the model's own)")
    add("--width", type=int, help="in pixels (default: the model's own)")
    add("--guidance", type=float, default=7.5, help="classifier-free guidance scale (default: 7.5)")
    add("--guidance-sweep", type=float, nargs="+", default=[], metavar="SCALE", help="stock DDIM at these, too")
    add("--device", default="cpu", help="cpu, cuda or cuda:<number> (default: cpu)")
    add("--dtype", default="float32", help="float32, float16 or bfloat16 (default: float32)")
    add("--reference", type=Path, metavar="FOLDER", help="real images, for FID and FD (CLIP)")
    add("--inception", type=Path, metavar="FILE", help="inception-2015-12-05.pt (TorchScript), for FID")
    add("--clip", type=Path, metavar="FOLDER", help="CLIPModel folder of transformers, for the columns of CLIP")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make what is missing of the images, measure, write the table; 130 when interrupted (the images made stay)."""
    import diffusers
    import transformers

    from psr_eval.clip_scores import check_prompts
    from psr_eval.image_generation import generate
    from psr_eval.image_metrics import NAMES, Weights, measure
    from psr_eval.image_report import write_report

    for library in (diffusers, transformers):  # their bars of a second or two would only hide ours
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    plan = _plan(args)
    weights = Weights(args.inception, args.reference, args.clip)
    lacks = weights.lacks(plan)
    for name, reason in lacks.items():
        print(f"the {NAMES[name]} column will stay empty: {reason}", file=sys.stderr)
    if args.clip is not None and "clip" not in lacks:
        check_prompts(args.clip, plan.prompts)  # before the images, which take long
    progress = Progress("images")
    try:
        made = generate(plan, args.out, progress.count)
        progress.end(f"{made} images made, {plan.images * len(plan.rows) - made} were there")
        measured = measure(
            plan, args.out, weights, lambda done, rows, name: progress.say(f"measuring {done}/{rows} rows ({name})")
        )
        progress.end()
        files = write_report(plan, measured, args.out)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps the images made; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, files)))
    return 0


def _plan(args: argparse.Namespace) -> Any:
    from psr_cli.graph import suite_root
    from psr_eval.image_generation import ImagePlan
    from psr_eval.image_rows import guidance_sweep, read_prompts, read_rows

    rows = read_rows(args.settings or suite_root() / "config" / "reproduce" / "image.yaml", args.guidance)
    rows += guidance_sweep(rows, args.guidance_sweep)
    same = ("model", "steps", "seed", "images_per_prompt", "batch_size", "height", "width", "device", "dtype")
    return ImagePlan(prompts=read_prompts(args.prompts), rows=rows, **{name: getattr(args, name) for name in same})
