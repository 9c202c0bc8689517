#!/usr/bin/env python3
"""Make everything the suite needs, in .venv: `make setup` (`--test` adds what only the tests use).

Each finished step leaves a stamp in .venv/.setup with a key of what went into it. A second run only compares keys, a
change runs its step again, an interrupted run is mended by the next. Standard library only: nothing is installed yet.
PYTHON=python3.12 chooses the interpreter of a new .venv. pip's environment variables (PIP_INDEX_URL, ...) are honoured.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from system_packages import install_missing

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMPS = VENV / ".setup"
INSTALLING = STAMPS / "installing"  # there while pip works; found at the start, it says that pip was cut short
BUILD = ROOT / "build"
LOG = BUILD / "setup.log"
DOOMED = BUILD / "old_venv"  # a .venv on its way out
LOCK = ROOT / "requirements.lock"
INTERFACES = ROOT / "ros2_ws" / "src" / "psr_interfaces"
INCLUDES_FIX = ROOT / "tools" / "drop_missing_includes.cmake"
TORCH = "torch==2.13.0"
PYTHONS = ("python3", "python3.11", "python3.12", "python3.10")
STEPS = 6
HEARTBEAT = 20.0  # seconds between lines when the output is not a terminal

# What another ROS environment, or the make that called us, would pass on to the commands run here.
FOREIGN_VARIABLES = {
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHONHOME",
    "PYTHONPATH",
}


class SetupError(Exception):
    """A text for the user: what is wrong and the cure."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make everything the suite needs, in .venv.")
    parser.add_argument("--test", action="store_true", help="also install what only the tests use")
    with_tests = parser.parse_args().test
    started = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    try:
        with (BUILD / "setup.lock").open("w") as lock:
            wait_for(lock)
            LOG.write_text("")
            set_up(with_tests)
    except SetupError as error:
        print(f"setup: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    print(f"set-up complete ({time.monotonic() - started:.1f} s)")
    return 0


def set_up(with_tests: bool) -> None:
    """All six steps, those that are done left out."""
    environment = clean_environment()
    python = find_python()
    shutil.rmtree(DOOMED, ignore_errors=True)
    try:
        install_missing(python, with_tests, lambda command: run("[1/6] system packages", command, environment))
    except ValueError as error:
        raise SetupError(error) from None
    if not venv_is_sound():
        if VENV.exists():
            print("      .venv was cut short, moved, or made by another Python: making it anew", flush=True)
            VENV.rename(DOOMED)  # in one go: a half deleted .venv could look sound
        run("[2/6] Python environment", [python, "-m", "venv", str(VENV)], environment)
        shutil.rmtree(DOOMED, ignore_errors=True)
    version = output_of([str(VENV_PYTHON), "-c", "import sys; print(*sys.version_info[:2], sep='.')"])
    pip = [str(VENV_PYTHON), "-m", "pip", "install"]

    def install_locked() -> None:
        with pip_at_work():
            run("[3/6] pinned packages", [*pip, "--no-deps", "-r", str(LOCK)], environment)

    def install_torch() -> None:
        with pip_at_work():
            run("[4/6] PyTorch", [*pip, TORCH, "-c", str(LOCK)], environment)

    def install_suite() -> None:
        command = [*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
        run(
            "[6/6] commands psr, policy_node, depth_node, pose_node, mesh_node, sim_bridge, recorder",
            command,
            environment,
        )

    interfaces = [*sorted(path for path in INTERFACES.rglob("*") if path.is_file()), INCLUDES_FIX]
    once("locked", key_of(version, LOCK), install_locked)
    once("torch", key_of(version, TORCH), install_torch)
    once("interfaces", key_of(version, LOCK, *interfaces), lambda: build_interfaces(environment))
    packages = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))  # an editable install lists them
    once("suite", key_of(version, ROOT / "setup.py", ROOT / "setup.cfg", *packages), install_suite)


def build_interfaces(environment: dict[str, str]) -> None:
    """Build the message package and install it into .venv, where it needs no environment variables."""
    title, build = "[5/6] ROS messages", BUILD / "psr_interfaces"
    manifest = build / "install_manifest.txt"
    for line in manifest.read_text().splitlines() if manifest.exists() else []:
        Path(line).unlink(missing_ok=True)  # what the last build installed may not exist any more
    shutil.rmtree(build, ignore_errors=True)
    prefixes = {"AMENT_PREFIX_PATH": str(VENV), "CMAKE_PREFIX_PATH": str(VENV)}
    environment = {**environment, **prefixes, "PATH": f"{VENV / 'bin'}{os.pathsep}{environment['PATH']}"}
    definitions = {
        "CMAKE_INSTALL_PREFIX": VENV,
        "BUILD_TESTING": "OFF",
        "CMAKE_PROJECT_INCLUDE": INCLUDES_FIX,
        "Python3_EXECUTABLE": VENV_PYTHON,
        "Python3_FIND_VIRTUALENV": "ONLY",
    }
    configure = ["cmake", "-S", str(INTERFACES), "-B", str(build)]
    run(f"{title}, configure", [*configure, *(f"-D{name}={value}" for name, value in definitions.items())], environment)
    jobs = str(os.cpu_count() or 1)
    run(f"{title}, build", ["cmake", "--build", str(build), "--target", "install", "--parallel", jobs], environment)
    run(f"{title}, check", [str(VENV_PYTHON), "-c", "import psr_interfaces.msg, psr_interfaces.action"], environment)


