"""The system packages that the set-up needs: found by what they bring, installed with apt where that can be done."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")
DRIVERS = ("/usr/lib/*/dri/*_dri.so", "/usr/lib64/dri/*_dri.so", "/usr/lib/dri/*_dri.so")


@dataclass(frozen=True)
class SystemPackage:
    """A Debian package, whether what it brings is there, and what for. Optional: the set-up goes on without it."""

    name: str
    present: bool
    purpose: str
    optional: bool = False


def needed(python: str, with_tests: bool) -> list[SystemPackage]:
    """Everything the set-up needs of the system, for this interpreter."""
    libraries = _run(["ldconfig", "-p"])
    facts = "import sys, sysconfig; print(sys.version_info[1], sysconfig.get_path('include'))"
    minor, include = _run([python, "-c", facts]).split()
    has_venv = _run([python, "-c", "import ensurepip, venv; print('yes')"]) != ""
    has_drivers = any(any(Path("/").glob(pattern[1:])) for pattern in DRIVERS)
    packages = [
        SystemPackage(f"python3.{minor}-venv", has_venv, "makes .venv"),
        SystemPackage(f"python3.{minor}-dev", (Path(include) / "Python.h").is_file(), "compiles ROS messages"),
        SystemPackage("cmake", shutil.which("cmake") is not None, "compiles ROS messages"),
        SystemPackage("make", shutil.which("make") is not None, "compiles ROS messages"),
        SystemPackage("g++", shutil.which("g++") is not None, "compiles ROS messages"),
        SystemPackage("libgl1", "libGL.so.1 " in libraries, "OpenCV"),
        SystemPackage("libglib2.0-0", "libgthread-2.0.so.0 " in libraries, "OpenCV"),
        SystemPackage("libegl1", "libEGL.so.1 " in libraries, "camera images (EGL)", optional=True),
        SystemPackage("libgl1-mesa-dri", has_drivers, "camera images (EGL)", optional=True),
        SystemPackage("libosmesa6", "libOSMesa.so" in libraries, "camera images without EGL", optional=True),
    ]
    if with_tests:
        browsers = ("chromium", "chromium-browser", "google-chrome")
        packages.append(SystemPackage("chromium", any(map(shutil.which, browsers)), "looks at reports", optional=True))
    return packages


def install_missing(python: str, with_tests: bool, run: Callable[[list[str]], None]) -> None:
    """Install what is missing: `run` executes one command and raises when it fails.

    Raises ValueError with the command to give when this process may not install packages, or apt is not there.
    """
    missing = [package for package in needed(python, with_tests) if not package.present]
    if not missing:
        return
    may_install = shutil.which("apt-get") is not None and os.geteuid() == 0
    if may_install:
        run([*APT, "update"])
    for package in [package for package in missing if package.optional and not _apt_offers(package.name)]:
        print(f"      going on without {package.name} ({package.purpose}): apt does not offer it")
        missing.remove(package)
    names = [package.name for package in missing]
    if names and not may_install:
        raise ValueError(_what_to_install(missing))
    if names:
        run(["env", "DEBIAN_FRONTEND=noninteractive", *APT, "install", "-y", "--no-install-recommends", *names])


def _what_to_install(missing: list[SystemPackage]) -> str:
    reasons = "\n".join(f"  {package.name:<16} {package.purpose}" for package in missing)
    names = " ".join(package.name for package in missing)
    if shutil.which("apt-get"):
        cure = f"Install them, then run this again:\n  sudo apt-get update && sudo apt-get install -y {names}"
    else:
        cure = "These are Debian's names: install your distribution's packages of that kind, then run this again"
    return f"these system packages are missing:\n{reasons}\n{cure}"


def _apt_offers(name: str) -> bool:
    try:
        return "Package:" in _run(["apt-cache", "show", name])
    except OSError:
        return False


def _run(command: list[str]) -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # ldconfig is not on every user's PATH
    program = shutil.which(command[0], path=path) or command[0]
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False).stdout
