"""How close few-step samples of a policy come to its steered flow, by each integrator: distances to a fine reference.

A reference starts from the same noise under the same observation, takes plain steered DDIM steps and clips the clean
sample as the policy's scheduler does. There are four:

* fine: from the noisiest level, several steps for each training timestep. In between the network is given fractional
  timesteps (its sinusoidal embedding is defined there; it was trained at whole ones, where it is called as usual) and
  levels interpolated in log-SNR.
* whole: from the noisiest level, one step for each training timestep, no fractions: the policy's own sampler with as
  many calls. How far it is from the fine one says how much the network can be asked at fractional timesteps.
* same_start: as whole, but from the level at which the sampler with so few calls begins. With "leading" timesteps that
  is a later one (75 of 0 to 99 for 4 calls), whatever the integrator; against this reference only integration counts.
* before_end: as same_start, but both are compared where their last step begins, at timestep 0. Below that no policy is
  trained, so the flow has no truth there: a plain last step takes all the noise that is left for error, a Gaussian one
  leaves a share of it, and the two differ where a mode is not much wider than that noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from psr_core.integrators import ddim_step
from psr_core.predictions import clean_and_noise, steer_prediction
from psr_core.seeds import noise_generator
from psr_core.steering import Level, Steering, noise_factor
from psr_eval.rollouts import RolloutPlan
from psr_policy.chunker import ChunkSampler
from psr_policy.policy import DiffusionPolicy, make_scheduler, set_timesteps

OBSERVED_SEED = 300_000  # initial states from which observations are taken
REFERENCES = ("fine", "whole", "same_start", "before_end")
CLEAN = Level(1.0, 0.0)


@dataclass(frozen=True)
class Group:
    """Few-step settings that share a reference: `reference` is its steering, plain."""

    reference: Steering
    steerings: tuple[Steering, ...]
    calls: tuple[int, ...]


@dataclass(frozen=True)
class Inputs:
    """Observation histories (N, To, Do), raw, and what addresses the starting noise of each row."""

    obs: Tensor
    seed: int
    noises: int

    @property
    def rows(self) -> Tensor:
        """Every observation once for each noise, (N * noises, To, Do)."""
        return self.obs.repeat_interleave(self.noises, dim=0)

    def generators(self) -> list[torch.Generator]:
        """Fresh generators, one a row; the same at every call."""
        return [noise_generator(self.seed, i, j) for i in range(len(self.obs)) for j in range(self.noises)]


def groups(ks: Sequence[float], sigmas: Sequence[float], calls: Sequence[int]) -> list[Group]:
    """Every integrator, and the capped plain step, for each k and σ. With k = 1 plain is stock DDIM, whatever σ is."""
    found = []
    for k in ks:
        if k == 1:
            gaussian = [s for sigma in sigmas for s in integrators(Steering(sigma=sigma))[1:3]]
            found.append(Group(Steering(), (Steering(), *gaussian), tuple(calls)))
        else:
            plain = [Steering(k=k, sigma=sigma) for sigma in sigmas]
            found += [Group(steering, integrators(steering), tuple(calls)) for steering in plain]
    return found


def integrators(plain: Steering) -> tuple[Steering, ...]:
    """The same dial by the plain step, by both Gaussian integrators, and by the capped plain step."""
    return (
        plain,
        replace(plain, integrator="gaussian"),
        replace(plain, integrator="gaussian2"),
        replace(plain, cap=True),
    )


def observe(policy: DiffusionPolicy, task: str, n: int) -> Tensor:
    """Observation histories (n, To, Do), raw, before the chunks of the unsteered policy's episodes on fixed seeds."""
    chunker = ChunkSampler(policy)
    player = RolloutPlan(task, Path(policy.checkpoint_id)).player(policy.config)
    histories: list[np.ndarray] = []
    for seed in count(OBSERVED_SEED):
        player.begin(seed)
        while not player.over:
            if len(histories) == n:
                return torch.from_numpy(np.stack(histories))
            histories.append(player.history)
            player.play(chunker.sample_from(player.history, seed, player.step).rows)
    raise AssertionError("seeds do not end")


