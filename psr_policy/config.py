"""What a policy is: its observations, actions, horizons, noise schedule and network, validated once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NETWORKS = ("unet", "transformer")
BETA_SCHEDULES = ("squaredcos_cap_v2", "linear", "scaled_linear")
PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class UnetOptions:
    """Size of a ConditionalUnet1D. Defaults are the reference's.

    down_dims: channels of each level, every one divisible by n_groups. diffusion_step_embed_dim: even.
    kernel_size: odd. cond_predict_scale: the condition scales the channels as well as shifting them (FiLM).
    Raises ValueError naming the field.
    """

    down_dims: tuple[int, ...] = (256, 512, 1024)
    diffusion_step_embed_dim: int = 256
    kernel_size: int = 5
    n_groups: int = 8
    cond_predict_scale: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "down_dims", tuple(self.down_dims))
        for name in ("diffusion_step_embed_dim", "kernel_size", "n_groups"):
            _positive_int(f"network_options.{name}", getattr(self, name))
        if len(self.down_dims) < 2:
            raise ValueError(f"network_options.down_dims is {self.down_dims}, expected at least two levels")
        for width in self.down_dims:
            _positive_int("network_options.down_dims", width)
            if width % self.n_groups:
                raise ValueError(
                    f"network_options.down_dims is {self.down_dims}, expected multiples of n_groups = {self.n_groups}"
                )
        if self.kernel_size % 2 == 0:
            raise ValueError(f"network_options.kernel_size is {self.kernel_size}, expected an odd number")
        _even_embedding("network_options.diffusion_step_embed_dim", self.diffusion_step_embed_dim)


@dataclass(frozen=True)
class TransformerOptions:
    """Size of a TransformerForDiffusion. Defaults are the reference's for robomimic tasks.

    n_emb: width, even and divisible by n_head. n_cond_layers: encoder layers over the condition, 0 for a small MLP.
    p_drop_emb, p_drop_attn: dropout probabilities in [0, 1). causal_attn: an action sees earlier ones only.
    Raises ValueError naming the field.
    """

    n_layer: int = 8
    n_head: int = 4
    n_emb: int = 256
    p_drop_emb: float = 0.0
    p_drop_attn: float = 0.3
    causal_attn: bool = True
    n_cond_layers: int = 0

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_emb"):
            _positive_int(f"network_options.{name}", getattr(self, name))
        if type(self.n_cond_layers) is not int or self.n_cond_layers < 0:
            raise ValueError(f"network_options.n_cond_layers is {self.n_cond_layers!r}, expected an integer >= 0")
        for name in ("p_drop_emb", "p_drop_attn"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"network_options.{name} is {getattr(self, name)}, expected 0 <= p < 1")
        if self.n_emb % self.n_head:
            raise ValueError(f"network_options.n_emb is {self.n_emb}, expected a multiple of n_head = {self.n_head}")
        _even_embedding("network_options.n_emb", self.n_emb)


OPTIONS: dict[str, type[UnetOptions | TransformerOptions]] = {
    "unet": UnetOptions,
    "transformer": TransformerOptions,
}


@dataclass(frozen=True)
class PolicyConfig:
    """A diffusion policy, apart from its weights.

    network: "unet" or "transformer"; network_options: its size, UnetOptions or TransformerOptions (default sizes when
    left out). obs_keys: (name, dimension) of every observation, in the order they are concatenated.
    action_names: one name for each of action_dim numbers.

    Timing, with To = n_obs_steps, Ta = n_action_steps, T = horizon, one step every step_period seconds:

        step of the chunk    0 .. To-2    To-1 ("now")    ..    To-1+Ta-1    ..    T-1
        observations         |---------- To ----------|
        actions predicted    |--------------------------- T --------------------------|
        actions executed                  |---------- Ta ----------|

    Noise schedule as in diffusers: num_train_timesteps, beta_schedule, prediction_type, clip_sample.
    Raises ValueError naming the field, its value and what was expected.
    """

    network: str
    obs_keys: tuple[tuple[str, int], ...]
    action_dim: int
    action_names: tuple[str, ...]
    horizon: int = 16
    n_obs_steps: int = 2
    n_action_steps: int = 8
    step_period: float = 0.05
    num_train_timesteps: int = 100
    beta_schedule: str = "squaredcos_cap_v2"
    prediction_type: str = "epsilon"
    clip_sample: bool = True
    network_options: UnetOptions | TransformerOptions = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        _one_of("network", self.network, NETWORKS)
        _one_of("beta_schedule", self.beta_schedule, BETA_SCHEDULES)
        _one_of("prediction_type", self.prediction_type, PREDICTION_TYPES)
        options: object = self.network_options
        if options is None:
            object.__setattr__(self, "network_options", options := OPTIONS[self.network]())
        if not isinstance(options, OPTIONS[self.network]):
            expected = OPTIONS[self.network].__name__
            raise ValueError(f"network_options is {options!r}, expected {expected} for network {self.network!r}")
        for name in ("action_dim", "horizon", "n_obs_steps", "n_action_steps", "num_train_timesteps"):
            _positive_int(name, getattr(self, name))
        self._check_observations_and_actions()
        self._check_timing()

    def _check_observations_and_actions(self) -> None:
        object.__setattr__(self, "obs_keys", tuple((str(name), dim) for name, dim in self.obs_keys))
        object.__setattr__(self, "action_names", tuple(self.action_names))
        keys = [name for name, _ in self.obs_keys]
        if not keys or len(set(keys)) < len(keys):
            raise ValueError(f"obs_keys names {keys}, expected at least one and no name twice")
        for name, dim in self.obs_keys:
            _positive_int(f"obs_keys[{name}]", dim)
        if len(self.action_names) != self.action_dim:
            names = len(self.action_names)
            raise ValueError(f"action_names has {names} names, expected action_dim = {self.action_dim}")

    def _check_timing(self) -> None:
        if not 0 < self.step_period < float("inf"):
            raise ValueError(f"step_period is {self.step_period}, expected seconds > 0")
        if self.n_obs_steps - 1 + self.n_action_steps > self.horizon:
            raise ValueError(
                f"n_action_steps is {self.n_action_steps}, expected at most horizon - n_obs_steps + 1 = "
                f"{self.horizon - self.n_obs_steps + 1}"
            )
        if isinstance(self.network_options, UnetOptions):
            factor = 2 ** (len(self.network_options.down_dims) - 1)
            if self.horizon % factor:
                raise ValueError(
                    f"horizon is {self.horizon}, expected a multiple of {factor}: the U-Net halves it at "
                    f"{len(self.network_options.down_dims) - 1} levels"
                )

    @property
    def obs_dim(self) -> int:
        """Length of one concatenated observation."""
        return sum(dim for _, dim in self.obs_keys)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> PolicyConfig:
        """The inverse of to_dict. Raises ValueError on unknown or missing fields."""
        values = dict(fields)
        _check_names("config", values, cls)
        _one_of("network", values["network"], NETWORKS)
        if isinstance(values.get("network_options"), Mapping):
            options = OPTIONS[values["network"]]
            _check_names("config.network_options", values["network_options"], options)
            values["network_options"] = options(**values["network_options"])
        return cls(**values)


def _check_names(where: str, fields: Mapping[str, Any], cls: type[Any]) -> None:
    known = {f.name: f for f in dataclasses.fields(cls)}
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{where} has unknown field {', '.join(unknown)}; expected some of: {', '.join(known)}")
    required = {n for n, f in known.items() if f.default is dataclasses.MISSING}
    if missing := sorted(required - set(fields)):
        raise ValueError(f"{where} lacks {', '.join(missing)}; expected at least: {', '.join(sorted(required))}")


def _one_of(name: str, value: Any, expected: tuple[str, ...]) -> None:
    if value not in expected:
        raise ValueError(f"{name} is {value!r}, expected one of: {', '.join(expected)}")


def _positive_int(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r}, expected an integer >= 1")


def _even_embedding(name: str, value: int) -> None:
    # Half the embedding are sines and half cosines, and their frequencies are spread over half - 1 intervals.
    if value % 2 or value < 4:
        raise ValueError(f"{name} is {value}, expected an even number >= 4")
