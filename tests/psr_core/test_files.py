"""Files: replaced whole, known by their digest; and the revision of the code."""

from __future__ import annotations

import hashlib
import re

import pytest

from psr_core import files


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.txt"
    files.write_whole(path, b"old")
    files.write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_file_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_whole(path, b"old")

    def full(self, data):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("size", [0, 5, (1 << 20) + 7])
def test_the_digest_is_that_of_the_bytes(tmp_path, size):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * (size // 256 + 1))
    assert files.file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_revision_is_a_commit_or_unknown():
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", files.git_revision())
