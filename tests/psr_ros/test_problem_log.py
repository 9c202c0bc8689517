"""One line of the log for each problem, however often it is told."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from psr_ros.lifecycle import ERROR, OK, WARN  # noqa: E402
from psr_ros.problem_log import ProblemLog  # noqa: E402


class Logger:
    """Keeps the first letter of the severity, and the text."""

    def __init__(self):
        self.lines = []
        for severity in ("info", "warning", "error"):
            setattr(self, severity, lambda text, severity=severity: self.lines.append((severity[0], text)))


@pytest.fixture
def lines():
    """lines((problem, level), ...): what is logged of them."""

    def told(*problems):
        logger = Logger()
        log = ProblemLog(logger)
        for problem in problems:
            log.tell(*problem)
        return logger.lines

    return told


def test_a_problem_is_logged_when_it_comes_and_when_it_goes(lines):
    assert lines(("",), ("late",), ("late",), ("",), ("",)) == [("e", "late"), ("i", "all is well again")]


def test_other_numbers_make_no_other_problem(lines):
    assert lines(("3 s late",), ("14 s late",), ("14 s early",)) == [("e", "3 s late"), ("e", "14 s early")]


def test_the_level_is_the_severity(lines):
    assert lines(("odd", WARN), ("bad", ERROR), ("fine", OK)) == [
        ("w", "odd"),
        ("e", "bad"),
        ("i", "all is well again"),
    ]


def test_nothing_is_said_while_all_is_well(lines):
    assert lines(("",), ("", OK)) == []
