"""An object from a file on the report's page: a picture, what became of it when dropped and lifted, and a film."""

from __future__ import annotations

from html import escape
from pathlib import Path

from psr_core.media import as_png
from psr_eval.asset_lifts import VIDEO, AssetLifts
from psr_eval.html import table
from psr_eval.moments import embedded
from psr_eval.video import film_html
from psr_mesh.asset import read_asset
from sim.assets import draw_turn
from sim.rendering import choose_gl


def as_html(folder: Path, lifts: AssetLifts, out: Path) -> str:
    """folder: the asset. out: where its film is, if any. Raises ValueError for an asset that is damaged."""
    asset = read_asset(folder)
    made, low_high = asset.made, lifts.interval
    prompt = f'"{made["prompt"]}", seed {made.get("seed")}' if "prompt" in made else asset.name
    drop, size = lifts.drop, " x ".join(f"{1000 * side:.0f}" for side in asset.statistics["size_m"])
    facts = {
        "asked for": prompt,
        "size, mass": f"{size} mm, {1000 * asset.statistics['mass_kg']:.0f} g",
        "mesh": f"{asset.statistics['surface']['faces']} faces, {asset.statistics['hulls']} convex hulls",
        "dropped": f"lies still after {drop.seconds:.2g} s" if drop.passed else "; ".join(drop.problems),
        "narrowest": f"{1000 * drop.width:.0f} mm, {'fits' if drop.graspable else 'does not fit'} into the gripper",
        "lifted": f"{lifts.successes} of {len(lifts.attempts)} seeds, Wilson 95 % interval "
        f"{low_high[0]:.0%} to {low_high[1]:.0%}",
    }
    rows = (f"<tr><td>{escape(name)}</td><td class='wrap'>{escape(value)}</td></tr>" for name, value in facts.items())
    parts = [table("", rows)]
    if choose_gl().ok:
        picture = as_png(draw_turn(asset.mjcf))
        parts.insert(
            0, embedded(picture, "the object from four sides", "The object in the simulator, from four sides.")
        )
    if (out / VIDEO).is_file():
        parts.append(film_html(out / VIDEO, "The scripted expert lifts it in the cube's place."))
    return "".join(parts)
