"""All methods by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psr_core.distillation.asd import ASD
from psr_core.distillation.consistent3d import Consistent3D
from psr_core.distillation.dsd import DSD
from psr_core.distillation.esd import ESD
from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.hifa import HiFA
from psr_core.distillation.method import Method, option_names
from psr_core.distillation.msd import MSD
from psr_core.distillation.nfsd import NFSD
from psr_core.distillation.sdi import SDI
from psr_core.distillation.sds import SDS
from psr_core.distillation.vsd import VSD

METHODS: dict[str, type[Method]] = {
    one.name: one for one in (SDS, ASD, SDI, Consistent3D, VSD, ESD, HiFA, NFSD, DSD, MSD)
}


def make_method(name: str, prior: GuidedPrior, steps: int, **options: Any) -> Method:
    """The method of that name for a run of `steps`, with options of its own.

    Raises ValueError naming an unknown method, an unknown option or a value that is not allowed, before any work.
    """
    check_options(name, options)
    return METHODS[name](prior=prior, steps=steps, **options)


def check_options(name: str, options: Iterable[str]) -> None:
    """Raises ValueError naming an unknown method or the options that it does not have."""
    if name not in METHODS:
        raise ValueError(f"method is {name!r}, expected one of: {', '.join(METHODS)}")
    known = option_names(METHODS[name])
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"{name} has no option {', '.join(unknown)}; expected some of: {', '.join(known)}")
