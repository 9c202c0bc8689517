"""Symmetry groups: closed and of the right order, distances by their definition, and what a wrong file is told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from psr_core import so3
from psr_perception.pose.symmetry import Symmetry, load_symmetry, make_symmetry, named_symmetry

CONFIG = Path(__file__).parents[3] / "config" / "symmetries"
ORDERS = {"none": 1, "tetrahedron": 12, "cube": 24, "icosahedron": 60, "cone": math.inf, "cylinder": math.inf}
GROUPS = {name: load_symmetry(CONFIG / f"{name}.yaml") for name in ORDERS}
every = pytest.mark.parametrize("name", list(ORDERS))


def rotations(*shape, seed=0):
    return so3.random_rotations(shape, torch.Generator().manual_seed(seed), torch.float64)


def sampled(group: Symmetry, turns: int = 3600) -> torch.Tensor:
    """The group as a finite one, every rotation about the axis in `turns` steps."""
    if group.axis is None:
        return group.elements
    angles = torch.arange(turns, dtype=torch.float64) * 2 * math.pi / turns
    return (group.elements[:, None] @ so3.exp(angles[:, None] * group.axis)).flatten(0, 1)


def written(tmp_path, text):
    path = tmp_path / "part.yaml"
    path.write_text(text)
    return path


class TestShipped:
    @every
    def test_has_its_order(self, name):
        assert GROUPS[name].order == ORDERS[name] and GROUPS[name].name == name

    @every
    def test_is_closed(self, name):
        group = GROUPS[name]
        products = (group.elements[:, None] @ group.elements).flatten(0, 1)
        assert float(group.distance(torch.eye(3, dtype=torch.float64), products).max()) < 1e-9

    @pytest.mark.parametrize(("name", "scipys"), [("tetrahedron", "T"), ("cube", "O"), ("icosahedron", "I")])
    def test_is_scipys_group_up_to_its_frame(self, name, scipys):
        """Conjugate groups have the same angles."""
        expected = Rotation.create_group(scipys).magnitude()
        torch.testing.assert_close(so3.angle(GROUPS[name].elements).sort().values, torch.tensor(expected).sort().values)

    def test_the_cubes_are_the_signed_permutations(self):
        whole = GROUPS["cube"].elements.round()
        torch.testing.assert_close(whole, GROUPS["cube"].elements, rtol=0, atol=1e-12)

    def test_the_tetrahedrons_frame_is_symsols(self):
        """Its group is that of the cube's frame conjugated by 45 degrees about z."""
        turn = so3.exp(torch.tensor([0, 0, math.pi / 4], dtype=torch.float64))
        expected = turn @ torch.tensor(Rotation.create_group("T").as_matrix()) @ turn.mT
        group = GROUPS["tetrahedron"]
        assert float(group.distance(torch.eye(3, dtype=torch.float64), expected).max()) < 1e-9


class TestDistance:
    @every
    @settings(max_examples=10)
    @given(seed=st.integers(0, 10_000))
    def test_is_the_least_over_the_group(self, name, seed):
        a, b = rotations(2, 4, seed=seed)
        turns = 720
        expected = so3.distance(a[:, None] @ sampled(GROUPS[name], turns), b[:, None]).min(-1).values
        found = GROUPS[name].distance(a, b)
        assert (found <= expected + 1e-12).all()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 if ORDERS[name] < math.inf else math.pi / turns)

    @every
    def test_is_zero_for_what_looks_alike_and_not_beside_it(self, name):
        group, base = GROUPS[name], rotations(50)
        alike = base @ sampled(group)[:: 37 if group.axis is not None else 1][:50].repeat(50, 1, 1)[:50]
        assert group.distance(base, alike).max() < 1e-7
        across = torch.tensor([0.01, 0, 0], dtype=torch.float64)
        torch.testing.assert_close(group.distance(alike @ so3.exp(across), base), torch.full((50,), 0.01).double())

    def test_of_a_cone_is_exact(self):
        """A twist of any size costs nothing, a tilt its angle, with no grid to see."""
        base, twist, tilt = rotations(), torch.tensor([0, 0, 1.2345678]), torch.tensor([1e-7, 0, 0])
        other = base @ so3.exp(twist.double()) @ so3.exp(tilt.double())
        assert float(GROUPS["cone"].distance(base, other)) == pytest.approx(1e-7, rel=1e-6)
        flip = base @ so3.exp(torch.tensor([math.pi, 0, 0], dtype=torch.float64))
        assert float(GROUPS["cone"].distance(base, flip)) == pytest.approx(math.pi)
        assert float(GROUPS["cylinder"].distance(base, flip)) == pytest.approx(0, abs=1e-9)

    def test_broadcasts_and_keeps_the_dtype(self):
        for group in GROUPS.values():
            found = group.distance(rotations(3, 1).float(), rotations(4).float())
            assert found.shape == (3, 4) and found.dtype == torch.float32


class TestWithin:
    @pytest.mark.parametrize("name", GROUPS)
    @pytest.mark.parametrize("radius", [1e-4, 0.26, 1.0, math.pi])
    def test_is_what_the_distance_says_of_each_pair(self, name, radius):
        group, generator = GROUPS[name], torch.Generator().manual_seed(3)
        a = so3.random_rotations((6,), generator, torch.float64)
        offsets = 3 * radius * torch.rand(40, 3, dtype=torch.float64, generator=generator)
        b = torch.cat([a[:1] @ so3.exp(offsets), so3.random_rotations((20,), generator, torch.float64)])
        near = group.within(a, b, radius)
        assert torch.equal(near, group.distance(a[:, None], b) <= radius)
        assert near.any()

    def test_of_nothing_is_nothing(self):
        assert GROUPS["cube"].within(torch.zeros(0, 3, 3), torch.eye(3)[None], 0.1).shape == (0, 1)


