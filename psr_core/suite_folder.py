"""Where the suite's own files are: configuration, models."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def suite_root() -> Path:
    """The folder that holds config/: the source tree, or share/psr_suite of an installation.

    Raises FileNotFoundError naming the places searched.
    """
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    places = [Path(__file__).resolve().parents[1], *(Path(prefix) / "share" / "psr_suite" for prefix in prefixes)]
    for place in places:
        if (place / "config" / "sim.yaml").is_file():
            return place
    raise FileNotFoundError(
        f"no config/sim.yaml in any of: {', '.join(map(str, places))}; "
        "install the suite with `pip install -e .`, or source the workspace's setup file"
    )
