"""`psr doctor`: what of the suite works on this machine, what does not, and the cure."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from psr_cli.graph import suite_root

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OK, WARN, FAIL = "ok", "warn", "fail"
SET_UP = "run `make setup`"
PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
IMAGE_BYTES = 640 * 480 * 3  # what one message of a camera takes at least; a smaller segment loses them
SEGMENT_BYTES, PARTICIPANTS = 32 << 20, 4  # shared memory of one process under the shipped profile, and how many run

# Each library with what goes without it.
LIBRARIES = {
    "mujoco": "simulator",
    "robosuite": "simulator",
    "robomimic": "training data",
    "diffusers": "samplers",
    "h5py": "demonstrations",
    "rosbags": "bags",
    "mcap": "bags",
}

# In a process of its own: a broken C library ends the process instead of raising, and rclpy stays out of this one.
ROS_PROBE = """
import json
found = {}

def attempt(name, function):
    try:
        found[name] = [True, str(function())]
    except Exception as error:
        found[name] = [False, f"{type(error).__name__}: {error}"]

def rclpy_place():
    import rclpy
    return rclpy.__file__

def message_round_trip():
    from psr_interfaces.msg import Steering
    from rclpy.serialization import deserialize_message, serialize_message
    sent = Steering(k=1.5, sigma=0.25)
    assert deserialize_message(serialize_message(sent), Steering) == sent, "a message came back changed"
    return "a message survives the wire format"

def node_starts():
    import rclpy
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        rclpy.create_node("psr_doctor", context=context).destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return rclpy.get_rmw_implementation_identifier()

