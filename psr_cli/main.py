"""The `psr` command: finds the subcommand, runs it, turns known errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from psr_cli.interrupts import Interrupts

# The rest is imported once interrupts are noted.
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

# Each is a module psr_cli.<name> with add_parser(subparsers) and run(args) -> exit code.
SUBCOMMANDS = (
    *("doctor", "demo", "up", "param", "eval", "bag", "demos", "render", "objects", "lift"),
    *("train", "distill2d", "mesh", "convert", "info", "bench", "reproduce"),
)
# What a user, a file or a machine can cause; anything else is a fault in the suite and keeps its traceback.
KNOWN_ERRORS = (ValueError, OSError, ImportError)
USER_ERROR, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `psr` with these arguments (default: the process's own).

    Returns the subcommand's exit code, 2 after a known error (one line on stderr), 130 after Ctrl-C.
    Raises SystemExit on --help, --version and arguments that do not parse, as argparse does.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    with Interrupts() as interrupts:
        try:
            args = _parse(words)
            if interrupts.noted:
                raise KeyboardInterrupt
            return int(args.run(args))
        except KeyboardInterrupt:
            if debug:
                raise
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has left (`psr ... | head`). Nothing may be written any more, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            if debug:
                raise
            if interrupts.noted:  # and the interrupted code has made another error of it
                return INTERRUPTED
            if not isinstance(error, KNOWN_ERRORS):
                raise
            print(f"psr: error: {describe(error)}", file=sys.stderr)
            return USER_ERROR


def _parse(words: list[str]) -> argparse.Namespace:
    parser = build_parser(words)
    args, rest = parser.parse_known_args(words)
    # argparse takes a list of positionals in one piece only; name:=value may stand behind an option, too.
    if rest and hasattr(args, "assignments") and all(":=" in word for word in rest):
        args.assignments += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser; when `words` begins with a subcommand only that one's module is imported."""
    import argparse
    import importlib

    parser = argparse.ArgumentParser(
        prog="psr",
        description="Steer diffusion models (k, sigma) on a robot: run, evaluate, compare.",
        epilog="`psr COMMAND --help` says more. Start with `psr doctor`, then `psr demo`.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"psr {suite_version()}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in words[:1] if words and words[0] in SUBCOMMANDS else SUBCOMMANDS:
        importlib.import_module(f"psr_cli.{name}").add_parser(subparsers)
    return parser


def suite_version() -> str:
    """The installed suite's version, or "(not installed)" for a source tree that was never set up."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("psr_suite")
    except PackageNotFoundError:
        return "(not installed)"


def describe(error: BaseException) -> str:
    """An error as one line that says what to do where the text alone would not."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        return f"{text}; `make setup` installs everything, `psr doctor` says what is missing"
    return text


if __name__ == "__main__":
    sys.exit(main())
