"""Steered diffusers schedulers: identical at k = 1, right in distribution, stock on disk, at home in pipelines."""

import copy
import dataclasses
import inspect
import json
import pickle

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_core.predictions import steer_prediction
from psr_core.scheduler_levels import family_of
from psr_core.schedulers import STEERABLE, steer
from psr_core.steering import Steering, noise_factor
from tests.psr_core.gaussian_data import MEAN, SPREAD, make, noise, trajectory

KINDS = ("epsilon", "v_prediction", "sample")
# What each stock scheduler offers.
MATRIX = [
    (cls, kind)
    for cls in STEERABLE
    for kind in (("flow_prediction",) if cls is FlowMatchEulerDiscreteScheduler else KINDS)
    if (cls, kind) != (EulerAncestralDiscreteScheduler, "sample")
]
MATRIX += [(cls, "flow_prediction") for cls in (DPMSolverMultistepScheduler, UniPCMultistepScheduler)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INTEGRABLE = [
    (cls, kind)
    for cls, kind in MATRIX
    if cls not in (DDPMScheduler, EulerAncestralDiscreteScheduler, LCMScheduler, HeunDiscreteScheduler)
]


def _make(cls, kind, **config):
    return make(cls, kind, use_flow_sigmas=kind == "flow_prediction", **config)


def _ratio(samples):
    return float(samples.var()) / SPREAD**2


def _network(kind, x, level):
    """Some network's answer in x's dtype; what it means does not matter."""
    return torch.tanh(0.7 * x + 0.1)


@pytest.mark.parametrize("cls, kind", MATRIX)
class TestEverySchedulerAndPrediction:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("method", ["psr", "none"])
    def test_k_one_is_bit_identical_to_stock(self, cls, kind, dtype, method):
        stock, x = _make(cls, kind), noise(2, 4, 3, dtype=dtype)
        steered = steer(stock, Steering(k=1.0, sigma=0.3, method=method))
        expected = trajectory(stock, 6, x, kind, _network)
        assert torch.equal(trajectory(steered, 6, x, kind, _network), expected)
        assert expected.dtype == trajectory(steer(stock, Steering(k=2.0)), 6, x, kind, _network).dtype

    @pytest.mark.parametrize("k", [0.5, 4.0])
    def test_psr_divides_the_variance_by_k_and_keeps_the_mean(self, cls, kind, k):
        """Against the same sampler's own k = 1, so that its bias at this number of steps does not count."""
        x = noise(5000, 1)
        stock, steered = (
            trajectory(steer(_make(cls, kind), Steering(k=at, sigma=SPREAD)), 100, x, kind) for at in (1.0, k)
        )
        assert steered.mean().item() == pytest.approx(MEAN, abs=0.02)
        # LCM takes steps to the clean sample and back: its factor acts at every one, so it sharpens by more than k.
        few, much = (0.5, 1.1) if cls is not LCMScheduler or k < 1 else (0.1, 0.9)
        assert few < _ratio(steered) * k / _ratio(stock) < much + 0.25 * (k < 1)

    def test_a_step_gets_the_steered_prediction(self, cls, kind):
        dial, x = Steering(k=3.0, sigma=0.5), noise(2, 4, 3)
        results = []
        for scheduler in (_make(cls, kind), steer(_make(cls, kind), dial)):
            scheduler.set_timesteps(6)
            timestep = scheduler.timesteps[2]
            level = family_of(scheduler).level(scheduler, timestep)
            said = torch.cos(x)
            if not hasattr(scheduler, "steering"):
                said = steer_prediction(kind, said, x, level, noise_factor(level, dial))
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(x, timestep)
            named = {"generator": torch.Generator().manual_seed(0)}
            named = {n: v for n, v in named.items() if n in inspect.signature(scheduler.step).parameters}
            results.append(scheduler.step(said, timestep, x, **named).prev_sample)
        assert torch.equal(*results)

    def test_is_saved_as_the_stock_class_and_loads_as_it(self, cls, kind, tmp_path):
        steered = steer(_make(cls, kind, beta_schedule="linear"), Steering(k=2))
        steered.save_pretrained(tmp_path)
        saved = json.loads((tmp_path / "scheduler_config.json").read_text())
        assert saved["_class_name"] == cls.__name__
        loaded = cls.from_pretrained(tmp_path)
        assert type(loaded) is cls
        expected = _make(cls, kind, beta_schedule="linear").config
        assert {name: loaded.config[name] for name in expected if name[0] != "_"} == {
            name: value for name, value in expected.items() if name[0] != "_"
        }

    def test_survives_from_config(self, cls, kind):
        steered = steer(_make(cls, kind, beta_schedule="linear"), Steering(k=2, sigma=0.2))
        stock = cls.from_config(steered.config)
        again = type(steered).from_config(steered.config)
        x = noise(2, 3)
        assert type(stock) is cls
        assert again.steering == steered.steering
        assert torch.equal(trajectory(again, 5, x, kind, _network), trajectory(steered, 5, x, kind, _network))
        assert not torch.equal(trajectory(stock, 5, x, kind, _network), trajectory(steered, 5, x, kind, _network))


@pytest.mark.parametrize("cls, kind", INTEGRABLE)
class TestIntegrators:
    @pytest.mark.parametrize("integrator", ["gaussian", "gaussian2"])
    @pytest.mark.parametrize("k", [0.25, 1.0, 10.0])
    @pytest.mark.parametrize("steps", [1, 4, 10])
    def test_gaussian_data_is_sampled_exactly(self, cls, kind, integrator, k, steps):
        """On any grid that ends at the clean sample; one that ends at a trace of noise leaves that trace."""
        ends_clean = {"set_alpha_to_one": True, "final_sigmas_type": "zero"}
        begins_noisy = {"timestep_spacing": "trailing", "beta_end": 0.05}
        dial = Steering(k=k, sigma=SPREAD, integrator=integrator)
        scheduler = steer(_make(cls, kind, **ends_clean, **begins_noisy), dial)
        samples = trajectory(scheduler, steps, noise(2000, 1), kind)
        assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
        assert _ratio(samples) == pytest.approx(float(noise(2000, 1).var()) / k, rel=0.02)

    def test_work_in_half_precision(self, cls, kind):
        dial = Steering(k=4, sigma=SPREAD, integrator="gaussian2")
        samples = trajectory(steer(_make(cls, kind), dial), 10, noise(2000, 1, dtype=torch.float16), kind)
        assert samples.dtype == torch.float16
        assert _ratio(samples.float()) == pytest.approx(0.25, rel=0.15)


class TestSecondOrder:
    def test_a_new_trajectory_forgets_the_last_one(self):
        dial, x = Steering(k=4, sigma=0.3, integrator="gaussian2"), noise(2, 3)
        fresh, used = (steer(make(DDIMScheduler), dial) for _ in range(2))
        trajectory(used, 7, -x, predict=_network)
        used.set_timesteps(5)
        used.step(_network("", 3 * x, None), used.timesteps[0], 3 * x)  # begun and given up
        first = trajectory(fresh, 5, x, predict=_network)
        assert torch.equal(trajectory(used, 5, x, predict=_network), first)

    def test_differs_from_first_order_after_the_first_step(self):
        x = noise(2, 3)
        first, second = (
            steer(make(DDIMScheduler), Steering(k=4, sigma=0.3, integrator=name)) for name in ("gaussian", "gaussian2")
        )
        assert torch.equal(trajectory(first, 1, x, predict=_network), trajectory(second, 1, x, predict=_network))
        assert not torch.equal(trajectory(first, 4, x, predict=_network), trajectory(second, 4, x, predict=_network))

    def test_clean_samples_and_centres_stay_in_the_range_of_the_data(self):
        """Where the configuration clips: far out of range, the sample comes back to within the mode's spread."""
        dial = Steering(k=4, sigma=0.1, integrator="gaussian2")
        scheduler = steer(make(DDIMScheduler, clip_sample=True), dial)
        samples = trajectory(scheduler, 10, 10 * noise(200, 1), predict=lambda kind, x, level: torch.zeros_like(x))
        assert samples.abs().max() < 1 + 10 * 4 * 0.1


class TestBaselines:
    @pytest.mark.parametrize("cls", [DDPMScheduler, EulerAncestralDiscreteScheduler])
    @pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
    def test_noise_scaling_divides_what_the_step_adds_to_its_mean(self, cls, kind):
        x, added = noise(20_000, 1), []
        for dial in (Steering(method="none"), Steering(k=4, method="nns")):
            scheduler = steer(make(cls, kind), dial)
            scheduler.set_timesteps(10)
            scheduler.scale_model_input(x, scheduler.timesteps[4])
            timestep, flat = scheduler.timesteps[4], torch.zeros_like(x)
            generator = torch.Generator().manual_seed(1)
            added.append(scheduler.step(flat, timestep, flat, generator=generator).prev_sample)
        assert torch.allclose(added[0], 4 * added[1], rtol=1e-4, atol=1e-6)
        assert added[1].std() > 0

    def test_noise_scaling_answers_tuples_as_stock_does(self):
        for cls in (DDPMScheduler, EulerAncestralDiscreteScheduler):
            scheduler = steer(make(cls), Steering(k=4, method="nns"))
            scheduler.set_timesteps(10)
            x = scheduler.scale_model_input(noise(2, 3), scheduler.timesteps[0])
            answer = scheduler.step(x, scheduler.timesteps[0], x, return_dict=False)
            assert isinstance(answer, tuple)
            assert len(answer) == 2

    def test_epsilon_scaling_multiplies_the_noise_at_every_level(self):
        scheduler = steer(make(DDIMScheduler), Steering(k=1.05, method="nes"))

        def scaled(kind, x, level):
            return 1.05 * _network(kind, x, level)

        x = noise(2, 3)
        assert torch.equal(
            trajectory(scheduler, 6, x, predict=_network), trajectory(make(DDIMScheduler), 6, x, predict=scaled)
        )

    def test_epsilon_scaling_at_zero_terminal_snr_is_refused_with_the_cure(self):
        config = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        scheduler = steer(make(DDIMScheduler, "v_prediction", **config), Steering(k=1.05, method="nes"))
        with pytest.raises(ValueError, match="zero signal-to-noise.*use steering.method psr"):
            trajectory(scheduler, 4, noise(2, 3), "v_prediction")


class TestZeroTerminalSnr:
    @pytest.mark.parametrize("kind", ["v_prediction", "sample"])
    @pytest.mark.parametrize("integrator", ["plain", "gaussian", "gaussian2"])
    @pytest.mark.parametrize("k", [0.5, 4.0])
    def test_ddim_is_right_from_pure_noise_on(self, kind, integrator, k):
        config = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "set_alpha_to_one": True}
        dial = Steering(k=k, sigma=SPREAD, integrator=integrator)
        samples = trajectory(steer(make(DDIMScheduler, kind, **config), dial), 50, noise(5000, 1), kind)
        assert samples.isfinite().all()
        assert _ratio(samples) == pytest.approx(1 / k, rel=0.35 if integrator == "plain" else 0.05)