def once(name: str, key: str, action: Callable[[], None]) -> None:
    """Run action unless its stamp holds key already."""
    stamp = STAMPS / name
    if stamp.exists() and stamp.read_text() == key:
        return
    stamp.unlink(missing_ok=True)
    action()
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(key)


def key_of(*parts: str | Path) -> str:
    """A hash of texts and of files' names and contents; files that do not exist count as empty."""
    digest = hashlib.sha256(str(ROOT).encode())
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) and part.exists() else b""
        digest.update(f"\0{part}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@contextlib.contextmanager
def pip_at_work() -> Iterator[None]:
    """Mark .venv as half made while pip works; the mark stays when pip ends early after it began to install."""
    STAMPS.mkdir(exist_ok=True)
    INSTALLING.touch()
    before = LOG.stat().st_size
    try:
        yield
    except (SetupError, KeyboardInterrupt):
        if b"Installing collected packages" not in LOG.read_bytes()[before:]:  # so a failed download costs nothing
            INSTALLING.unlink()
        raise
    INSTALLING.unlink()


def venv_is_sound() -> bool:
    """Whether .venv runs a supported Python, was made for this folder, and no pip was cut short in it."""
    pip = VENV / "bin" / "pip"
    if INSTALLING.exists() or not pip.is_file() or f"{VENV_PYTHON}" not in pip.read_text():
        return False
    return is_supported(str(VENV_PYTHON))


def is_supported(python: str) -> bool:
    check = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def find_python() -> str:
    """The interpreter to make .venv from: $PYTHON, else the first of PYTHONS that is 3.10 to 3.12.

    Raises SetupError when there is none.
    """
    asked = os.environ.get("PYTHON", "")
    for name in [asked] if asked else PYTHONS:
        path = shutil.which(name)
        if path and Path(path).parent == VENV / "bin":  # an activated .venv cannot make itself anew
            path = output_of([path, "-c", "import sys; print(sys.base_prefix + '/bin/python3')"])
        if path and is_supported(path):
            return path
    raise SetupError(
        f"no Python 3.10, 3.11 or 3.12 among: {asked or ', '.join(PYTHONS)}; install one (Debian, Ubuntu: "
        "sudo apt-get install python3 python3-venv python3-dev; or uv python install 3.11), "
        "then `make setup PYTHON=/path/to/python3.11`"
    )


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead the commands to other packages."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    if environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None):
        environment.pop("LD_LIBRARY_PATH", None)  # names the libraries of the environment that set both
    return {"PATH": os.defpath, **environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def output_of(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(title: str, command: Iterable[str], environment: dict[str, str]) -> None:
    """Run a command into the log, showing its last line on a terminal, a heartbeat elsewhere. Raises SetupError."""
    started = shown = time.monotonic()
    print(f"{title} ...", flush=True)
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            [*command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        while True:
            try:
                code = process.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                shown = show_progress(started, shown)
            except KeyboardInterrupt:
                process.wait()
                raise
    elapsed = time.monotonic() - started
    clear = "\r\033[K" if sys.stdout.isatty() else ""
    if code:
        tail = "\n".join(f"  | {line}" for line in log_lines()[-15:])
        raise SetupError(
            f"{title} failed (exit code {code}):\n{tail}\nAll its output is in {LOG}; the next run tries again"
        )
    print(f"{clear}{title}: done in {elapsed:.0f} s", flush=True)


def show_progress(started: float, shown: float) -> float:
    """Say that work goes on; returns when something was last said."""
    now = time.monotonic()
    last = (log_lines() or [""])[-1].strip()
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 14
        print(f"\r\033[K      {now - started:4.0f} s  {last[: max(width, 0)]}", end="", flush=True)
    elif now - shown > HEARTBEAT:
        print(f"      {now - started:4.0f} s  {last[:100]}", flush=True)
    else:
        return shown
    return now


def log_lines() -> list[str]:
    with LOG.open("rb") as log:
        log.seek(max(0, LOG.stat().st_size - 8000))
        return log.read().decode(errors="replace").splitlines()


def wait_for(lock: TextIO) -> None:
    """Let one set-up of this folder run at a time."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another set-up of this folder ...", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())
