"""Runs on Gaussian mixtures: noise by address, the comparison with p̄_k, and cells that are kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from psr_core.mixtures import GaussianMixture, NamedMixture
from psr_core.steering import Steering
from psr_eval import toy
from psr_eval.toy import CHUNK, Cell, assign, compare, draw, run_cell, run_cells, table_cells

KEPT = "cells.jsonl"


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def source():
    identity = [[1.0, 0.0], [0.0, 1.0]]
    covariances = tensor([identity, identity]) * tensor([0.04, 0.09])[:, None, None]
    return NamedMixture(
        "two", "for a test", 0.2, GaussianMixture(tensor([0.3, 0.7]), tensor([[-1.0, 0.0], [2.0, 0.0]]), covariances)
    )


@pytest.fixture
def cell(source):
    return Cell(source, "ddim", 2.0, Steering(k=2.0, sigma=0.2), 4, 300, 0)


class TestCell:
    @pytest.mark.parametrize(
        "sampler, steering, name",
        [
            ("exact", None, "exact p̄_k"),
            ("ar", None, "AR"),
            ("ddpm", Steering(k=2, method="nns"), "NNS"),
            ("ddim", Steering(k=2, method="nes"), "NES"),
            ("ddim", Steering(k=2), "PSR"),
            ("ddim", Steering(k=2, integrator="gaussian2"), "PSR + gaussian2"),
            ("ddim", Steering(k=2, cap=True), "PSR + cap"),
            ("ddim", Steering(method="none"), "DDIM"),
            ("ddpm", Steering(method="none"), "DDPM"),
        ],
    )
    def test_is_named_after_its_method(self, source, sampler, steering, name):
        assert Cell(source, sampler, 2.0, steering, 5, 10, 0).method == name

    @pytest.mark.parametrize(
        "change, message",
        [
            (dict(sampler="euler"), "sampler is 'euler', expected one of: exact, ar, ddim, ddpm"),
            (dict(sampler="exact"), "steering is .* with sampler exact"),
            (dict(steering=None), "steering is None with sampler ddim"),
            (dict(n=0), "samples is 0, expected 1 or more"),
        ],
    )
    def test_refuses_what_does_not_go_together(self, cell, change, message):
        with pytest.raises(ValueError, match=message):
            replace(cell, **change)

    def test_settings_tell_cells_apart_and_survive_json(self, cell):
        others = [
            replace(cell, steps=5),
            replace(cell, n=301),
            replace(cell, seed=1),
            replace(cell, target_k=3.0),
            replace(cell, steering=Steering(k=2.0, sigma=0.3)),
            replace(cell, source=replace(cell.source, mixture=cell.source.mixture.sharpened(2.0))),
        ]
        texts = {json.dumps(one.settings(), allow_nan=False) for one in [cell, *others]}
        assert len(texts) == len(others) + 1
        assert json.loads(json.dumps(cell.settings())) == cell.settings()


class TestTableCells:
    def test_hold_every_method_at_every_step_count_once(self, source):
        cells = table_cells(source, 100, 0)
        keys = [(c.target_k, c.method, c.steps) for c in cells]
        assert len(set(keys)) == len(keys)
        sampled = {"NNS", "NES", "PSR", "PSR + gaussian", "PSR + gaussian2", "PSR + cap"}
        for k in (10.0, 0.25):
            assert {m for kk, m, _ in keys if kk == k} == sampled | {"exact p̄_k", "AR"}
            assert all({s for kk, m, s in keys if (kk, m) == (k, method)} == set(toy.STEPS) for method in sampled)
        assert {m for k, m, _ in keys if k == 1} == {"exact p̄_k", "DDIM", "DDPM"}

    def test_steer_with_the_mixtures_sigma_and_nns_by_ddpm(self, source):
        dials = [(c.sampler, c.steering) for c in table_cells(source, 100, 0) if c.steering and c.target_k != 1]
        assert {steering.sigma for _, steering in dials} == {0.2}
        assert all((sampler == "ddpm") == (steering.method == "nns") for sampler, steering in dials)


class TestDraw:
    def test_gives_n_finite_float64_samples(self, cell):
        for sampler, steering in (("exact", None), ("ar", None), ("ddim", Steering(k=2)), ("ddpm", Steering(k=2))):
            x = draw(replace(cell, sampler=sampler, steering=steering))
            assert x.shape == (300, 2) and x.dtype == torch.float64 and x.isfinite().all()

    def test_a_longer_run_begins_with_the_shorter_ones_whole_chunks(self, cell):
        short, long = (draw(replace(cell, n=n, steps=1)) for n in (CHUNK, CHUNK + 10))
        assert torch.equal(long[:CHUNK], short)
        assert not torch.equal(long[CHUNK:], short[:10])

    def test_methods_start_from_the_same_noise_and_seeds_from_other(self, cell):
        one, other = (draw(replace(cell, seed=seed)) for seed in (0, 1))
        again = draw(cell)
        capped = draw(replace(cell, steering=Steering(k=1.0, sigma=0.2, cap=True)))
        plain = draw(replace(cell, steering=Steering(method="none")))
        assert torch.equal(one, again) and not torch.equal(one, other)
        assert torch.equal(capped, plain)


class TestCompare:
    def test_exact_samples_meet_the_target(self, source):
        target = source.mixture.sharpened(4.0)
        modes = compare(target.sample(40_000, torch.Generator().manual_seed(0)), target)
        for mode, weight, mean in zip(modes, (0.3, 0.7), ([-1, 0], [2, 0]), strict=True):
            assert abs(mode.weight - weight) < 4 * mode.weight_error
            assert abs(mode.trace_ratio - 1) < 4 * mode.trace_ratio_error
            assert mode.mean == pytest.approx(mean, abs=0.01)

    def test_errors_are_those_of_the_sampling(self, source):
        """Over repetitions the results scatter as far as their standard errors say."""
        target = source.mixture
        runs = [compare(target.sample(500, torch.Generator().manual_seed(s)), target)[1] for s in range(200)]
        for value, error in (("weight", "weight_error"), ("trace_ratio", "trace_ratio_error")):
            scatter = tensor([getattr(run, value) for run in runs]).std()
            said = tensor([getattr(run, error) for run in runs]).mean()
            assert float(said / scatter) == pytest.approx(1, abs=0.2)

    def test_knows_a_widened_mode(self, source):
        target = source.mixture.sharpened(10.0)
        modes = compare(source.mixture.sample(20_000, torch.Generator().manual_seed(0)), target)
        assert [mode.trace_ratio for mode in modes] == pytest.approx([10, 10], rel=0.05)
        assert modes[0].covariance[0] == pytest.approx([0.04, 0], abs=0.002)

    def test_what_is_not_finite_is_lost_and_lowers_the_weights(self, source):
        x = source.mixture.sample(100, torch.Generator().manual_seed(0))
        x[:10] = tensor([float("nan"), 0.0])
        x[10:20] = tensor([0.0, float("inf")])
        modes = compare(x, source.mixture)
        assert sum(mode.n for mode in modes) == 80
        assert sum(mode.weight for mode in modes) == pytest.approx(0.8)

    def test_few_samples_give_no_covariance(self, source):
        x = source.mixture.means[0].expand(9, 2)
        modes = compare(x, source.mixture)
        assert [mode.n for mode in modes] == [9, 0]
        assert all(mode.trace_ratio is mode.covariance is mode.mean is None for mode in modes)

    def test_a_flat_mode_is_given_its_own_tail(self, source):
        """Nearer to the narrow mode's centre a sample may still belong to the wide one."""
        wide = GaussianMixture(
            tensor([0.5, 0.5]), tensor([[0.0, 0.0], [2.0, 0.0]]), tensor([[[0.01, 0], [0, 0.01]], [[1.0, 0], [0, 1.0]]])
        )
        _, mode = assign(tensor([[0.7, 0.0], [0.05, 0.0]]), wide)
        assert mode.tolist() == [1, 0]


