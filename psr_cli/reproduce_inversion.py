"""`psr reproduce inversion`: are the noises that DDIM would have made an object's views from alike?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from psr_cli.picture_comparison import add_prior_options, check_least, text_prior
from psr_cli.progress import Progress

KINDS = ("mug", "teapot", "bottle", "chair", "sofa", "lamp", "clock", "car", "house", "duck")
DESCRIPTION = """Renders random objects from all around, takes the views back to noise by DDIM run backwards, and
compares the noises of views of the same object, the same kind, and other kinds (figure B.1 of the thesis). Writes
table.md, table.json and noises.png. What is inverted is kept in noises: after Ctrl-C the same command goes on."""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "inversion",
        help="are the inverted noises of an object's views alike?",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add_prior_options(parser)
    add("--out", type=Path, default=Path("runs/reproduce/inversion"), help="folder")
    add("--kinds", nargs="+", metavar="KIND", default=KINDS, help="of objects, as `psr objects` has them")
    add("--objects", type=int, default=2, help="of each kind")
    add("--views", type=int, default=8, help="of each object")
    add("--steps", type=int, default=50, help="of DDIM")
    add("--text", action="store_true", help='tell the inversion the kind, such as "a mug"; otherwise nothing')
    add("--seed", type=int, default=0, help="of the objects")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Renders, inverts what is not kept yet, and writes the report; 130 when interrupted."""
    check_least(args, objects=2, views=2, steps=1, seed=0)
    from psr_core.diffusers_folder import modules_sha256
    from psr_core.files import git_revision
    from psr_core.object_prior.words import caption
    from psr_eval.environment import environment
    from psr_eval.inversion import Inversion, invert_objects, rendered_views
    from psr_eval.inversion_report import write_report
    from sim.objects.kinds import KINDS as KNOWN

    kinds = tuple(dict.fromkeys(args.kinds))
    if unknown := [kind for kind in kinds if kind not in KNOWN]:
        raise ValueError(f"--kinds has {', '.join(unknown)}, expected some of: {', '.join(KNOWN)}")
    if len(kinds) < 2:
        raise ValueError(f"--kinds has {len(kinds)} kind, expected 2 or more")
    prior = text_prior(args)
    for kind in kinds:
        prior.prompt(caption(kind), 1)
    inversion = Inversion(prior, modules_sha256(prior.parts), args.views, args.steps, args.text, args.seed)
    _, height, width = prior.image_shape
    progress = Progress("objects")
    try:
        noises, latents = invert_objects(
            inversion,
            kinds,
            args.objects,
            lambda kind, number: rendered_views(kind, number, args.seed, inversion.azimuths().tolist(), width),
            args.out / "noises",
            progress.count,
        )
        progress.end()
        settings = {
            **{name: getattr(args, name) for name in ("objects", "views", "steps", "text", "seed", "device", "dtype")},
            "kinds": len(kinds),
            "kind_names": list(kinds),
            "said": "the name of the kind" if args.text else "the empty text",
            "prior": str(args.prior),
            "prior_sha256": inversion.weights,
            "size": f"{width} x {height} pixels",
            "made_with": {"git_revision": git_revision(), **environment()},
        }
        paths = write_report(noises, latents, prior.shape[0], kinds, settings, args.out)
    except KeyboardInterrupt:
        print(f"\ninterrupted: {args.out} keeps what was made; the same command goes on", file=sys.stderr)
        return 130
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("\n".join(map(str, paths)))
    return 0
