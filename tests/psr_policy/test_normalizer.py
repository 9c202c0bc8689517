"""Normaliser: what it makes of data, and that it can be undone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from psr_policy.normalizer import LinearField, Normalizer

DATA = arrays("float32", (7, 3), elements=st.floats(-100, 100, width=32)).map(torch.from_numpy)


def fitted(data: torch.Tensor) -> LinearField:
    field = LinearField(data.shape[1])
    field.fit(data)
    return field


class TestLimits:
    @given(DATA)
    def test_every_dimension_fills_minus_one_to_one_or_is_zero(self, data):
        normalized = fitted(data).normalize(data)
        for raw, column in zip(data.T, normalized.T, strict=True):
            if raw.max() - raw.min() < 1e-4:
                assert column.abs().max() < 1e-4
            else:
                # A range of 1e-4 around 100 leaves single precision one digit.
                tolerance = 1e-5 + 1e-6 * float(raw.abs().max() / (raw.max() - raw.min()))
                assert abs(float(column.min()) + 1) < tolerance
                assert abs(float(column.max()) - 1) < tolerance

    @given(DATA)
    def test_unnormalize_undoes_normalize(self, data):
        field = fitted(data)
        torch.testing.assert_close(field.unnormalize(field.normalize(data)), data, rtol=1e-4, atol=1e-4)

    def test_statistics_are_those_of_the_data(self):
        data = torch.tensor([[0.0, 2.0], [4.0, 2.0], [2.0, 8.0]])
        field = fitted(data)
        assert field.min.tolist() == [0, 2]
        assert field.max.tolist() == [4, 8]
        assert field.mean.tolist() == [2, 4]
        torch.testing.assert_close(field.std, data.std(0, correction=0))

    def test_a_dimension_that_hardly_moves_is_not_blown_up(self):
        field = fitted(torch.tensor([[5.0], [5.00005]]))
        assert field.scale.item() == 1
        assert field.normalize(torch.tensor([5.5])).item() == pytest.approx(0.5)


class TestGlobalScale:
    def test_is_one_factor_without_offset(self):
        field = LinearField(2)
        field.fit_global_scale(torch.tensor([[1.0, -8.0], [2.0, 4.0]]))
        assert field.scale.tolist() == [0.125, 0.125]
        assert field.offset.tolist() == [0, 0]
        assert field.min.tolist() == [1, -8]


class TestPolicyNormalizer:
    def actions(self, arms: int = 1) -> torch.Tensor:
        torch.manual_seed(0)
        return torch.rand(20, 10 * arms) * 0.5 + 0.1

    def test_positions_fill_the_range_while_unit_actions_stay(self):
        actions = self.actions(arms=2)
        normalizer = Normalizer(3, 20)
        normalizer.fit(torch.randn(20, 3), actions, unit_actions=[*range(3, 10), *range(13, 20)])
        out = normalizer.action.normalize(actions)
        for arm in (0, 10):
            torch.testing.assert_close(out[:, arm : arm + 3].amin(0), -torch.ones(3))
            torch.testing.assert_close(out[:, arm : arm + 3].amax(0), torch.ones(3))
            assert torch.equal(out[:, arm + 3 : arm + 10], actions[:, arm + 3 : arm + 10])
            assert normalizer.action.min[arm + 3 : arm + 10].tolist() == [-1] * 7
            assert normalizer.action.max[arm + 3 : arm + 10].tolist() == [1] * 7
            assert torch.equal(normalizer.action.max[arm : arm + 3], actions[:, arm : arm + 3].amax(0))

    def test_every_column_fills_the_range_where_none_is_a_unit_action(self):
        actions = torch.rand(20, 2) * 500
        normalizer = Normalizer(3, 2)
        normalizer.fit(torch.randn(20, 3), actions)
        out = normalizer.action.normalize(actions)
        torch.testing.assert_close(out.amin(0), -torch.ones(2))
        torch.testing.assert_close(out.amax(0), torch.ones(2))

    @pytest.mark.parametrize(("name", "offset"), [("limits", False), ("global_scale", True)])
    def test_observations_as_asked(self, name, offset):
        normalizer = Normalizer(3, 10)
        normalizer.fit(torch.randn(20, 3) + 5, self.actions(), name)
        assert bool((normalizer.obs.offset == 0).all()) is offset

    def test_refuses_other_names_widths_and_bad_numbers(self):
        normalizer = Normalizer(3, 10)
        obs, actions = torch.randn(20, 3), self.actions()
        with pytest.raises(ValueError, match="obs_normalization is 'gauss', expected one of: limits, global_scale"):
            normalizer.fit(obs, actions, "gauss")
        with pytest.raises(ValueError, match=r"shape \(20, 9\), expected \(N >= 1, 10\)"):
            normalizer.fit(obs, actions[:, :9])
        with pytest.raises(ValueError, match=r"shape \(20, 2\), expected \(N >= 1, 3\)"):
            normalizer.fit(obs[:, :2], actions)
        with pytest.raises(ValueError, match="NaN"):
            normalizer.fit(obs.index_fill(0, torch.tensor([3]), float("nan")), actions)

    def test_problem_until_fitted(self):
        normalizer = Normalizer(3, 10)
        assert normalizer.obs.problem() == "scale is not finite"
        normalizer.fit(torch.randn(20, 3), self.actions())
        assert normalizer.obs.problem() is None
        normalizer.obs.scale[1] = 0
        assert normalizer.obs.problem() == "scale is zero"
