"""DiffusionPolicy.sample: its schedulers, its noise, its dial, and analytic truths with a denoiser that is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from psr_core.seeds import noise_generator
from psr_core.steering import Steering, rescale_factor
from psr_policy.policy import make_scheduler

PLAIN = Steering()


def noise(rows: int, episode: int = 0) -> list[torch.Generator]:
    return [noise_generator(0, episode, row) for row in range(rows)]


def draw(policy, obs, steering=PLAIN, sampler="ddim", steps=5, generators=None) -> Tensor:
    generators = generators or noise(len(obs))
    return policy.sample(
        obs, steering=steering, sampler=sampler, num_inference_steps=steps, generators=generators
    )  # fmt: skip


class GaussianDenoiser(nn.Module):
    """The exact noise prediction for data N(mean, std²), whatever is observed."""

    def __init__(self, alphas_cumprod: Tensor, mean: float, std: float) -> None:
        super().__init__()
        self.alphas_cumprod, self.mean, self.std = alphas_cumprod, mean, std

    def forward(self, sample: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        alpha_bar = self.alphas_cumprod[timesteps][:, None, None]
        variance = alpha_bar * self.std**2 + 1 - alpha_bar
        return (1 - alpha_bar).sqrt() * (sample - alpha_bar.sqrt() * self.mean) / variance


@pytest.fixture
def gaussian_policy(tiny_policy):
    """Knows that every normalised action is distributed as N(.2, .1²)."""
    policy = tiny_policy(num_train_timesteps=100)
    policy.model = GaussianDenoiser(make_scheduler(policy.config, "ddim").alphas_cumprod, 0.2, 0.1)
    policy.normalizer.action.leave_as_is(range(10))
    return policy


@pytest.mark.parametrize("network", ["unet", "transformer"])
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
class TestEveryNetworkAndSampler:
    def test_gives_finite_float32_actions_of_the_horizon(self, tiny_policy, network, sampler):
        policy = tiny_policy(network)
        actions = draw(policy, torch.randn(3, 2, 5), sampler=sampler)
        assert actions.shape == (3, 8, 10)
        assert actions.dtype == torch.float32
        assert actions.isfinite().all()

    def test_the_same_noise_gives_the_same_bits(self, tiny_policy, network, sampler):
        policy, obs = tiny_policy(network), torch.randn(2, 2, 5)
        assert torch.equal(draw(policy, obs, sampler=sampler), draw(policy, obs, sampler=sampler))

    def test_a_row_does_not_depend_on_its_batch(self, tiny_policy, network, sampler):
        policy, obs = tiny_policy(network), torch.randn(4, 2, 5)
        together = draw(policy, obs, sampler=sampler)
        alone = draw(policy, obs[2:3], sampler=sampler, generators=[noise_generator(0, 0, 2)])
        torch.testing.assert_close(alone, together[2:3], rtol=1e-4, atol=1e-4)

    def test_other_noise_and_other_observations_give_other_actions(self, tiny_policy, network, sampler):
        policy, obs = tiny_policy(network), torch.randn(2, 2, 5)
        usual = draw(policy, obs, sampler=sampler)
        assert not torch.equal(draw(policy, obs, sampler=sampler, generators=noise(2, episode=1)), usual)
        assert not torch.equal(draw(policy, obs + 1, sampler=sampler), usual)

    def test_leaves_the_global_random_numbers_alone(self, tiny_policy, network, sampler):
        policy, obs = tiny_policy(network), torch.randn(2, 2, 5)
        before = torch.get_rng_state()
        draw(policy, obs, sampler=sampler)
        assert torch.equal(torch.get_rng_state(), before)


class TestSteering:
    @pytest.mark.parametrize("steering", [Steering(k=1, sigma=0.3), Steering(k=5, sigma=0.1, method="none")])
    def test_identity_is_bit_identical_to_the_stock_sampler(self, tiny_policy, steering):
        policy, obs = tiny_policy(), torch.randn(2, 2, 5)
        assert torch.equal(draw(policy, obs, steering), draw(policy, obs))

    @pytest.mark.parametrize("k", [0.5, 1.0, 2.0, 4.0])
    @pytest.mark.parametrize("steps", [10, 100])
    def test_a_gaussian_comes_out_as_computed_by_hand(self, gaussian_policy, k, steps):
        actions = draw(gaussian_policy, torch.zeros(4, 2, 5), Steering(k=k, sigma=0.1), steps=steps)
        # For a Gaussian, each DDIM step multiplies the distance from the noised mean by a number.
        alpha_bar = gaussian_policy.model.alphas_cumprod.double()
        timesteps = list(range(0, 100, 100 // steps))[::-1]
        first_noise = torch.stack([torch.randn((8, 10), generator=g) for g in noise(4)])
        distance = first_noise - alpha_bar[timesteps[0]].sqrt() * 0.2
        for t, later in zip(timesteps, [*timesteps[1:], None], strict=True):
            now, then = alpha_bar[t], alpha_bar[later] if later is not None else torch.ones(())
            eps = rescale_factor(now.sqrt(), (1 - now).sqrt(), k, 0.1) * (1 - now).sqrt() / (now * 0.1**2 + 1 - now)
            distance = distance * (then.sqrt() * (1 - (1 - now).sqrt() * eps) / now.sqrt() + (1 - then).sqrt() * eps)
        torch.testing.assert_close(actions, (0.2 + distance).float(), atol=1e-4, rtol=0)

    @pytest.mark.parametrize("k", [0.5, 1.0, 4.0])
    @pytest.mark.parametrize("steps", [2, 5])
    @pytest.mark.parametrize("integrator", ["gaussian", "gaussian2"])
    def test_the_gaussian_integrators_are_exact_on_a_gaussian_in_few_steps(self, gaussian_policy, k, steps, integrator):
        steering = Steering(k=k, sigma=0.1, integrator=integrator)
        actions = draw(gaussian_policy, torch.zeros(4, 2, 5), steering, steps=steps)
        scheduler = make_scheduler(gaussian_policy.config, "ddim")
        scheduler.set_timesteps(steps)
        alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps[0]]
        first_noise = torch.stack([torch.randn((8, 10), generator=g) for g in noise(4)])
        spread = (0.1**2 / k / (alpha_bar * 0.1**2 / k + 1 - alpha_bar)).sqrt()
        expected = 0.2 + (first_noise - alpha_bar.sqrt() * 0.2) * spread
        torch.testing.assert_close(actions, expected, atol=2e-5, rtol=0)

    @pytest.mark.parametrize("method", ["nns", "nes"])
    def test_the_baselines_narrow_too(self, gaussian_policy, method):
        plain, steered = (
            draw(gaussian_policy, torch.zeros(20, 2, 5), Steering(k=k, method=method), sampler="ddpm", steps=50).std()
            for k in (1.0, 2.0)
        )
        assert steered < 0.9 * plain

    def test_a_larger_k_narrows_and_a_smaller_widens(self, gaussian_policy):
        stds = [
            draw(gaussian_policy, torch.zeros(50, 2, 5), Steering(k=k, sigma=0.1), steps=100).std().item()
            for k in (0.25, 1.0, 4.0)
        ]
        assert stds[0] > 1.7 * stds[1] > 3 * stds[2]

    def test_ddpm_stays_on_the_gaussian(self, gaussian_policy):
        actions = draw(gaussian_policy, torch.zeros(100, 2, 5), sampler="ddpm", steps=100)
        assert actions.mean().item() == pytest.approx(0.2, abs=0.01)
        # Its hundred steps leave the last quarter of the variance unresolved.
        assert 0.7 < actions.var().item() / 0.1**2 < 0.8


class TestSchedulers:
    def test_are_set_up_as_the_reference_has_them(self, tiny_config):
        ddim = make_scheduler(tiny_config(num_train_timesteps=100), "ddim")
        ddim.set_timesteps(16)
        assert ddim.timesteps.tolist() == list(range(90, -1, -6))
        assert ddim.config.set_alpha_to_one
        assert ddim.config.clip_sample
        ddim.set_timesteps(8)
        assert ddim.timesteps[0] == 84
        alpha_bar = ddim.alphas_cumprod
        for timestep, expected in ((99, 2.4e-7), (50, 0.478), (10, 0.967), (0, 0.99937)):
            assert alpha_bar[timestep].item() == pytest.approx(expected, rel=0.02)
        assert make_scheduler(tiny_config(), "ddpm").config.variance_type == "fixed_small"

    def test_another_name_is_refused(self, tiny_config):
        with pytest.raises(ValueError, match="sampler is 'euler', expected one of: ddim, ddpm"):
            make_scheduler(tiny_config(), "euler")


class TestRefuses:
    @pytest.mark.parametrize(
        ("steering", "sampler", "told"),
        [
            (Steering(method="nns"), "ddim", "injects no noise that could be scaled; use DDPMScheduler"),
            (Steering(integrator="gaussian"), "ddpm", "draws noise at every step"),
            (Steering(k=2, integrator="gaussian2"), "ddpm", "draws noise at every step"),
        ],
    )
    def test_a_steering_that_the_sampler_cannot_take(self, tiny_policy, steering, sampler, told):
        policy = tiny_policy()
        reason = policy.refusal(steering, sampler)
        assert told in reason
        with pytest.raises(ValueError) as error:
            draw(policy, torch.randn(1, 2, 5), steering, sampler)
        assert str(error.value) == reason

    @pytest.mark.parametrize(
        ("steering", "sampler"),
        [(Steering(method="nns"), "ddpm"), (Steering(integrator="gaussian"), "ddim"), (Steering(cap=True), "ddpm")],
    )
    def test_no_steering_that_it_can(self, tiny_policy, steering, sampler):
        policy = tiny_policy()
        assert policy.refusal(steering, sampler) is None
        assert draw(policy, torch.randn(1, 2, 5), steering, sampler).isfinite().all()

    @pytest.mark.parametrize("steps", [0, -1, 21, 2.0, True])
    def test_a_number_of_steps_the_training_does_not_allow(self, tiny_policy, steps):
        with pytest.raises(ValueError, match=r"num_inference_steps is .*, expected an integer from 1 to 20"):
            draw(tiny_policy(), torch.randn(1, 2, 5), steps=steps)

    @pytest.mark.parametrize("shape", [(1, 3, 5), (1, 2, 4), (2, 5)])
    def test_observations_of_another_shape(self, tiny_policy, shape):
        with pytest.raises(ValueError, match=r"obs has shape .*, expected \(B, 2, 5\)"):
            draw(tiny_policy(), torch.randn(shape))

    def test_a_number_of_generators_that_is_not_the_number_of_rows(self, tiny_policy):
        with pytest.raises(ValueError, match="generators has 2 entries, expected one for each of 3 rows"):
            draw(tiny_policy(), torch.randn(3, 2, 5), generators=noise(2))


@pytest.mark.parametrize("steps", [1, 20])
def test_one_step_and_all_steps_are_allowed(tiny_policy, steps):
    assert draw(tiny_policy(), torch.randn(1, 2, 5), steps=steps).isfinite().all()


def test_limits_are_copies_of_the_demonstrations_statistics(tiny_policy):
    policy = tiny_policy()
    policy.action_low[0] = -99
    assert policy.action_low[0] == policy.normalizer.action.min[0].item()
    assert policy.action_high.shape == (10,)
