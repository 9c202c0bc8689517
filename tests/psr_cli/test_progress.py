"""Progress says how far the work is and how long it will take."""

import pytest

from psr_cli.progress import Progress, duration


def test_durations_are_readable():
    assert [duration(s) for s in (3.4, 600, 3599, 11100)] == ["3 s", "10 min", "1 h 00 min", "3 h 05 min"]


def test_time_left_follows_from_the_pace_so_far(monkeypatch, capsys):
    clock = iter([0.0, 5.0, 5.0, 205.0, 205.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = Progress("episodes")
    progress.count(0, 30, "")
    progress.count(10, 30, "DDIM")  # 10 in 200 s
    assert capsys.readouterr().err.splitlines() == ["30 episodes to go", "10/30 episodes, 7 min left (DDIM)"]


@pytest.mark.parametrize("done", [29, 30])
def test_away_from_a_terminal_only_the_end_is_said_at_once(done, capsys):
    progress = Progress("episodes")
    progress.count(done, 30, "DDIM")
    assert bool(capsys.readouterr().err) == (done == 30)
