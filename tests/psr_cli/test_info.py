"""`psr info`: text for people, JSON for programs, and an exit code."""

from __future__ import annotations

import json

import pytest

from psr_cli.main import main
from psr_policy.checkpoint import save_policy
from tests.psr_policy.conftest import tiny_policy
from tests.psr_policy.importers.chi_writer import write_chi
from tests.psr_policy.importers.writers import write_robomimic


@pytest.mark.parametrize("write", [write_chi, write_robomimic])
def test_explains_a_foreign_file_and_leaves_it_alone(tmp_path, capsys, write):
    path = write(tmp_path / "p.ckpt", tiny_policy())
    before = path.read_bytes()
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    for told in (
        "parameters",
        "sha256",
        "2 observations in, 8 actions out",
        "squaredcos_cap_v2",
        "epoch",
        "psr convert",
    ):
        assert told in text
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.ckpt"]


def test_explains_our_own(tmp_path, capsys):
    save_policy(tmp_path / "p", tiny_policy(), {"licence": "Apache-2.0"})
    assert main(["info", str(tmp_path / "p")]) == 0
    text = capsys.readouterr().out
    assert (
        "licence: Apache-2.0" in text and "robot0_eef_pos, columns 3 to 4" in text and "usable       as it is" in text
    )


def test_json(tmp_path, capsys):
    path = write_chi(tmp_path / "p.ckpt", tiny_policy("transformer"))
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["policy"]["network"] == "transformer"
    assert facts["policy"]["obs"][0]["columns"] == [0, 5]


def test_what_cannot_be_used_is_exit_code_1(tmp_path, capsys):
    path = write_chi(tmp_path / "p.ckpt", tiny_policy(), lambda cfg: cfg["policy"].update(oa_step_convention=False))
    assert main(["info", str(path)]) == 1
    assert "oa_step_convention is False" in capsys.readouterr().out


def test_what_is_not_there_is_exit_code_2(tmp_path, capsys):
    assert main(["info", str(tmp_path / "p.ckpt")]) == 2
    assert "no checkpoint at" in capsys.readouterr().err
