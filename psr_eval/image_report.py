"""The image table on paper: JSON, Markdown, contact sheet, FID against CLIP score, figures over (k, σ)."""

from __future__ import annotations

import io
import json
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psr_core.files import write_whole
from psr_eval.frechet import RESAMPLES
from psr_eval.image_files import read_pixels
from psr_eval.image_generation import ImagePlan
from psr_eval.image_metrics import NAMES, Figures, Measured
from psr_eval.image_rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_PROMPTS = 6
HEADINGS = (
    "",
    "FID ↓",
    "FD (CLIP) ↓",
    "CLIP ↑",
    "CFG",
    "diversity",
    "high frequency ×10⁻³",
    "distance to stock",
    "images",
)


def write_report(plan: ImagePlan, measured: Measured, out: Path) -> list[Path]:
    """Write table.json, table.md, contact_sheet.png and what there are figures for of fid_clip.png and k_sigma.png.

    Returns the paths written; a chart of an earlier report that has no figures now is removed.
    """
    files = {
        "table.json": (json.dumps(table_dict(plan, measured), indent=1, ensure_ascii=False) + "\n").encode(),
        "table.md": table_markdown(plan, measured).encode(),
        "contact_sheet.png": _png(contact_sheet(plan, out)),
    }
    charts = {
        "fid_clip.png": None if {"fid", "clip"} & set(measured.missing) else fid_clip_chart(measured.rows),
        "k_sigma.png": k_sigma_chart(measured),
    }
    for name, chart in charts.items():
        (out / name).unlink(missing_ok=True)
        if chart is not None:
            files[name] = _png(chart)
    for name, data in files.items():
        write_whole(out / name, data)
    return [out / name for name in files]


def table_dict(plan: ImagePlan, measured: Measured) -> dict[str, Any]:
    """The table for JSON: what was not measured is null, and `missing` says why."""
    rows = [
        {
            "name": f.row.name,
            "folder": f.row.slug,
            "scheduler": f.row.scheduler,
            "steering": f.row.steering.to_dict(),
            "guidance": f.row.guidance,
            "images": f.n,
            "black_images": f.black,
            "fid": f.fid,
            "clip_fd": f.clip_fd,
            "clip_fd_standard_error": f.clip_fd_standard_error,
            "clip": f.clip,
            "clip_standard_error": f.clip_standard_error,
            "diversity": f.diversity,
            "diversity_standard_error": f.diversity_standard_error,
            "high_frequency": f.high_frequency,
            "stock": f.stock,
            "distance_to_stock": f.distance_to_stock,
        }
        for f in measured.rows
    ]
    facts = {"model": plan.model, "steps": plan.steps, "seed": plan.seed, "reference_images": measured.references}
    return {**facts, "missing": measured.missing, "notes": notes(plan, measured), "rows": rows}


def table_markdown(plan: ImagePlan, measured: Measured) -> str:
    """The table in the form of table 1.3, what was not measured as "-", with notes below."""
    lines = [
        f"# {plan.model}: {len(plan.prompts)} prompts, {plan.images_per_prompt} image(s) each, {plan.steps} steps",
        "",
        _table_line(HEADINGS),
        _table_line(["---", *["---:"] * (len(HEADINGS) - 1)]),
        *(_table_line(_cells(figures)) for figures in measured.rows),
        "",
        *(f"* {note}" for note in notes(plan, measured)),
    ]
    return "\n".join(lines) + "\n"


