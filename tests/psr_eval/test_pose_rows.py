"""The settings of `psr reproduce pose`: what a file stands for, and what is refused."""

from __future__ import annotations

import pytest

from psr_core.so3_diffusion import power_steps, reference_steps
from psr_core.steering import Steering
from psr_eval.pose_comparison import THESIS
from psr_eval.pose_rows import Row, read_rows
from tests.conftest import ROOT
from tests.psr_eval.pose_oracle import psr


@pytest.fixture
def read(tmp_path):
    def read(*entries: str) -> list[Row]:
        path = tmp_path / "rows.yaml"
        path.write_text("rows:\n" + "".join(f"  - {entry}\n" for entry in entries))
        return read_rows(path)

    return read


class TestShippedFile:
    ROWS = read_rows(ROOT / "config" / "reproduce" / "pose.yaml")

    @pytest.mark.parametrize("steps", [100, 50, 20, 10])
    def test_has_every_line_of_table_1_1_and_the_cap_at_every_number_of_steps(self, steps):
        naive = [Steering(k=40, method="nns"), Steering(k=7, method="nes")]
        wanted = [Row(steps), *(Row(steps, 1.0, each) for each in [*naive, THESIS, psr(cap=True)])]
        assert set(wanted) <= set(self.ROWS)

    def test_begins_with_score_sampling_in_100_steps(self):
        assert self.ROWS[0] == Row(100)

    def test_sweeps_k_and_sigma_in_full_grids(self):
        for cap in (False, True):
            found = [row for row in self.ROWS if row.is_psr and row.sampler == "100 steps" and row.steering.cap is cap]
            grid = {(row.steering.k, row.steering.sigma) for row in found}
            assert len(grid) == len({k for k, _ in grid}) * len({s for _, s in grid}) >= 12
            assert max(k for k, _ in grid) == 40

    def test_has_upstreams_indexing_beside_the_correct_one(self):
        assert {Row(100, 1.0, THESIS), Row(100, 1.0, THESIS, "upstream")} <= set(self.ROWS)


class TestReading:
    def test_lists_stand_for_each_of_their_values(self, read):
        rows = read("{steps: [4, 2], eta: [1, 0]}", "{steps: 4, steering: {k: [2, 3]}}")
        assert [(row.steps, row.eta) for row in rows[:4]] == [(4, 1), (4, 0), (2, 1), (2, 0)]
        assert [row.steering.k for row in rows[4:]] == [2, 3]

    def test_names_say_all_that_is_not_usual(self, read):
        rows = read(
            "{steps: 4}",
            "{steps: 4, eta: 0, indexing: upstream}",
            "{steps: 4, steering: {k: 7, sigma: 0.5, cap: true}}",
        )
        assert [row.name for row in rows] == [
            "score sampling, 4 steps",
            "score sampling, 4 steps, eta 0, upstream indexing",
            "psr k=7 σ=0.5 cap, 4 steps",
        ]

    def test_the_indexing_chooses_the_levels(self, read):
        correct, upstream = read("{steps: 4}", "{steps: 4, indexing: upstream}")
        assert correct.levels() == power_steps(4)
        assert upstream.levels() == reference_steps(4) != power_steps(4)

    @pytest.mark.parametrize(
        ("entries", "told"),
        [
            (["{eta: 1}"], "row 1: is {'eta': 1}, expected steps"),
            (["{steps: 4, sampler: ddim}"], "row 1: unknown field sampler; expected some of: steps, eta"),
            (["{steps: 4.5}"], "row 1: steps is 4.5, expected a whole number"),
            (["{steps: [4, true]}"], "row 1: steps is [4, True]"),
            (["{steps: []}"], "row 1: steps is []"),
            (["{steps: 0}"], "row 1: steps is 0, expected at least 1"),
            (["{steps: 101, indexing: upstream}"], "row 1: steps is 101, expected 1 to the 100 training timesteps"),
            (["{steps: 4, indexing: other}"], "row 1: indexing is 'other', expected one of: correct, upstream"),
            (["{steps: 4, eta: half}"], "row 1: eta is 'half', expected a number from 0 to 1"),
            (["{steps: 4, eta: 1.5}"], "row 1: eta is 1.5, expected 0"),
            (["{steps: 4}", "{steps: 4, eta: 0, steering: {method: nns, k: 2}}"], "row 2: steering.method nns scales"),
            (
                ["{steps: 4}", "{steps: 4, steering: {integrator: gaussian}}"],
                "row 2: steering.integrator is 'gaussian'",
            ),
            (["{steps: 4}", "{steps: [2, 2]}"], "two rows are score sampling, 2 steps; remove one"),
            (["{steps: 4, steering: {k: 2}}"], "the first row, psr k=2 σ=1, 4 steps, is the baseline and must"),
            (
                ["{steps: 4}", "{steps: 2, steering: {k: 2}}"],
                "psr k=2 σ=1, 2 steps has nothing to be compared with; add {steps: 2, eta: 1, indexing: correct}",
            ),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, read, entries, told):
        with pytest.raises(ValueError) as caught:
            read(*entries)
        assert told in str(caught.value)
        assert "rows.yaml" in str(caught.value)