def measure(
    policy: DiffusionPolicy,
    inputs: Inputs,
    group: Group,
    unsteered: Tensor,
    refinement: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Distances of a group's samples to its references, mean and standard deviation over rows, as plain values.

    A distance is the root mean square over a chunk (horizon, Da) in normalised units. Beside those of the cells:
    fine_to_whole, between the two references; effect, between the whole references with and without steering
    (`unsteered`: whole_reference without); noise, between the whole references of an observation's first two noises.
    advance is called after each network call.
    """
    last = policy.config.num_train_timesteps - 1
    fine = reference(policy, inputs, group.reference, last, refinement, advance).sample
    whole = whole_reference(policy, inputs, group.reference, advance)
    same_start = {
        calls: reference(policy, inputs, group.reference, first_timestep(policy, calls), 1, advance)
        for calls in group.calls
    }
    cells = []
    for steering, calls in ((s, c) for s in group.steerings for c in group.calls):
        drawn, start = few_steps(policy, inputs, steering, calls), same_start[calls]
        differences = [drawn.sample - other for other in (fine, whole, start.sample)] + [drawn.before - start.before]
        distances = {name: _summary(_rms(each)) for name, each in zip(REFERENCES, differences, strict=True)}
        cells.append({"steering": steering.to_dict(), "calls": calls, **distances})
    pairs = whole.reshape(len(inputs.obs), inputs.noises, -1)
    return {
        "fine_to_whole": _summary(_rms(fine - whole)),
        "effect": _summary(_rms(whole - unsteered)),
        "noise": _summary(_rms(pairs[:, 0] - pairs[:, 1])) if inputs.noises > 1 else None,
        "cells": cells,
    }


def network_calls(policy: DiffusionPolicy, group: Group, refinement: int) -> int:
    """How often measure() calls its `advance` for a group: the references' network calls, nearly all there are."""
    last = policy.config.num_train_timesteps - 1
    starts = sum(first_timestep(policy, calls) + 1 for calls in group.calls)
    return (last * refinement + 1) + (last + 1) + starts


class Drawn(NamedTuple):
    """Normalised samples (rows, horizon, Da), and what they were before their last step."""

    sample: Tensor
    before: Tensor


def few_steps(policy: DiffusionPolicy, inputs: Inputs, steering: Steering, calls: int) -> Drawn:
    """What the policy samples."""
    seen: list[Tensor] = []
    hook = policy.model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    try:
        raw = policy.sample(
            inputs.rows, steering=steering, sampler="ddim", num_inference_steps=calls, generators=inputs.generators()
        )
    finally:
        hook.remove()
    return Drawn(policy.normalizer.action.normalize(raw), seen[-1])


def whole_reference(
    policy: DiffusionPolicy, inputs: Inputs, steering: Steering, advance: Callable[[], None] = lambda: None
) -> Tensor:
    """The sample of as many steps as there are training timesteps."""
    return reference(policy, inputs, steering, policy.config.num_train_timesteps - 1, 1, advance).sample


@torch.no_grad()
def reference(
    policy: DiffusionPolicy,
    inputs: Inputs,
    steering: Steering,
    first: int,
    refinement: int,
    advance: Callable[[], None] = lambda: None,
) -> Drawn:
    """Plain steered DDIM from training timestep `first`, `refinement` steps for each. advance: after each call."""
    config, kind = policy.config, policy.config.prediction_type
    condition = policy.normalizer.obs.normalize(inputs.rows)
    shape = (config.horizon, config.action_dim)
    after = torch.stack([torch.randn(shape, generator=g) for g in inputs.generators()])
    timesteps, levels = fine_levels(policy, first, refinement)
    for timestep, level, next_level in zip(timesteps, levels, [*levels[1:], CLEAN], strict=True):
        x, prediction = after, policy.model(after, torch.full((len(after),), timestep), condition)
        steered = steer_prediction(kind, prediction, x, level, noise_factor(level, steering))
        clean, eps = clean_and_noise(kind, steered, x, level)
        after = ddim_step(clean.clamp(-1, 1) if config.clip_sample else clean, eps, next_level)
        advance()
    return Drawn(after, x)


def fine_levels(policy: DiffusionPolicy, first: int, refinement: int) -> tuple[list[float], list[Level]]:
    """Timesteps from `first` to 0, `refinement` steps for each whole one, and their noise levels.

    Levels at whole timesteps are the training's; between two they are interpolated linearly in log-SNR.
    """
    table = make_scheduler(policy.config, "ddim").alphas_cumprod.double().numpy()
    timesteps = [first - i / refinement for i in range(first * refinement + 1)]
    log_snr = np.interp(timesteps, np.arange(len(table)), np.log(table / (1 - table)))
    return timesteps, [Level(math.sqrt(_sigmoid(value)), math.sqrt(_sigmoid(-value))) for value in log_snr]


def first_timestep(policy: DiffusionPolicy, calls: int) -> int:
    """The training timestep at which the policy's DDIM sampler begins with so many calls."""
    scheduler = make_scheduler(policy.config, "ddim")
    set_timesteps(scheduler, calls)
    return int(scheduler.timesteps[0])


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _rms(difference: Tensor) -> Tensor:
    return difference.flatten(1).square().mean(1).sqrt()


def _summary(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std()), "n": len(values)}
