"""Grades side by side: made-up tables in which the thesis is right, wrong, or cannot be judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from psr_cli.main import main
from psr_eval.grade_comparison import compare_grades, read_table
from psr_eval.grade_report import as_markdown, write_report
from psr_eval.policy_comparison import compare
from psr_eval.policy_report import write_report as write_table
from tests.psr_eval.policy_outcomes import DDIM, made_up, psr

PLAYED = {
    "episodes": 40,
    "first_seed": 100_000,
    "noise_seed": 0,
    "max_steps": 0,
    "batch": 8,
    "num_inference_steps": 16,
}
STATES = 40


def _successes(count):
    return (np.arange(STATES) < count).astype(float)


@pytest.fixture
def table(tmp_path):
    """Writes a finished table of so many successes: unsteered, at k = .5 and at k = 2; returns its folder."""

    def write(name, grade, unsteered, flat, sharp, task="Can", sigma=0.1, **played):
        values = {DDIM: unsteered, psr(0.5, sigma): flat, psr(2, sigma): sharp}
        comparison = compare(made_up({row: _successes(count) for row, count in values.items()}), "success", 50)
        settings = {**PLAYED, **played, "task": task, "grades": [grade], "checkpoints": [f"{name}@0123456789ab"]}
        write_table(comparison, settings, tmp_path / name)
        return tmp_path / name

    return write


def _compare(*folders):
    (task,) = compare_grades([read_table(folder) for folder in folders])
    return task


class TestInteraction:
    def test_as_the_thesis_says(self, table):
        task = _compare(table("weak", "mixed", 20, 30, 10), table("strong", "proficient", 20, 10, 30))
        assert task.interaction.mean == pytest.approx(40 / STATES)
        assert task.interaction.verdict == "gain"
        assert task.conclusion == (
            "Can: sharp rather than flat sampling serves the proficient policy more than the mixed one, as the thesis "
            "says."
        )

    def test_against_the_thesis(self, table):
        task = _compare(table("weak", "mixed", 20, 10, 30), table("strong", "proficient", 20, 30, 10))
        assert task.interaction.mean == pytest.approx(-40 / STATES)
        assert "against the thesis" in task.conclusion

    def test_what_serves_both_alike_is_no_interaction(self, table):
        task = _compare(table("weak", "mixed", 10, 5, 20), table("strong", "proficient", 20, 15, 30))
        assert task.interaction.mean == pytest.approx(0)
        assert task.conclusion == "Can: no dependence on the grade is shown."

    def test_one_grade_alone_has_none(self, table):
        task = _compare(table("strong", "proficient", 20, 10, 30))
        assert task.interaction is None
        assert "only proficient was played" in task.conclusion


class TestGrade:
    def test_changes_are_to_the_policy_itself(self, table):
        (grade,) = _compare(table("strong", "proficient", 20, 10, 30)).grades
        assert {setting: round(found.mean * STATES) for setting, found in grade.changes.items()} == {
            (0.5, 0.1): -10,
            (2.0, 0.1): 10,
        }
        assert (grade.flat.mean, grade.sharp.mean) == (-10 / STATES, 10 / STATES)

    def test_the_proficient_one_comes_first(self, table):
        task = _compare(table("weak", "mixed", 9, 9, 9), table("strong", "proficient", 9, 9, 9))
        assert [grade.table.grade for grade in task.grades] == ["proficient", "mixed"]


class TestRefusals:
    def test_other_states(self, table):
        folders = table("a", "mixed", 9, 9, 9), table("b", "proficient", 9, 9, 9, first_seed=7)
        with pytest.raises(ValueError, match="first_seed = 7, .* with 100000; play one of them again"):
            _compare(*folders)

    def test_other_settings(self, table):
        folders = table("a", "mixed", 9, 9, 9), table("b", "proficient", 9, 9, 9, sigma=0.3)
        with pytest.raises(ValueError, match=r"has \(k, σ\) = .*0\.3.*; use the same --settings"):
            _compare(*folders)

    def test_a_grade_twice(self, table):
        folders = table("a", "mixed", 9, 9, 9), table("b", "mixed", 9, 9, 9)
        with pytest.raises(ValueError, match="two are of the same grade"):
            _compare(*folders)

    def test_a_table_without_a_direction(self, table):
        folder = table("a", "mixed", 9, 9, 9)
        content = json.loads((folder / "table.json").read_text())
        content["rows"] = [row for row in content["rows"] if row["row"]["steering"]["k"] <= 1]
        (folder / "table.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="no row of PSR with k > 1"):
            read_table(folder)

    def test_a_table_that_does_not_say_its_grade(self, table):
        folder = table("a", "mixed", 9, 9, 9)
        content = json.loads((folder / "table.json").read_text())
        del content["settings"]["grades"]
        (folder / "table.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match="lacks 'grades'.*run psr reproduce policy again"):
            read_table(folder)

    def test_no_table(self, tmp_path, capsys):
        assert main(["reproduce", "grades", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
        assert f"no table.json in {tmp_path}" in capsys.readouterr().err


class TestReport:
    def test_holds_every_task_and_grade(self, table, tmp_path, capsys):
        folders = [
            table("a", "proficient", 20, 10, 30),
            table("b", "mixed", 20, 30, 10),
            table("c", "proficient", 20, 10, 30, task="Square"),
        ]
        assert main(["reproduce", "grades", *map(str, folders), "--out", str(tmp_path / "out")]) == 0
        assert "| Can | mixed | 50.0 | +25.0" in capsys.readouterr().out
        found = json.loads((tmp_path / "out" / "grades.json").read_text())
        assert [[grade["grade"] for grade in task["grades"]] for task in found] == [
            ["proficient", "mixed"],
            ["proficient"],
        ]
        assert found[0]["interaction"]["mean"] == pytest.approx(1)
        assert (tmp_path / "out" / "grades.png").read_bytes().startswith(b"\x89PNG")

    def test_the_interaction_is_said_once(self, table):
        tasks = [_compare(table("a", "proficient", 20, 10, 30), table("b", "mixed", 20, 30, 10))]
        assert as_markdown(tasks).count("+100.0") == 1

    def test_files_are_named(self, table, tmp_path):
        tasks = [_compare(table("a", "proficient", 20, 10, 30))]
        paths = write_report(tasks, tmp_path / "out")
        assert [path.name for path in paths] == ["grades.json", "grades.md", "grades.png"]
        assert all(path.is_file() for path in paths)
