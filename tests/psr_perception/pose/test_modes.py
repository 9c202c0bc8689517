"""Modes of samples up to symmetry, covariance about fixed axes, and a pose that does not jump."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psr_core import so3
from psr_core.so3_mixtures import RotationMixture
from psr_perception.pose.modes import (
    Mode,
    StablePose,
    find_modes,
    fixed_frame_covariance,
    mean_rotation,
    pose_covariance,
)
from psr_perception.pose.symmetry import load_symmetry

CONFIG = Path(__file__).parents[3] / "config" / "symmetries"
NONE, CUBE, CONE, CYLINDER, TETRAHEDRON = (
    load_symmetry(CONFIG / f"{name}.yaml") for name in ("none", "cube", "cone", "cylinder", "tetrahedron")
)
DEGREE = math.radians(1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rotation(seed=0):
    return so3.random_rotations((), seeded(seed), torch.float64)


def about(centre, n, spread=DEGREE, seed=1):
    return centre @ so3.exp(spread * torch.randn(n, 3, dtype=torch.float64, generator=seeded(seed)))


def symmetric_samples(group, n=600, seed=2):
    """Of an object with the group's symmetry: every element as likely as any other."""
    return RotationMixture(rotation() @ group.elements, DEGREE).sample(n, seeded(seed))


class TestMean:
    def test_is_the_least_squares_one(self):
        samples = about(rotation(), 50, 0.3)
        mean = mean_rotation(samples)
        torch.testing.assert_close(so3.log(mean.mT @ samples).mean(0), torch.zeros(3, dtype=torch.float64))
        assert so3.distance(mean, rotation()) < 4 * 0.3 / 50**0.5

    def test_moves_with_the_samples(self):
        samples, turn = about(rotation(), 20, 0.3), rotation(5)
        torch.testing.assert_close(mean_rotation(turn @ samples), turn @ mean_rotation(samples))


class TestCovariance:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_is_about_the_fixed_axes(self, seed):
        """Turns of ±a about the parent's x, ±b about its y, whatever the object's own axes are."""
        a, b, mean = 0.01, 0.003, rotation(seed)
        offsets = torch.tensor([[a, 0, 0], [-a, 0, 0], [0, b, 0], [0, -b, 0]], dtype=torch.float64)
        found = fixed_frame_covariance(so3.exp(offsets) @ mean, mean)
        expected = torch.diag(torch.tensor([a**2 / 2, b**2 / 2, 0], dtype=torch.float64))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)

    def test_of_turns_about_the_objects_axes_is_turned_into_the_fixed_ones(self):
        body = torch.diag(torch.tensor([1e-4, 4e-6, 1e-6], dtype=torch.float64))
        noise = torch.randn(20_000, 3, dtype=torch.float64, generator=seeded()) @ body.sqrt()
        found = fixed_frame_covariance(rotation() @ so3.exp(noise), rotation())
        torch.testing.assert_close(found, rotation() @ body @ rotation().mT, rtol=0, atol=4e-6)

    def test_fills_the_rows_of_a_pose(self):
        values = torch.tensor(pose_covariance(torch.arange(9.0).reshape(3, 3), 2.0)).reshape(6, 6)
        torch.testing.assert_close(values[3:, 3:], torch.arange(9.0).reshape(3, 3))
        torch.testing.assert_close(values[:3, :3], 2 * torch.eye(3))
        assert values[:3, 3:].abs().max() == 0 and values[3:, :3].abs().max() == 0


class TestSpread:
    def test_is_the_root_mean_square_of_the_distances(self):
        samples = about(rotation(), 200, 0.05)
        mean = mean_rotation(samples)
        mode = Mode(mean, 1.0, fixed_frame_covariance(samples, mean), torch.arange(200))
        assert mode.spread == pytest.approx(float(so3.distance(samples, mean).square().mean().sqrt()))


