"""Figures of Gaussian mixtures: which panels there are, and that what is drawn is what was sampled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from psr_core.mixtures import GaussianMixture, NamedMixture
from psr_core.steering import Steering
from psr_eval import toy_figures
from psr_eval.toy import Cell
from psr_eval.toy_figures import Panel, compared_panels, sigma_panels, write_factor_figure, write_samples_figure


@pytest.fixture
def source():
    values = ([0.25, 0.75], [[-1.0, 0.0], [1.0, 0.0]], [[[0.01, 0.0], [0.0, 0.01]]] * 2)
    return NamedMixture(
        "two", "for a test", 0.1, GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in values))
    )


@pytest.fixture
def written(monkeypatch):
    """The figure itself, in place of its file."""
    figures = []
    monkeypatch.setattr(toy_figures, "write_png", lambda figure, path: figures.append(figure))
    return figures


class TestPanels:
    def test_one_row_for_each_k_in_the_thesis_order(self, source):
        rows = compared_panels(source, 100, 0)
        assert [row[-1].cell.target_k for row in rows] == [10, 0.25]
        for row in rows:
            methods = [panel.cell.method for panel in row]
            assert methods == ["exact p̄_k", "exact p̄_k", "AR", "NNS", "PSR", "PSR + gaussian2"]
            assert row[0].cell.target_k == 1  # p itself
            assert {panel.cell.target_k for panel in row[1:]} == {row[1].cell.target_k}

    def test_nes_stands_beside_nns_where_it_is_asked_for(self, source):
        assert [panel.cell.method for panel in compared_panels(source, 100, 0, nes=True)[0]][3:5] == ["NNS", "NES"]

    def test_the_sigma_figure_varies_sigma_alone(self, source):
        for row in sigma_panels(source, 100, 0):
            steered = [panel.cell for panel in row[2:]]
            assert [c.steering.sigma for c in steered] == pytest.approx([0.05, 0.1, 0.2, 0.4])
            assert len({(c.steering.k, c.target_k, c.steps, c.sampler) for c in steered}) == 1


class TestSamplesFigure:
    def rows(self, source, n=400):
        return [
            [
                Panel("p", Cell(source, "exact", 1.0, None, 0, n, 0)),
                Panel("p̄_k", Cell(source, "exact", k, None, 0, n, 0)),
            ]
            for k in (10.0, 0.25)
        ]

    def test_writes_a_picture_that_shows_something(self, source, tmp_path):
        write_samples_figure(self.rows(source), tmp_path / "new" / "figure.png", workers=1)
        picture = imread(tmp_path / "new" / "figure.png")
        assert picture.shape[0] > 400 and picture.shape[1] > 400
        assert 0.01 < np.mean(picture[..., :3].min(axis=-1) < 0.9) < 0.5
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["figure.png"]

    def test_panels_share_axes_that_hold_the_widest_target(self, source, written):
        write_samples_figure(self.rows(source), "", workers=1)
        axes = written[0].axes
        assert len({(a.get_xlim(), a.get_ylim()) for a in axes}) == 1
        for panel in axes:
            dots = panel.collections[0].get_offsets()
            inside = (dots[:, 0] > panel.get_xlim()[0]) & (dots[:, 0] < panel.get_xlim()[1])
            assert inside.mean() > 0.99

    def test_dots_have_their_modes_colour_and_weights_are_written(self, source, written):
        write_samples_figure(self.rows(source), "", workers=1)
        panel = written[0].axes[0]
        dots, colours = panel.collections[0].get_offsets(), panel.collections[0].get_facecolors()
        assert len({tuple(c) for c in colours[dots[:, 0] < 0]}) == 1
        assert len({tuple(c) for c in colours}) == 2
        left = float((dots[:, 0] < 0).mean())
        assert panel.texts[0].get_text() == f"{left:.3f}"

    def test_says_what_lies_outside(self, source, written):
        diverged = Cell(source, "ddim", 10.0, Steering(k=10.0, sigma=0.1, method="nes"), 5, 300, 0)
        write_samples_figure([[Panel("NES", diverged)]], "", workers=1)
        assert any("% outside" in text.get_text() for text in written[0].axes[0].texts)


class TestFactorFigure:
    def test_runs_from_k_at_the_clean_end_to_one_at_noise(self, written):
        write_factor_figure("")
        (figure,) = written
        assert isinstance(figure, Figure)
        for axes, count in zip(figure.axes, (6, 6), strict=True):
            assert len(axes.lines) == count
            for line in axes.lines:
                k = float(line.get_label().split("= ")[1]) if axes is figure.axes[0] else 2.0
                factor = line.get_ydata()
                assert (factor[0], factor[-1]) == pytest.approx((k, 1.0))
                assert (np.diff(np.abs(np.log(factor))) <= 1e-12).all()

    def test_a_larger_sigma_steers_earlier(self, written):
        write_factor_figure("")
        curves = np.array([line.get_ydata() for line in written[0].axes[1].lines])
        assert (np.diff(curves[:, 1:-1], axis=0) > 0).all()
