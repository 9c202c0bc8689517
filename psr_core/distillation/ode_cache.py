"""The noise that DDIM predicts on its way down from a seed's noise: computed once for a seed and a view.

A trajectory depends on seed, view and guidance, not on the parameters, so all iterations can share it. It is advanced
when a time is asked for that it has not reached; all that stand at the same node go on in one call of the model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from psr_core.distillation.guidance import GuidedPrior
from psr_core.distillation.method import View
from psr_core.distillation.noise import FIXED, addressed_normal
from psr_core.integrators import ddim_step
from psr_core.predictions import clean_and_noise

READINGS = ("held", "interpolated", "exact", "recomputed")
KEPT = 3  # nodes of a trajectory: times fall, but for a draw of less than a node's distance
Key = tuple[int, int]  # seed and bin
Track = dict[int, tuple[Tensor, Tensor]]  # place in the grid -> x and noise there


class ODECache:
    """DDIM trajectories over falling times `nodes` > 0, the first T, under a guidance.

    reading: the noise at a time between nodes is "held" from the node before, "interpolated" between the two, linearly
    in time, or "exact": one more DDIM step and one more prediction. "recomputed" is exact and keeps nothing, as
    published. capacity: how many pairs of seed and bin are kept (at least a batch's); beyond it the one used longest
    ago goes, and is computed anew if it returns. A time noisier than what is kept starts a trajectory again, too.
    """

    def __init__(
        self, prior: GuidedPrior, nodes: Sequence[int], seed: int, guidance: float, reading: str, capacity: int
    ) -> None:
        self.prior, self.nodes, self.seed, self.guidance = prior, list(nodes), seed, guidance
        self.reading, self.capacity = reading, capacity
        self._starts: dict[int, Tensor] = {}
        self._tracks: OrderedDict[Key, Track] = OrderedDict()

    def noise(self, view: View, t: int) -> Tensor:
        """The noise (B, *shape) at time t of the trajectories that the view's rows follow."""
        if self.reading == "recomputed":
            self._tracks.clear()
        before = max(j for j, node in enumerate(self.nodes) if node >= t)
        last = before + 1 == len(self.nodes)
        if self.nodes[before] == t or self.reading == "held" or (last and self.reading == "interpolated"):
            return self._at(view, before)[1]
        if self.reading == "interpolated":
            nearer = self._at(view, before + 1)[1]
            share = (self.nodes[before] - t) / (self.nodes[before] - self.nodes[before + 1])
            return self._at(view, before)[1].lerp(nearer, share)
        x = self._step(*self._at(view, before), self.nodes[before], t)
        return self.prior.noise(x, t, view.prompt, self.guidance)

    def first_clean(self, view: View) -> Tensor:
        """x̂0 (B, *shape) of the first prediction: where parameters must start to follow the trajectory exactly."""
        x, eps = self._at(view, 0)
        return clean_and_noise("epsilon", eps, x, self.prior.levels.level(self.nodes[0]))[0]

    def start(self, view: View) -> Tensor:
        """The noise eps* (B, *shape) that each seed starts from; drawn once and kept, so that a checkpoint holds it."""
        rows = {seed: row for row, seed in enumerate(view.seeds.tolist()) if seed not in self._starts}
        if rows:
            index = torch.tensor(list(rows.values()), device=view.x.device)
            drawn = addressed_normal(view.x[index], self.seed, view.seeds[index], FIXED)
            self._starts.update(zip(rows, drawn, strict=True))
        return torch.stack([self._starts[seed] for seed in view.seeds.tolist()])

    def state_dict(self) -> dict[str, Any]:
        """The starting noises, and the trajectories, those used longest ago first."""
        return {"starts": dict(self._starts), "tracks": [(key, dict(track)) for key, track in self._tracks.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse: what follows is what would have followed."""
        self._starts = dict(state["starts"])
        self._tracks = OrderedDict((tuple(key), dict(track)) for key, track in state["tracks"])

    def _at(self, view: View, place: int) -> tuple[Tensor, Tensor]:
        """x and noise, each (B, *shape), at a place of the grid."""
        keys: list[Key] = list(zip(view.seeds.tolist(), view.bins.tolist(), strict=True))
        rows = {key: row for row, key in enumerate(keys)}
        for key in rows:
            track = self._tracks.setdefault(key, {})
            self._tracks.move_to_end(key)
            if track and min(track) > place:
                track.clear()
        for at in range(place + 1):
            due = {key: row for key, row in rows.items() if max(self._tracks[key], default=-1) == at - 1}
            if due:
                self._reach(at, list(due), view.rows(torch.tensor(list(due.values()), device=view.x.device)))
        while len(self._tracks) > max(self.capacity, len(rows)):
            self._tracks.popitem(last=False)
        x, eps = zip(*(self._tracks[key][place] for key in keys), strict=True)
        return torch.stack(x), torch.stack(eps)

    def _reach(self, place: int, keys: list[Key], view: View) -> None:
        """Brings trajectories, a row each, from the place before to this one."""
        if place == 0:
            x = self.start(view)
        else:
            x, eps = (torch.stack(one) for one in zip(*(self._tracks[key][place - 1] for key in keys), strict=True))
            x = self._step(x, eps, self.nodes[place - 1], self.nodes[place])
        eps = self.prior.noise(x, self.nodes[place], view.prompt, self.guidance)
        for key, *reached in zip(keys, x, eps, strict=True):
            self._tracks[key][place] = (reached[0], reached[1])
            self._tracks[key].pop(place - KEPT, None)

    def _step(self, x: Tensor, eps: Tensor, t: int, next_t: int) -> Tensor:
        clean, eps = clean_and_noise("epsilon", eps, x, self.prior.levels.level(t))
        return ddim_step(clean, eps, self.prior.levels.level(next_t))
