"""Nothing non-finite, out of limits or made from frozen observations passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from psr_policy.gate import SMALLEST_RANGE, ActionLimits, ChunkStatistics, FrozenDetector

NAMES = ("x", "gripper")
LOW, HIGH = np.array([0.5, -1.0], "f4"), np.array([1.5, 1.0], "f4")


def limits(margin=0.1, **own):
    return ActionLimits(NAMES, LOW, HIGH, margin, **own)


class TestActionLimits:
    def test_are_widened_by_a_part_of_the_range(self):
        np.testing.assert_allclose(limits().low, [0.4, -1.2])
        np.testing.assert_allclose(limits().high, [1.6, 1.2])

    def test_with_no_margin_are_the_demonstrations(self):
        limits(0.0).check(np.stack([LOW, HIGH]))
        with pytest.raises(ValueError, match="row 0, column x"):
            limits(0.0).check(np.nextafter(LOW, -9)[None])

    def test_of_a_column_that_never_moved_still_have_a_margin(self):
        still = ActionLimits(["z"], np.array([2.0], "f4"), np.array([2.0], "f4"), 0.1)
        np.testing.assert_allclose([still.low[0], still.high[0]], [2 - 0.1 * SMALLEST_RANGE, 2 + 0.1 * SMALLEST_RANGE])

    def test_of_ones_own_are_taken_as_they_are(self):
        own = limits(own_low={"x": 0.0}, own_high={"x": 0.9})
        np.testing.assert_allclose([own.low, own.high], [[0.0, -1.2], [0.9, 1.2]])

    def test_that_cross_are_refused(self):
        with pytest.raises(ValueError, match="action limits of x are crossed: low 3, high 1.6"):
            limits(own_low={"x": 3.0})

    @pytest.mark.parametrize(("value", "shown"), [(1.7, "1.7"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
    def test_name_row_column_value_and_limit(self, value, shown):
        rows = np.tile(np.array([1.0, 0.0], "f4"), (4, 1))
        rows[2, 0] = value
        with pytest.raises(ValueError, match=rf"row 2, column x is {shown}, expected a number in \[0.4, 1.6\]"):
            limits().check(rows)

    @given(hnp.arrays("f4", (5, 2), elements=st.floats(width=32)))
    def test_let_pass_exactly_what_lies_within(self, rows):
        inside = np.isfinite(rows).all() and (rows >= limits().low).all() and (rows <= limits().high).all()
        if inside:
            limits().check(rows)
        else:
            with pytest.raises(ValueError, match="row"):
                limits().check(rows)


class TestRotations:
    """Rows of two arms, z and six numbers of a rotation each."""

    NAMES = [f"arm{arm}_{name}" for arm in range(2) for name in ("z", "r1", "r2", "r3", "r4", "r5", "r6")]
    ROW = np.array([0.1, 1, 0, 0, 0, 1, 0] * 2, "f4")

    def check(self, row):
        ActionLimits(self.NAMES, np.full(14, -1, "f4"), np.ones(14, "f4"), 0.0).check(row[None])

    def test_that_exist_pass(self):
        self.check(self.ROW)

    @pytest.mark.parametrize("arm", [0, 1])
    @pytest.mark.parametrize("numbers", [[0, 0, 0, 0, 1, 0], [1, 1, 1, -1, -1, -1]], ids=["zero", "parallel"])
    def test_that_do_not_exist_are_refused(self, arm, numbers):
        row = self.ROW.copy()
        row[7 * arm + 1 : 7 * arm + 7] = numbers
        with pytest.raises(ValueError, match="row of rot6d"):
            self.check(row)


class TestFrozenDetector:
    @pytest.fixture
    def same(self):
        return {"a": np.array([1.0, 2.0]), "b": np.array([3.0])}

    def test_notices_the_limit_th_equal_step(self, same):
        detector = FrozenDetector(3)
        assert [detector.update(same) for _ in range(5)] == [False, False, True, True, True]
        assert detector.repeats == 5

    def test_one_bit_of_one_number_is_a_change(self, same):
        detector = FrozenDetector(2)
        assert not detector.update(same)
        assert not detector.update({**same, "b": np.nextafter(same["b"], 9)})

    def test_never_with_limit_0(self, same):
        detector = FrozenDetector(0)
        assert not any(detector.update(same) for _ in range(100))

    def test_forgets(self, same):
        detector = FrozenDetector(2)
        detector.update(same)
        detector.reset()
        assert not detector.update(same)


class TestChunkStatistics:
    def test_rate_counts_the_last_seconds(self):
        statistics = ChunkStatistics()
        for second in range(20):
            statistics.add(float(second), 0.1)
        assert statistics.rate(19.5, span=10.0) == 1.0
        assert statistics.rate(40.0, span=10.0) == 0.0
        assert statistics.published == 20

    def test_percentiles_of_the_latencies(self):
        statistics = ChunkStatistics(window=101)
        assert statistics.latency(50) == 0.0
        for i in range(1000):
            statistics.add(0.0, i / 100)
        assert statistics.latency(0) == pytest.approx(8.99)
        assert statistics.latency(50) == pytest.approx(9.49)
        assert statistics.latency(95) == pytest.approx(9.94)