class TestModes:
    def test_a_symmetric_object_has_one_up_to_its_symmetry(self):
        (mode,) = find_modes(symmetric_samples(CUBE), CUBE)
        assert mode.weight == 1 and len(mode.members) == 600
        assert CUBE.distance(mode.rotation, rotation()) < 5 * DEGREE / 600**0.5
        torch.testing.assert_close(
            mode.covariance, DEGREE**2 * torch.eye(3, dtype=torch.float64), rtol=0, atol=0.25 * DEGREE**2
        )

    def test_and_as_many_as_elements_without_it(self):
        modes = find_modes(symmetric_samples(CUBE), NONE, least_weight=0.01)
        assert len(modes) == 24
        assert sorted(i for mode in modes for i in mode.members.tolist()) == list(range(600))

    def test_weights_are_shares_and_strays_belong_to_none(self):
        samples = torch.cat([about(rotation(0), 70), about(rotation(1), 25), about(rotation(2), 5)])
        samples = samples[torch.randperm(100, generator=seeded())]
        modes = find_modes(samples, NONE, radius=0.2, least_weight=0.1)
        assert [mode.weight for mode in modes] == [0.7, 0.25]
        for i, mode in enumerate(modes):
            assert so3.distance(mode.rotation, rotation(i)) < DEGREE
            assert so3.distance(samples[mode.members], mode.rotation).max() <= 0.2

    def test_of_a_cone_are_one_whatever_it_turned_about_its_axis(self):
        twists = 7 * torch.rand(300, 1, dtype=torch.float64, generator=seeded()) * CONE.axis
        (mode,) = find_modes(about(rotation(), 300) @ so3.exp(twists), CONE)
        assert CONE.distance(mode.rotation, rotation()) < 5 * DEGREE / 300**0.5
        body = mode.rotation.mT @ mode.covariance @ mode.rotation
        assert body[2, 2] < 1e-3 * DEGREE**2 < 0.5 * DEGREE**2 < body[0, 0]

    def test_repeat(self):
        samples = symmetric_samples(CYLINDER)
        first, second = (find_modes(samples, CYLINDER)[0] for _ in range(2))
        assert torch.equal(first.rotation, second.rotation) and torch.equal(first.members, second.members)

    @pytest.mark.parametrize("group", [NONE, CUBE, CONE, CYLINDER, TETRAHEDRON], ids=lambda group: group.name)
    def test_are_those_about_the_first_samples_with_the_most_about_them(self, group):
        """As one would write it down: each time, the densest of the first 64 that are left."""
        samples = torch.cat([about(rotation(), 60, 0.1), so3.random_rotations((150,), seeded(), torch.float64)])
        left, expected = torch.arange(len(samples)), []
        while len(left):
            rest = samples[left]
            near = group.distance(rest[:64, None], rest) <= 0.3
            inside = near[near.sum(-1).argmax()]
            centre = mean_rotation(group.nearest(rest[inside], rest[inside][0]))
            inside = group.distance(rest, centre) <= 0.3
            if inside.sum() < 4.2:  # 2 % of 210
                break
            expected.append(left[inside].tolist())
            left = left[~inside]
        found = [mode.members.tolist() for mode in find_modes(samples, group, 0.3)]
        assert found == sorted(expected, key=lambda members: -len(members)) and found

    def test_all_strays_are_no_mode(self):
        assert find_modes(so3.random_rotations((50,), seeded()), NONE, radius=0.01, least_weight=0.1) == []

    def test_refuses_nothing_and_nonsense(self):
        for samples in (torch.zeros(0, 3, 3), torch.full((2, 3, 3), math.nan)):
            with pytest.raises(ValueError, match="rotations has shape .* expected one or more, all of them finite"):
                find_modes(samples, NONE)


# (element, turn about the axis where there is one) of the form in which a frame shows the object
FORMS = st.lists(st.tuples(st.integers(0, 23), st.floats(-math.pi, math.pi)), min_size=2, max_size=12)


def form(group, label):
    number, turn = label
    element = group.elements[number % len(group.elements)]
    return element if group.axis is None else element @ so3.exp(turn * group.axis)


