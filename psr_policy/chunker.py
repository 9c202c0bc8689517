"""ChunkSampler: from single observations to action chunks, the same way on a robot, in a bag and in a rollout."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from psr_core.seeds import noise_generator
from psr_core.steering import Steering
from psr_policy.policy import DiffusionPolicy


@dataclass(frozen=True)
class Chunk:
    """Actions from control step `step` on, and how they were drawn.

    rows (R, Da) float32, raw units: row i is meant for step + i; the first n_action_steps are meant to be executed.
    latency: seconds the sampling took.
    """

    rows: NDArray[np.float32]
    n_action_steps: int
    step: int
    steering: Steering
    sampler: str
    num_inference_steps: int
    latency: float


class ObservationHistory:
    """The last n_obs_steps observations of an episode, as a policy's network takes them."""

    def __init__(self, obs_keys: Sequence[tuple[str, int]], n_obs_steps: int) -> None:
        self.obs_keys = tuple(obs_keys)
        self._rows: deque[NDArray[np.float32]] = deque(maxlen=n_obs_steps)

    def __len__(self) -> int:
        return len(self._rows)

    def clear(self) -> None:
        """Forgets everything: a new episode begins."""
        self._rows.clear()

    def observe(self, features: Mapping[str, ArrayLike]) -> None:
        """Takes the observation of one control step: name -> numbers, exactly the obs_keys.

        Before there are n_obs_steps of them, the first is repeated. Raises ValueError on a missing or unknown name,
        another size, or a number that is not finite; the history is then as before.
        """
        row = self._row(features)
        if not self._rows:
            self._rows.extend([row] * ((self._rows.maxlen or 1) - 1))
        self._rows.append(row)

    def stacked(self) -> NDArray[np.float32]:
        """(To, Do) float32, the newest last, features in the order of obs_keys."""
        return np.stack(self._rows)

    def _row(self, features: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
        expected = {name for name, _ in self.obs_keys}
        if set(features) != expected:
            missing, unknown = sorted(expected - set(features)), sorted(set(features) - expected)
            raise ValueError(f"features: missing {missing}, unknown {unknown}; expected exactly {sorted(expected)}")
        parts = []
        for name, dim in self.obs_keys:
            values = np.asarray(features[name], dtype=np.float32)
            if values.shape != (dim,):
                raise ValueError(f"feature {name} has shape {values.shape}, expected ({dim},)")
            if not np.isfinite(values).all():
                raise ValueError(f"feature {name} is {values.tolist()}, expected finite numbers")
            parts.append(values)
        return np.concatenate(parts)


class ChunkSampler:
    """Keeps the observation history of one episode and samples chunks from it.

    Call reset(seed) when an episode begins, observe(features) once every control step, sample(step) when actions are
    wanted. The settings `steering`, `sampler` ("ddim", "ddpm") and `num_inference_steps` may change between calls.
    A chunk depends on the policy, the settings, the history, and (noise_seed, episode seed, step); on nothing else.
    """

    def __init__(self, policy: DiffusionPolicy, noise_seed: int = 0) -> None:
        self.policy = policy.eval()
        self.noise_seed = noise_seed
        self.steering = Steering()
        self.sampler = "ddim"
        self.num_inference_steps = min(16, policy.config.num_train_timesteps)
        self._episode_seed: int | None = None
        self._history = ObservationHistory(policy.config.obs_keys, policy.config.n_obs_steps)

    def reset(self, episode_seed: int) -> None:
        """Forgets the history: a new episode begins."""
        self._episode_seed = episode_seed
        self._history.clear()

    def observe(self, features: Mapping[str, ArrayLike]) -> None:
        """Takes the observation of one control step, as ObservationHistory.observe."""
        self._history.observe(features)

    def sample(self, step: int) -> Chunk:
        """The chunk whose first row is for control step `step`, that of the newest observation.

        Raises ValueError before reset() and observe(), or for settings the policy cannot follow.
        """
        if self._episode_seed is None or not self._history:
            raise ValueError("no observation yet: call reset(episode_seed) and observe(features) before sample(step)")
        return self.sample_from(self._history.stacked(), self._episode_seed, step)

    def sample_from(self, history: NDArray[np.float32], episode_seed: int, step: int) -> Chunk:
        """The same for a history (To, Do) of somebody else's, in the episode of that seed."""
        config = self.policy.config
        begin = time.perf_counter()
        actions = self.policy.sample(
            torch.from_numpy(history)[None],
            steering=self.steering,
            sampler=self.sampler,
            num_inference_steps=self.num_inference_steps,
            generators=[noise_generator(self.noise_seed, episode_seed, step)],
        )
        rows = actions[0, config.n_obs_steps - 1 :].cpu().numpy()
        latency = time.perf_counter() - begin
        return Chunk(rows, config.n_action_steps, step, self.steering, self.sampler, self.num_inference_steps, latency)