attempt("rclpy", rclpy_place)
attempt("psr_interfaces", message_round_trip)
attempt("ROS node", node_starts)
print("found:" + json.dumps(found))
"""


@dataclass(frozen=True)
class Check:
    """One component: verdict ok, warn or fail, its version, what was found, and the cure unless it is ok."""

    component: str
    verdict: str
    version: str = ""
    detail: str = ""
    cure: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("doctor", help="what works on this machine, what does not, and the cure")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every check; 1 when one failed, else 0 (a warning leaves everything but its component working)."""
    checks = []
    for check in run_checks(ALL_CHECKS):
        checks.append(check)
        if not args.json:
            print(describe(check), flush=True)
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in (OK, WARN, FAIL)}
    if args.json:
        print(json.dumps({"counts": counts, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts[FAIL] else 0


def describe(check: Check) -> str:
    """A check as one line, and a second one with the cure when there is one."""
    line = f"{check.verdict:<5} {check.component:<18} {check.version:<14} {check.detail}".rstrip()
    return f"{line}\n      cure: {check.cure}" if check.cure else line


def run_checks(functions: Iterable[Callable[[], Iterable[Check]]]) -> Iterator[Check]:
    """The checks of every function; one that raises counts as a failed check under its own name."""
    for function in functions:
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                checks = list(function())
        except Exception as error:  # whatever is wrong with one component, the others are still to be looked at
            detail = f"{type(error).__name__}: {' '.join(str(error).split())}"
            checks = [Check(function.__name__.removeprefix("check_"), FAIL, "", detail, SET_UP)]
        yield from checks


def check_python() -> Iterator[Check]:
    supported = (3, 10) <= sys.version_info[:2] <= (3, 12)
    cure = "" if supported else "install Python 3.10, 3.11 or 3.12, then `make setup PYTHON=python3.11`"
    yield Check("Python", OK if supported else FAIL, platform.python_version(), sys.executable, cure)


def check_ros() -> Iterator[Check]:
    done = subprocess.run([sys.executable, "-c", ROS_PROBE], capture_output=True, text=True, timeout=60, check=False)
    answer = re.search("^found:(.*)$", done.stdout, re.MULTILINE)
    if not answer:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Check("ROS", FAIL, "", f"the process that tried it ended: {last}", SET_UP)
        return
    for component, (works, detail) in json.loads(answer[1]).items():
        yield Check(component, OK if works else FAIL, _version(component), detail, "" if works else _ros_cure(detail))


def _ros_cure(detail: str) -> str:
    if "logging directory" in detail:
        return "set HOME or ROS_LOG_DIR to a folder that can be written"
    if "C extension" in detail:
        return "unset LD_LIBRARY_PATH and _ROS_WHEELS_BOOTSTRAP_COMPLETE, or source your ROS 2 installation again"
    return SET_UP


def check_dds_profile() -> Iterator[Check]:
    """The profile that nodes get; shared memory segments must hold an image, or images are lost."""
    asked = os.environ.get(PROFILE_VARIABLE)
    path = Path(asked) if asked else suite_root() / "config" / "fastdds_shm.xml"
    source = f"from {PROFILE_VARIABLE}" if asked else "shipped; `psr up` and the launch files set it"
    cure = f"unset {PROFILE_VARIABLE}, or name config/fastdds_shm.xml of the suite" if asked else SET_UP
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        yield Check("DDS profile", FAIL, "", f"{path} ({source}) cannot be read: {error}", cure)
        return
    segments = [int(element.text or 0) for element in root.iter() if element.tag.endswith("segment_size")]
    if root.tag.rpartition("}")[2] not in ("profiles", "dds"):
        yield Check("DDS profile", FAIL, "", f"{path} ({source}) holds no Fast DDS profiles", cure)
    elif max(segments, default=0) < IMAGE_BYTES:
        detail = f"{path} ({source}): no shared memory segment holds a camera image, so images get lost"
        yield Check("DDS profile", WARN, "", detail, cure)
    else:
        yield Check("DDS profile", OK, "", f"{path} ({source})")


def check_shared_memory() -> Iterator[Check]:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        yield Check("shared memory", WARN, "", f"no {folder}", "messages go over UDP; mount a tmpfs there for images")
        return
    free, need = shutil.disk_usage(folder).free, SEGMENT_BYTES * PARTICIPANTS
    cure = "" if free >= need else "make it larger (docker run --shm-size=512m), or delete what dead nodes left there"
    detail = f"{free >> 20} MiB free in {folder}, {need >> 20} MiB wanted"
    yield Check("shared memory", OK if free >= need else WARN, "", detail, cure)


def check_gl() -> Iterator[Check]:
    from sim.rendering import choose_gl

    report = choose_gl()
    cure = "" if report.ok else "install libosmesa6, or libegl1 with libgl1-mesa-dri; only camera images need it"
    yield Check("off-screen GL", OK if report.ok else WARN, report.backend, report.detail, cure)


def check_torch() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        device = f"cuda: {torch.cuda.get_device_name()}"
    else:
        device = f"cpu, {torch.get_num_threads()} threads"
    yield Check("torch", OK, torch.__version__, device)


def check_opencv() -> Iterator[Check]:
    import cv2

    names = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    installed = [name for name in names if _version(name)]
    cure = f"keep one: pip uninstall {' '.join(installed)}, then `make setup`" if len(installed) > 1 else ""
    yield Check("OpenCV", WARN if cure else OK, cv2.__version__, ", ".join(installed), cure)


def check_libraries() -> Iterator[Check]:
    for name, purpose in LIBRARIES.items():
        try:
            importlib.import_module(name)
            yield Check(name, OK, _version(name), purpose)
        except Exception as error:  # a broken library may raise anything while it is imported
            detail = f"{purpose}; cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(name, FAIL, _version(name), detail, SET_UP)


def check_pins() -> Iterator[Check]:
    """Whether what is installed is what the suite was tested with."""
    from packaging.requirements import Requirement

    path = suite_root() / "requirements.lock"
    if not path.is_file():  # an installation without the source tree
        return
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    pins = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate()]
    other = [f"{pin.name} {_version(pin.name) or 'missing'} ({pin.specifier})" for pin in pins if not _fits(pin)]
    if other:
        more = f" and {len(other) - 5} more" if len(other) > 5 else ""
        yield Check("pinned packages", WARN, "", f"{len(other)} differ: {', '.join(other[:5])}{more}", SET_UP)
    else:
        yield Check("pinned packages", OK, "", f"{len(pins)} as in requirements.lock")


def check_programs() -> Iterator[Check]:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    cure = "" if browser else "install chromium; only tests that look at reports need it"
    yield Check("browser", OK if browser else WARN, "", browser or "no chromium found", cure)
    import imageio_ffmpeg

    yield Check("ffmpeg", OK, imageio_ffmpeg.get_ffmpeg_version().partition("-")[0], imageio_ffmpeg.get_ffmpeg_exe())


def check_weights() -> Iterator[Check]:
    """Loads every policy in models/, which compares its sha256 and its shapes with its card."""
    from psr_policy.checkpoint import load_policy

    folders = sorted(path.parent for path in (suite_root() / "models").glob("*/policy.json"))
    if not folders:
        yield Check("weights", FAIL, "", f"no policy in {suite_root() / 'models'}", "check the repository out again")
    for folder in folders:
        name = f"models/{folder.name}"
        try:
            policy = load_policy(folder)
        except (ValueError, OSError) as error:
            yield Check(name, FAIL, "", str(error), f"git checkout -- {name}")
        else:
            size = sum(parameter.numel() for parameter in policy.parameters())
            identity = policy.checkpoint_id.rpartition("@")[2]
            yield Check(name, OK, identity, f"{policy.config.network}, {size / 1e6:.1f} M parameters")


def check_assets() -> Iterator[Check]:
    """Loads every object in models/assets as the simulator does, its files compared with their card."""
    from psr_mesh.asset import read_asset
    from sim.assets import MJCF, load_asset

    for folder in sorted(path.parent for path in (suite_root() / "models" / "assets").glob(f"*/{MJCF}")):
        name = f"models/assets/{folder.name}"
        try:
            asset = read_asset(folder)
            load_asset(asset.mjcf)
        except (ValueError, OSError) as error:
            yield Check(name, FAIL, "", str(error), f"git checkout -- {name}")
        else:
            yield Check(name, OK, "", f"{asset.statistics['hulls']} convex hulls; `psr lift {name}` tries it")


ALL_CHECKS = (
    check_python,
    check_ros,
    check_dds_profile,
    check_shared_memory,
    check_gl,
    check_torch,
    check_opencv,
    check_libraries,
    check_pins,
    check_programs,
    check_weights,
    check_assets,
)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _fits(pin: Requirement) -> bool:
    found = _version(pin.name)
    return bool(found) and pin.specifier.contains(found, prereleases=True)
