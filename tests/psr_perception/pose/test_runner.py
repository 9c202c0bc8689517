"""The pose estimator and runner without ROS: samples of a known density, their noise, warnings, the steady pose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from psr_core import so3
from psr_core.seeds import noise_generator
from psr_core.so3_diffusion import power_steps, sample_so3
from psr_core.steering import Steering
from psr_perception.pose.estimator import PoseEstimator
from psr_perception.pose.region import Region, square_picture
from psr_perception.pose.runner import PoseRequest, PoseRunner
from psr_perception.pose.settings import PoseSettings, sampling_warnings
from psr_perception.pose.symmetry import make_symmetry, named_symmetry
from tests.psr_perception.pose.small_networks import KnowingNetwork, random_network

CUBE, NONE = named_symmetry("cube"), make_symmetry("none", [])
CAP = Steering(k=7.0, sigma=0.5, cap=True)
FEW = PoseSettings(num_inference_steps=10, eta=0.0, samples=40)
PICTURE = square_picture(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8), Region(), 16)


def rotation(seed=0):
    return so3.random_rotations((), torch.Generator().manual_seed(seed), torch.float64)


def image(number=0, height=32, width=48):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cube_runner(turn=0.0, weights=None):
    """Of a network that sees a cube turned about x, in any of its 24 forms."""
    centres = so3.exp(torch.tensor([turn, 0, 0], dtype=torch.float64)) @ rotation() @ CUBE.elements
    return PoseRunner(PoseEstimator(KnowingNetwork(centres, 0.02, weights), CUBE), "knowing@0")


class TestEstimator:
    def test_takes_the_samples_of_the_network_bit_for_bit(self):
        network = random_network()
        estimate = PoseEstimator(network, CUBE).estimate(PICTURE, FEW, Steering(), 5)
        generator = noise_generator(FEW.seed, 5, 0)
        start = so3.random_rotations((1, 40), [generator])
        with torch.no_grad():
            features = network.encode(torch.from_numpy(PICTURE)[None])
            expected = sample_so3(network.denoiser(features), start, power_steps(10), Steering(), 0.0, [generator])
        assert torch.equal(estimate.rotations, expected[0].double())

    def test_noise_follows_from_seed_and_frame_seed_only(self):
        estimator = PoseEstimator(random_network(), CUBE)
        settings = PoseSettings(num_inference_steps=5, eta=1.0, samples=20, seed=3)

        def samples(seed, frame_seed):
            return estimator.estimate(PICTURE, PoseSettings(5, 1.0, 20, seed=seed), Steering(), frame_seed).rotations

        first = estimator.estimate(PICTURE, settings, Steering(), 7).rotations
        for other in (samples(4, 7), samples(3, 8)):
            assert not torch.allclose(other, first, atol=0.1)
        assert torch.equal(samples(3, 7), first)

    def test_looks_at_the_image_once_whatever_the_samples_and_steps(self):
        network = KnowingNetwork(rotation()[None], 0.02)
        PoseEstimator(network, NONE).estimate(PICTURE, FEW, Steering(), 0)
        assert network.encoded == 1

    def test_finds_what_there_is(self):
        centres = torch.stack([rotation(0), rotation(1)])
        network = KnowingNetwork(centres, 0.05, torch.tensor([0.75, 0.25], dtype=torch.float64))
        settings = PoseSettings(num_inference_steps=100, samples=400)
        modes = PoseEstimator(network, NONE).estimate(PICTURE, settings, Steering(), 0).modes
        assert [mode.weight for mode in modes] == [pytest.approx(0.75, abs=0.08), pytest.approx(0.25, abs=0.08)]
        for mode, centre in zip(modes, centres, strict=True):
            assert so3.distance(mode.rotation, centre) < 0.02
            assert mode.spread == pytest.approx(0.05 * 3**0.5, rel=0.1)

    def test_steering_narrows_the_modes_by_the_root_of_k(self):
        network, settings = KnowingNetwork(rotation()[None], 0.1), PoseSettings(num_inference_steps=100, samples=400)

        def spread(steering):
            return PoseEstimator(network, NONE).estimate(PICTURE, settings, steering, 0).modes[0].spread

        assert spread(Steering(k=4.0, sigma=0.1)) == pytest.approx(spread(Steering()) / 2, rel=0.1)

    def test_what_is_not_finite_is_an_error(self):
        network = random_network()
        torch.nn.init.constant_(network.head.out.bias, math.nan)
        with pytest.raises(ValueError, match="rotations are not finite with steering psr k=1"):
            PoseEstimator(network, CUBE).estimate(PICTURE, FEW, Steering(), 0)

    @pytest.mark.parametrize(
        ("steering", "message"),
        [
            (Steering(integrator="gaussian"), "steering.integrator is 'gaussian', expected 'plain' on rotations"),
            (Steering(method="nns"), "nns scales injected noise and eta 0 injects none"),
        ],
    )
    def test_refuses_before_it_begins(self, steering, message):
        network = KnowingNetwork(rotation()[None], 0.02)
        with pytest.raises(ValueError, match=message):
            PoseEstimator(network, NONE).estimate(PICTURE, FEW, steering, 0)
        assert network.encoded == 0


class TestRunner:
    def test_looks_at_the_region(self):
        region = Region(20, 4, 16, 16)
        frame = cube_runner().step(image(), 0, PoseRequest(FEW, region=region))
        np.testing.assert_array_equal(frame.picture, square_picture(image(), region, 16))

    def test_says_what_it_was_made_by(self):
        request = PoseRequest(FEW, CAP, noise="stamp")
        frame = cube_runner().step(image(), 123, request)
        assert (frame.request, frame.frame_seed, frame.symmetry, frame.problem) == (request, 123, "cube", "")
        assert frame.mode is frame.estimate.modes[frame.stable]
        assert frame.inference > 0

    def test_noise_is_the_same_at_every_frame_unless_it_follows_the_stamp(self):
        for noise, same in (("fixed", True), ("stamp", False)):
            runner = cube_runner()
            first, second = (runner.step(image(), stamp, PoseRequest(FEW, noise=noise)) for stamp in (1, 2))
            assert torch.equal(first.estimate.rotations, second.estimate.rotations) is same

    def test_of_a_slowly_turning_cube_the_steady_pose_turns_slowly(self):
        """Each frame's first sample is another of the 24 forms; the mode's own rotation follows it, and jumps."""
        runner, shown, raw = cube_runner(), [], []
        for number in range(20):
            runner.estimator = cube_runner(turn=0.03 * number).estimator
            frame = runner.step(image(), number, PoseRequest(FEW, CAP, noise="stamp"))
            shown.append(frame.rotation)
            raw.append(frame.mode.rotation)
        moves, jumps = (so3.distance(torch.stack(each[:-1]), torch.stack(each[1:])) for each in (shown, raw))
        assert (moves - 0.03).abs().max() < 0.02
        assert jumps.max() > 1

    @pytest.mark.parametrize(("session", "stamp"), [(1, 10), (0, 5)], ids=["another session", "back in time"])
    def test_the_steady_pose_begins_anew(self, session, stamp):
        runner = cube_runner()
        away = runner.step(image(), 8, PoseRequest(FEW, CAP, noise="stamp"))
        runner._stable.last = away.rotation @ CUBE.elements[5]
        held = runner.step(image(), 9, PoseRequest(FEW, CAP, noise="stamp"))
        assert so3.distance(held.rotation, away.rotation @ CUBE.elements[5]) < 0.1
        anew = runner.step(image(), stamp, PoseRequest(FEW, CAP, noise="stamp"), session)
        assert torch.equal(anew.rotation, anew.mode.rotation)

    def test_where_samples_do_not_agree_there_is_no_pose_and_that_is_said(self):
        estimator = PoseEstimator(random_network(), NONE)
        settings = PoseSettings(num_inference_steps=2, eta=0.0, samples=100, mode_angle=0.01)
        frame = PoseRunner(estimator, "random@0").step(image(), 0, PoseRequest(settings))
        assert (frame.mode, frame.rotation, frame.estimate.modes) == (None, None, [])
        assert frame.problem.startswith("no pose: the samples do not agree to within mode_angle = 0.01 degrees")

    def test_warms_up_without_leaving_a_trace(self):
        runner = cube_runner()
        runner.warm_up(PoseRequest(FEW))
        assert runner._stable.last is None and runner._last is None
        with pytest.raises(ValueError, match="steering.integrator"):
            runner.warm_up(PoseRequest(FEW, Steering(integrator="gaussian")))

    def test_a_region_that_cannot_be_costs_this_frame_only(self):
        runner = cube_runner()
        with pytest.raises(ValueError, match="shows less than 8 x 8 pixels of an image of 48 x 32"):
            runner.step(image(), 0, PoseRequest(FEW, region=Region(100, 0, 16, 16)))
        assert runner.step(image(), 1, PoseRequest(FEW)).rotation is not None


class TestSettings:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"num_inference_steps": 0}, "num_inference_steps is 0, expected a whole number from 1"),
            ({"samples": 0}, "samples is 0"),
            ({"seed": -1}, "seed is -1"),
            ({"mode_angle": 0.0}, "mode_angle is 0.0, expected degrees above 0, 90 at most"),
            ({"mode_angle": math.nan}, "mode_angle is nan"),
        ],
    )
    def test_name_the_field_that_is_wrong(self, fields, message):
        with pytest.raises(ValueError, match=message):
            PoseSettings(**fields)

    def test_the_mode_angle_is_in_degrees(self):
        assert PoseSettings(mode_angle=90.0).radius == pytest.approx(math.pi / 2)


class TestWarnings:
    """k = 7, sigma = 0.5 without the cap is fine in 50 steps, with injected noise in 200, and random in fewer."""

    RAW = Steering(k=7.0, sigma=0.5)

    def warnings(self, steps, steering, eta=0.0):
        return sampling_warnings(PoseSettings(steps, eta), steering)

    def test_of_steps_that_scatter_name_the_cures(self):
        (warning,) = self.warnings(10, self.RAW)
        assert "num_inference_steps = 10 and eta = 0 with steering psr k=7 σ=0.5: steps go beyond" in warning
        assert "end 5 degrees about it; use steering.cap true or num_inference_steps = 50" in warning

    def test_of_scaled_noise_do_not_offer_the_cap(self):
        (warning,) = self.warnings(10, Steering(k=7.0, method="nes"), eta=1.0)
        assert "cap" not in warning and "use num_inference_steps = 200" in warning

    def test_say_to_turn_the_dial_back_where_nothing_else_helps(self):
        (warning,) = self.warnings(10, Steering(k=1000.0, method="nes"), eta=1.0)
        assert warning.endswith("use a smaller k")

    def test_are_not_raised_where_the_dial_is_turned_to_flatter(self):
        assert self.warnings(5, Steering(k=0.5)) == []

    @pytest.mark.parametrize("eta", [0.0, 1.0])
    @pytest.mark.parametrize(
        ("steps", "steering"),
        [(5, RAW), (10, RAW), (20, CAP), (20, Steering()), (50, RAW), (100, RAW), (200, RAW)],
    )
    def test_are_raised_just_where_a_narrow_modes_samples_go_astray(self, steps, steering, eta):
        network = KnowingNetwork(rotation()[None], 0.005)
        settings = PoseSettings(steps, eta, 100)
        found = PoseEstimator(network, NONE).estimate(PICTURE, settings, steering, 0).rotations
        astray = float(so3.distance(found, rotation()).median()) > math.radians(3)
        assert astray is bool(self.warnings(steps, steering, eta))