def notes(plan: ImagePlan, measured: Measured) -> list[str]:
    """What a reader of the table has to know: how figures were taken, which are missing or weak, and why."""
    lines = [f"{NAMES[key]} is not measured: {reason}." for key, reason in measured.missing.items()]
    lines += _frechet_notes(plan.images, measured)
    if "clip" not in measured.missing:
        lines.append(
            "CLIP: 100 x cosine, mean over prompts ± standard error. All rows share prompts and noise, so the "
            "difference of two rows is known better than the error of either says."
        )
    if "diversity" not in measured.missing:
        lines.append(
            "Diversity: 1 - cosine of the CLIP model's image features, mean over the pairs of images of a prompt, then "
            "over prompts ± standard error; 0 when all are alike. LPIPS diversity is made so, of other features."
        )
    lines.append(
        "High frequency: mean squared Laplacian of the luminance in [0, 1]. Distance to stock: mean absolute "
        "difference of the pixels in [0, 1] to the same sampler without steering, from the same noise; '-' for that "
        "row itself."
    )
    for figures in measured.rows:
        if figures.black:
            lines.append(
                f"{figures.row.name}: {figures.black} of {figures.n} images are black throughout (a safety checker, or "
                "numbers that were not finite) and count in its figures."
            )
    return lines


def _frechet_notes(images: int, measured: Measured) -> list[str]:
    lines = []
    counts = f"{images} images a row against {measured.references} real ones"
    of_clip = (
        "the Fréchet distance is that of the CLIP model's image features, not Inception's, ± standard error over "
        f"prompts (bootstrap, {RESAMPLES} resamples)"
    )
    for name, features in measured.features.items():
        taken = "cut at the centre and resized to the size of the generated ones"
        lines.append(f"{NAMES[name]}: {counts}, which were {taken}" + (f"; {of_clip}." if name == "clip_fd" else "."))
        if min(images, measured.references or 0) <= features:
            lines.append(
                f"{NAMES[name]} from no more images than its {features} features is biased upwards and noisy: "
                "compare it only within this table, and not with published figures."
            )
    return lines


def _cells(f: Figures) -> list[str]:
    distance = _number(f.clip_fd, 4, f.clip_fd_standard_error)
    clip = _number(f.clip, 2, f.clip_standard_error)
    various = _number(f.diversity, 3, f.diversity_standard_error)
    last = [f"{1000 * f.high_frequency:.3f}", _number(f.distance_to_stock, 4), str(f.n)]
    return [f.row.name, _number(f.fid, 2), distance, clip, f"{f.row.guidance:g}", various, *last]


def _number(value: float | None, digits: int, error: float | None = None) -> str:
    found = "-" if value is None else f"{value:.{digits}f}"
    return found if error is None else f"{found} ± {error:.{digits}f}"


def _table_line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def contact_sheet(plan: ImagePlan, out: Path) -> Figure:
    """Rows of the table by its first prompts, the first image of each."""
    from matplotlib.figure import Figure

    prompts = plan.prompts[:SHOWN_PROMPTS]
    first = read_pixels(plan.image_path(out, plan.rows[0], 0, 0))
    side, label, head = 1.6, 2.2, 0.75  # inches: an image's width, the names, the prompts
    height = side * first.shape[0] / first.shape[1]
    size = (label + side * len(prompts), head + height * len(plan.rows))
    figure = Figure(figsize=size, dpi=120)
    grid = figure.subplots(len(plan.rows), len(prompts), squeeze=False)
    figure.subplots_adjust(label / size[0], 0, 1, 1 - head / size[1], wspace=0.03, hspace=0.03)
    for row, line in zip(plan.rows, grid, strict=True):
        for index, axes in enumerate(line):
            axes.imshow(read_pixels(plan.image_path(out, row, index, 0)), interpolation="nearest")
            axes.set_axis_off()
        middle = line[0].get_position().y0 + line[0].get_position().height / 2
        figure.text(0.1 / size[0], middle, textwrap.fill(row.name, 24), va="center", fontsize=9)
    for prompt, axes in zip(prompts, grid[0], strict=True):
        text = textwrap.fill(textwrap.shorten(prompt, 66, placeholder=" …"), 24)
        axes.set_title(text, fontsize=7, pad=4)
    return figure