class TestStablePose:
    @settings(max_examples=40)
    @given(st.sampled_from([NONE, CUBE, TETRAHEDRON, CONE, CYLINDER]), FORMS, st.integers(0, 99))
    def test_never_moves_by_more_than_the_object_and_the_noise_whatever_form_is_seen(self, group, forms, seed):
        """The raw rotation jumps to and fro, as far as the group's elements lie apart."""
        noise, step = 0.02 * torch.randn(2, len(forms), 3, dtype=torch.float64, generator=seeded(seed))
        true = [rotation(seed)]
        for turn in step[1:]:
            true.append(so3.exp(turn) @ true[-1])
        seen = [r @ so3.exp(n) for r, n in zip(true, noise, strict=True)]
        raw = [r @ form(group, label) for r, label in zip(seen, forms, strict=True)]
        stable = StablePose(group)
        shown = [stable.update(r) for r in raw]
        for i in range(1, len(forms)):
            allowed = step[i].norm() + noise[i - 1].norm() + noise[i].norm()
            assert so3.distance(shown[i - 1], shown[i]) <= allowed + 1e-9
            apart = so3.angle(form(group, forms[i - 1]).mT @ form(group, forms[i]))
            assert so3.distance(raw[i - 1], raw[i]) >= apart - allowed - 1e-9

    def test_a_slowly_turning_cube_never_jumps(self):
        """Each frame sees the cube in another of its 24 forms."""
        stable = StablePose(CUBE)
        published = []
        for frame in range(120):
            true = so3.exp(torch.tensor([0, 0, 0.03 * frame], dtype=torch.float64)) @ rotation()
            published.append(stable.update(true @ CUBE.elements[(7 * frame) % 24]))
        moves = so3.distance(torch.stack(published[:-1]), torch.stack(published[1:]))
        torch.testing.assert_close(moves, torch.full((119,), 0.03, dtype=torch.float64), rtol=1e-6, atol=0)

    def test_what_is_published_looks_like_what_was_seen(self):
        stable = StablePose(CYLINDER)
        for seed in range(5):
            assert CYLINDER.distance(stable.update(rotation(seed)), rotation(seed)) < 1e-9

    def modes(self, *weighted):
        """Modes of (angle about x, weight)."""
        axis, none = torch.tensor([1.0, 0, 0], dtype=torch.float64), torch.zeros(3, 3)
        return [Mode(so3.exp(angle * axis), weight, none, torch.zeros(1)) for angle, weight in weighted]

    def test_stays_with_its_mode_while_another_is_hardly_heavier(self):
        stable = StablePose(NONE)
        chosen = []
        for modes in ([(0, 0.6), (1, 0.4)], [(1.01, 0.5), (0.01, 0.45)], [(1, 0.7), (0, 0.3)], [(1, 0.5), (0, 0.5)]):
            modes = self.modes(*modes)
            number = stable.choose(modes, 0.2)
            chosen.append(number)
            stable.update(modes[number].rotation)
        assert chosen == [0, 1, 0, 0], "the third has less than half of the heaviest's weight: given up for good"

    def test_goes_to_the_heaviest_where_its_mode_is_gone(self):
        stable = StablePose(NONE)
        stable.update(self.modes((0, 1))[0].rotation)
        assert stable.choose(self.modes((1, 0.5), (2, 0.5)), 0.2) == 0
        assert stable.choose(self.modes((1, 0.5), (0.21, 0.5)), 0.2) == 0
        assert stable.choose(self.modes((1, 0.5), (0.19, 0.5)), 0.2) == 1

    def test_finds_its_mode_up_to_symmetry(self):
        stable = StablePose(CUBE)
        stable.update(rotation() @ CUBE.elements[7])
        modes = [Mode(r, 0.5, torch.zeros(3, 3), torch.zeros(1)) for r in (rotation(1), rotation() @ CUBE.elements[3])]
        assert stable.choose(modes, 0.1) == 1

    def test_has_nothing_to_choose_of_nothing(self):
        assert StablePose(NONE).choose([], 0.2) is None

    def test_the_first_and_the_one_after_a_reset_are_as_they_come(self):
        stable = StablePose(CUBE)
        assert torch.equal(stable.update(rotation(0)), rotation(0))
        stable.reset()
        assert torch.equal(stable.update(rotation(1)), rotation(1))
