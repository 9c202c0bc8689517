"""Files written whole, known by their digest, and the revision of the code that wrote them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replaces a file in one go: whoever reads it finds the old contents or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def file_sha256(path: Path | str) -> str:
    """sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def git_revision() -> str:
    """Commit of the working tree this code runs from, with "-dirty" when it was changed; "unknown" outside one."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