def fid_clip_chart(rows: list[Figures]) -> Figure:
    """FID over CLIP score as in figure 1.7: a point for each row, a line for a sampler's stock rows by guidance."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, max(5, 0.5 + 0.18 * len(rows))), dpi=120, layout="constrained")  # legend: a line each
    axes = figure.subplots()
    sweeps: dict[str, list[Figures]] = defaultdict(list)
    for each in rows:
        if each.row.is_stock:
            sweeps[each.row.scheduler].append(each)
    samplers = list(dict.fromkeys(each.row.scheduler for each in rows))
    markers = {sampler: "os^DvP*Xd"[index % 9] for index, sampler in enumerate(samplers)}
    in_line: set[Row] = set()
    for sampler, points in sweeps.items():
        if len(points) > 1:
            points = sorted(points, key=lambda each: each.row.guidance)
            in_line.update(each.row for each in points)
            x, y = [each.clip for each in points], [each.fid for each in points]
            name = f"{sampler.removesuffix('Scheduler')}, stock, guidance {points[0].row.guidance:g} to "
            axes.plot(x, y, marker=markers[sampler], color="0.35", label=f"{name}{points[-1].row.guidance:g}", zorder=1)
            for each, *place in zip(points, x, y, strict=True):
                axes.annotate(f"{each.row.guidance:g}", place, (5, 4), textcoords="offset points", fontsize=8)
    alone = [each for each in rows if each.row not in in_line]
    for index, each in enumerate(alone):
        color = f"C{index}" if len(alone) <= 10 else colormaps["turbo"](index / len(alone))
        style = {"marker": markers[each.row.scheduler], "color": color, "s": 55, "zorder": 2}
        axes.scatter([each.clip], [each.fid], label=each.row.name, **style)
    axes.set_xlabel("CLIP score → better")
    axes.set_ylabel("FID ← better")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def k_sigma_chart(measured: Measured) -> Figure | None:
    """Each figure over k, a line for each σ, as in figure A.12; a line of panels for each sampler and guidance.

    None unless some sampler has rows of PSR at two values of k or more for one σ. The stock row is the point at k = 1.
    """
    from matplotlib.figure import Figure

    samplers = _psr_rows(measured.rows)
    if not samplers:
        return None
    names = {
        "fid": "FID ← better",
        "clip_fd": "FD (CLIP) ← better",
        "clip": "CLIP score → better",
        "diversity": "diversity",
        "high_frequency": "high frequency",
    }
    shown = [name for name in names if name not in measured.missing]
    figure = Figure(figsize=(1.5 + 3.5 * len(shown), 3 * len(samplers)), dpi=120, layout="constrained")
    grid = figure.subplots(len(samplers), len(shown), squeeze=False)
    for ((scheduler, guidance), by_sigma), line in zip(samplers.items(), grid, strict=True):
        for name, axes in zip(shown, line, strict=True):
            for index, (sigma, points) in enumerate(sorted(by_sigma.items())):
                k = [each.row.steering.k for each in points]
                values = [getattr(each, name) for each in points]
                axes.plot(k, values, marker="osD^v"[index % 5], color=f"C{index}", label=f"σ = {sigma:g}")
            axes.set_title(f"{scheduler.removesuffix('Scheduler')}, guidance {guidance:g}", fontsize=9)
            axes.set_xlabel("k")
            axes.set_ylabel(names[name])
            axes.grid(alpha=0.3)
        line[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _psr_rows(rows: list[Figures]) -> dict[tuple[str, float], dict[float, list[Figures]]]:
    """Rows of PSR by sampler and guidance, then by σ, in order of k; where there is a stock row, it is k = 1."""
    found: dict[tuple[str, float], dict[float, list[Figures]]] = defaultdict(lambda: defaultdict(list))
    for each in rows:
        steering = each.row.steering
        if not each.row.is_stock and (steering.method, steering.integrator, steering.cap) == ("psr", "plain", False):
            found[each.row.scheduler, each.row.guidance][steering.sigma].append(each)
    dense = {key: lines for key, lines in found.items() if max(map(len, lines.values())) > 1}
    for (scheduler, guidance), lines in dense.items():
        stock = [f for f in rows if f.row.is_stock and (f.row.scheduler, f.row.guidance) == (scheduler, guidance)]
        for points in lines.values():
            points += stock[:1]
            points.sort(key=lambda each: 1.0 if each.row.is_stock else each.row.steering.k)
    return dense


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data)
    return data.getvalue()