class TestAnySchedule:
    @settings(max_examples=150)
    @given(
        st.sampled_from(STEERABLE),
        st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
        st.booleans(),
        st.sampled_from(["leading", "trailing", "linspace"]),
        st.sampled_from(["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", None]),
        st.integers(1, 60),
        st.floats(1e-3, 1e3),
        st.floats(1e-3, 1e2),
    )
    def test_every_level_has_a_finite_steered_prediction(self, cls, betas, zero, spacing, sigmas, steps, k, sigma):
        config = {"beta_schedule": betas, "rescale_betas_zero_snr": zero, "timestep_spacing": spacing}
        if sigmas and not (sigmas == "use_beta_sigmas" and steps < 2):
            config[sigmas] = True
        kind = "flow_prediction" if cls is FlowMatchEulerDiscreteScheduler else "v_prediction"
        scheduler = make(cls, kind, **config)
        scheduler.set_timesteps(steps)
        family, x = family_of(scheduler), noise(2, 3)
        for index, timestep in enumerate(scheduler.timesteps):
            if hasattr(scheduler, "_step_index"):
                scheduler._step_index = index
            level = family.level(scheduler, timestep)
            factor = noise_factor(level, Steering(k=k, sigma=sigma))
            assert min(1, k) * 0.999 <= factor <= max(1, k) * 1.001
            assert steer_prediction(kind, x, x, level, factor).isfinite().all()