class TestNearest:
    @every
    def test_looks_alike_and_is_as_near_as_can_be(self, name):
        group, base, reference = GROUPS[name], rotations(40), rotations(40, seed=1)
        found = group.nearest(base, reference)
        assert group.distance(found, base).max() < 1e-7
        torch.testing.assert_close(so3.distance(found, reference), group.distance(base, reference), rtol=0, atol=1e-7)

    @every
    def test_takes_one_reference_for_all(self, name):
        found = GROUPS[name].nearest(rotations(5, 6), rotations(seed=3))
        assert found.shape == (5, 6, 3, 3)

    def test_without_symmetry_it_is_the_rotation(self):
        group = make_symmetry("screwdriver", [])
        assert group.order == 1
        torch.testing.assert_close(group.nearest(rotations(5), rotations()), rotations(5))


class TestFiles:
    def test_a_matrix_is_a_generator(self, tmp_path):
        text = "name: box\ndiscrete: [{matrix: [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]}, {axis: [2, 0, 0], order: 2}]"
        assert load_symmetry(written(tmp_path, text)).order == 4

    def test_turns_about_the_continuous_axis_add_nothing(self, tmp_path):
        text = "name: nut\ncontinuous: [0, 1, 0]\ndiscrete: [{axis: [0, 1, 0], order: 6}]"
        assert len(load_symmetry(written(tmp_path, text)).elements) == 1

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("discrete: []", "has no name"),
            ("[1]", "has no name"),
            ("name: {", "is no YAML"),
            ("{name: a, axes: 1}", "has no field axes; expected name, note, continuous, discrete"),
            ("{name: a, discrete: 3}", "discrete is 3, expected a list"),
            ("{name: a, discrete: [{axis: [0, 0, 1]}]}", r"discrete\[0\] is .* expected {axis"),
            (
                "{name: a, discrete: [{axis: [0, 0, 0], order: 2}]}",
                r"discrete\[0\].axis is \[0, 0, 0\], expected one axis",
            ),
            ("{name: a, discrete: [{axis: [0, 1], order: 2}]}", r"axis is \[0, 1\], expected one axis of 3"),
            ("{name: a, discrete: [{axis: [0, 0, 1], order: 1}]}", "order is 1, expected an integer from 2"),
            ("{name: a, discrete: [{axis: [0, 0, 1], order: 2.5}]}", "order is 2.5"),
            ("{name: a, discrete: [{matrix: [[1, 0], [0, 1]]}]}", "matrix is .* expected 3 rows of 3"),
            ("{name: a, discrete: [{matrix: [1, 0, 0, 0, 1, 0, 0, 0, 1]}]}", "matrix is .* expected 3 rows of 3"),
            ("{name: a, discrete: [{matrix: [[1,0,0],[0,1,0],[0,0,-1]]}]}", "expected a rotation to within"),
            ("{name: a, discrete: [{matrix: [[1,0,0],[0,.nan,0],[0,0,1]]}]}", "matrix is"),
            ("{name: a, continuous: [[0, 0, 1], [0, 1, 0]]}", "continuous is .* expected one axis"),
            ("{name: a, continuous: [0, 0, .inf]}", "continuous is .* expected one axis"),
            (
                "{name: ball, continuous: [0, 0, 1], discrete: [{axis: [1, 0, 0], order: 4}]}",
                r"symmetry ball: discrete\[0\] moves the continuous axis",
            ),
            (
                "{name: die, discrete: [{axis: [0, 0, 1], order: 5}, {axis: [1, 1, 1], order: 3}]}",
                "symmetry die: its generators make more than 360 rotations",
            ),
            (
                "{name: icosa, discrete: [{axis: [0, 1, 1.618], order: 5}, {axis: [1, 1, 1], order: 3}]}",
                "symmetry icosa: .* all their digits",
            ),
            (
                "{name: icosa, discrete: [{axis: [0, 1, 1.6180339], order: 5}, {axis: [1, 1, 1], order: 3}]}",
                "symmetry icosa: its rotations close to .* give all digits",
            ),
        ],
    )
    def test_a_wrong_one_is_refused_by_name(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=f"part.yaml.*{message}"):
            load_symmetry(written(tmp_path, text))


class TestByName:
    @every
    def test_is_the_shipped_one(self, name):
        assert torch.equal(named_symmetry(name).elements, GROUPS[name].elements)

    def test_may_be_a_file(self, tmp_path, monkeypatch):
        written(tmp_path, "{name: mine, discrete: [{axis: [0, 0, 1], order: 3}]}")
        monkeypatch.setenv("HOME", str(tmp_path))
        for text in (str(tmp_path / "part.yaml"), "~/part.yaml"):
            assert (named_symmetry(text).name, named_symmetry(text).order) == ("mine", 3)

    @pytest.mark.parametrize("text", ["teapot", "", "/nowhere/part.yaml", "../symmetries/cube"])
    def test_that_is_not_there_is_answered_with_those_there_are(self, text):
        with pytest.raises(
            ValueError, match=f"symmetry is '{text}', .* one of: cone, cube, cylinder, icosahedron, none, t"
        ):
            named_symmetry(text)
