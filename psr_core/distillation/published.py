"""The options that the methods' released codes use on Stable Diffusion, in this library's convention of guidance.

Where a code adds g times the difference to the conditional prediction, g is one more here.
"""

from __future__ import annotations

from typing import Any

from psr_core.distillation.schedule import AnnealedTimes, RandomTimes, SlidingTimes

# steps: how many iterations those codes run. MSD has no released code: its paper names no bandwidth for images.
STEPS = dict(
    sds=10000, asd=25000, sdi=10000, consistent3d=3000, vsd=25000, esd=25000, hifa=25000, nfsd=25000, dsd=10000
)
PUBLISHED: dict[str, dict[str, Any]] = {
    "sds": dict(guidance=101.0),
    "asd": dict(guidance=7.5, source_guidance=1.0, times=SlidingTimes()),
    "sdi": dict(guidance=7.5, inversion_guidance=-7.5, entropy=0.3, times=AnnealedTimes(0.98, 0.25)),
    "consistent3d": dict(guidance=51.0, times=AnnealedTimes(0.7, 0.1, 0.5)),  # falls from 101 to 51 in the code
    "vsd": dict(guidance=7.5, critic_rate=1e-4, times=RandomTimes(after=5000)),
    "esd": dict(guidance=7.5, critic_rate=1e-4, entropy=0.5, times=RandomTimes(after=5000)),
    "hifa": dict(guidance=101.0, image_weight=0.01, times=AnnealedTimes(0.98, 0.30, 0.5)),
    "nfsd": dict(guidance=7.5),
    "dsd": dict(
        guidance=7.5,
        source_guidance=1.0,
        weighting="variance",
        times=AnnealedTimes(0.98, 0.32, 0.5),
        reading="recomputed",
    ),
}