class TestNoiseAskedFor:
    @pytest.mark.parametrize("dial", [Steering(k=2, integrator="gaussian"), Steering(k=2, cap=True)])
    def test_is_refused_where_the_step_is_computed_without(self, dial):
        x = noise(2, 3)
        ddim = steer(make(DDIMScheduler), dial)
        ddim.set_timesteps(5)
        with pytest.raises(ValueError, match="called with eta=0.5, but steering.*leave eta at its default"):
            ddim.step(x, ddim.timesteps[0], x, eta=0.5)
        euler = steer(make(EulerDiscreteScheduler), dial)
        euler.set_timesteps(5)
        with pytest.raises(ValueError, match=r"called with s_churn=2.0"):
            euler.step(x, euler.timesteps[0], x, 2.0)

    def test_works_with_plain_psr(self):
        ddim = steer(make(DDIMScheduler), Steering(k=2))
        ddim.set_timesteps(5)
        x = noise(2, 3)
        eta = [ddim.step(x, ddim.timesteps[0], x, eta=e, generator=torch.Generator()).prev_sample for e in (0.0, 1.0)]
        assert not torch.equal(*eta)


class TestDial:
    def test_leaves_the_original_alone(self):
        stock = make(DDIMScheduler)
        steer(stock, Steering(k=2))
        assert type(stock) is DDIMScheduler
        assert not hasattr(stock, "steering")

    def test_steering_again_replaces_it(self):
        once = steer(make(DDIMScheduler), Steering(k=2))
        twice = steer(once, Steering(k=4))
        reference = steer(make(DDIMScheduler), Steering(k=4))
        x = noise(50, 1)
        assert torch.equal(trajectory(twice, 10, x), trajectory(reference, 10, x))
        assert once.steering.k == 2

    @pytest.mark.parametrize("cls", STEERABLE)
    def test_can_be_turned_between_two_calls(self, cls):
        kind = "flow_prediction" if cls is FlowMatchEulerDiscreteScheduler else "epsilon"
        scheduler, x = steer(make(cls, kind), Steering()), noise(50, 1)
        before = trajectory(scheduler, 10, x, kind)
        scheduler.steering = Steering(k=3, sigma=0.2)
        assert not torch.equal(trajectory(scheduler, 10, x, kind), before)
        scheduler.steering = Steering()
        assert torch.equal(trajectory(scheduler, 10, x, kind), before)

    def test_refuses_what_the_scheduler_cannot_take_and_keeps_the_old(self):
        scheduler = steer(make(DDIMScheduler), Steering(k=2))
        with pytest.raises(ValueError, match="DDIMScheduler cannot take steering.method 'nns'"):
            scheduler.steering = Steering(k=2, method="nns")
        assert scheduler.steering == Steering(k=2)
        with pytest.raises(ValueError, match="HeunDiscreteScheduler cannot take steering.integrator"):
            steer(make(HeunDiscreteScheduler), Steering(integrator="gaussian"))

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
    def test_copies_and_pickles_stay_steered(self, duplicate):
        scheduler, x = steer(make(DDIMScheduler), Steering(k=3, sigma=0.2)), noise(50, 1)
        assert torch.equal(trajectory(duplicate(scheduler), 10, x), trajectory(scheduler, 10, x))

    @pytest.mark.parametrize("cls", [DDPMScheduler, DPMSolverMultistepScheduler])
    def test_a_learned_variance_is_left_alone(self, cls):
        dial, x = Steering(k=3, sigma=0.2), noise(2, 3, 8)  # 3: DPM-Solver's own split
        stock, steered = (s(cls, "epsilon", variance_type="learned_range") for s in (make, make))
        steered = steer(steered, dial)
        stock.set_timesteps(10)
        steered.set_timesteps(10)
        timestep = stock.timesteps[3]
        eps, variance = noise(2, 3, 8, seed=1), noise(2, 3, 8, seed=2)
        level = family_of(stock).level(stock, timestep)
        expected = torch.cat([eps * noise_factor(level, dial), variance], dim=1)
        steps = [
            s.step(said, timestep, x, generator=torch.Generator().manual_seed(0)).prev_sample
            for s, said in ((stock, expected), (steered, torch.cat([eps, variance], dim=1)))
        ]
        assert torch.equal(*steps)

    @pytest.mark.parametrize("integrator", ["plain", "gaussian2"])
    def test_compiled_loops_give_the_same_and_follow_the_dial(self, integrator):
        scheduler, x = steer(make(DDIMScheduler), Steering(k=3, sigma=0.2, integrator=integrator)), noise(50, 1)
        scheduler.set_timesteps(3)

        def sample(x):
            for timestep in scheduler.timesteps:
                x = scheduler.step(torch.tanh(x), timestep, x).prev_sample
            return x

        compiled = torch.compile(sample, backend="eager")
        for k in (3.0, 1.5):
            scheduler.steering = dataclasses.replace(scheduler.steering, k=k)
            torch.testing.assert_close(compiled(x), sample(x))
