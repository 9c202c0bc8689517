"""What is on disk survives an interruption, and is never mixed with outcomes of other settings."""

import pytest

from psr_eval.outcome_log import OutcomeLog
from psr_eval.player import Outcome

SETTINGS = {"task": "Lift", "steering": {"k": 2.0}}
ONE = Outcome(7, True, 1.0, 50, [0.1, 0.2])
OTHER = Outcome(8, False, 0.5, 400, [], "step 3: no rotation")


@pytest.fixture
def path(tmp_path):
    log = OutcomeLog(tmp_path / "deep" / "log.jsonl", SETTINGS)
    log.add(ONE)
    log.add(OTHER)
    return log.path


def test_outcomes_come_back_whole(path):
    assert OutcomeLog(path, SETTINGS).outcomes == {7: ONE, 8: OTHER}


def test_a_line_cut_short_by_a_kill_is_forgotten(path):
    path.write_text(path.read_text()[:-20])
    log = OutcomeLog(path, SETTINGS)
    assert log.outcomes == {7: ONE}
    log.add(OTHER)
    assert OutcomeLog(path, SETTINGS).outcomes == {7: ONE, 8: OTHER}


def test_a_file_cut_short_in_its_first_line_begins_anew(path):
    path.write_text('{"settin')
    assert OutcomeLog(path, SETTINGS).outcomes == {}
    assert OutcomeLog(path, SETTINGS).outcomes == {}


@pytest.mark.parametrize(
    "settings, named",
    [
        ({**SETTINGS, "task": "Can"}, "task = 'Lift'"),
        ({"task": "Lift"}, "steering"),
        ({**SETTINGS, "batch": 2}, "batch"),
    ],
)
def test_other_settings_are_refused_by_name(path, settings, named):
    with pytest.raises(ValueError, match=f"holds episodes with {named}.*choose another file"):
        OutcomeLog(path, settings)


@pytest.mark.parametrize("line", ["no json", '{"seed": 3}', "[1, 2]"])
def test_a_line_that_is_no_outcome_is_named(path, line):
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"log.jsonl, line 4: no outcome"):
        OutcomeLog(path, SETTINGS)