class TestRunCells:
    def test_keeps_cells_and_does_not_run_them_again(self, cell, tmp_path, monkeypatch):
        cells = [cell, replace(cell, seed=1)]
        first = run_cells(cells[:1], tmp_path / KEPT, workers=1)
        ran = []
        monkeypatch.setattr(toy, "run_cell", lambda one: ran.append(one) or run_cell(one))
        second = run_cells(cells, tmp_path / KEPT, workers=1)
        assert ran == cells[1:]
        assert second[0] == first[0] and second[1].settings["seed"] == 1
        assert len((tmp_path / KEPT).read_text().splitlines()) == 2

    def test_other_code_runs_again(self, cell, tmp_path, monkeypatch):
        run_cells([cell], tmp_path / KEPT, workers=1)
        monkeypatch.setattr(toy, "code_digest", lambda: "other")
        assert run_cells([cell], tmp_path / KEPT, workers=1)[0].settings["code"] == "other"

    def test_does_not_depend_on_workers(self, cell, tmp_path):
        cells = [replace(cell, seed=seed) for seed in range(4)]
        one, two = (run_cells(cells, tmp_path / str(n) / KEPT, workers=n) for n in (1, 2))
        assert [r.modes for r in one] == [r.modes for r in two]

    def test_a_line_cut_by_a_kill_is_run_again(self, cell, tmp_path):
        cells = [cell, replace(cell, seed=1)]
        whole = run_cells(cells, tmp_path / KEPT, workers=1)
        lines = (tmp_path / KEPT).read_text()
        (tmp_path / KEPT).write_text(lines[:-40])
        again = run_cells(cells, tmp_path / KEPT, workers=1)
        assert [r.modes for r in again] == [r.modes for r in whole]
        assert len((tmp_path / KEPT).read_text().splitlines()) == 2

    def test_what_was_done_before_an_interruption_is_kept(self, cell, tmp_path, monkeypatch):
        def interrupted(one):
            if one.seed == 1:
                raise KeyboardInterrupt
            return run_cell(one)

        monkeypatch.setattr(toy, "run_cell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_cells([cell, replace(cell, seed=1)], tmp_path / KEPT, workers=1)
        assert len((tmp_path / KEPT).read_text().splitlines()) == 1

    def test_reports_progress(self, cell, tmp_path):
        lines = []
        run_cells([cell], tmp_path / KEPT, workers=1, report=lines.append)
        assert lines == ["1/1 cells, 0 s left"]

    def test_refuses_no_workers(self, cell, tmp_path):
        with pytest.raises(ValueError, match="workers is 0"):
            run_cells([cell], tmp_path / KEPT, workers=0)

    def test_a_sampler_that_diverges_is_counted(self, source):
        cell = Cell(source, "ddim", 1e5, Steering(k=1e5, method="nes"), 20, 200, 0)
        result = run_cell(cell)
        assert result.lost > 0
        assert result.lost + sum(mode.n for mode in result.modes) == 200
