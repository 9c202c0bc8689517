"""Ctrl-C, raised where Python drops it: nothing starts, and nobody is told something else."""

from __future__ import annotations

import os
import signal
import sys
import weakref
from types import SimpleNamespace

import pytest

from psr_cli import main as front
from psr_cli.interrupts import Interrupts, noted_by
from psr_cli.main import main
from psr_cli.supervisor import StopSignals

# What is dropped goes to sys.unraisablehook, of which pytest makes a warning.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Lock:
    """Like importlib's: something else is told of its end, by a callback."""


def lose_an_interrupt() -> None:
    """SIGINT in a weak reference's callback, as in one that importlib runs after each import."""
    lock = Lock()
    reference = weakref.ref(lock, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del lock
    assert reference() is None


@pytest.fixture(autouse=True)
def _as_in_the_foreground():
    """What a script starts with `&` ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(monkeypatch):
    """run(action, importing): exit code of a `psr fake` that does the one, and the other while it is imported."""

    def install(action=lambda args: 0, importing=lambda: None):
        def add_parser(subparsers):
            importing()
            subparsers.add_parser("fake", help="made for a test").set_defaults(run=action)

        monkeypatch.setitem(sys.modules, "psr_cli.fake", SimpleNamespace(add_parser=add_parser))
        monkeypatch.setattr(front, "SUBCOMMANDS", ("fake",))
        return main(["fake"])

    return install


def test_python_alone_would_go_on() -> None:
    """What the rest is for. Should this fail one day, the rest can go."""
    lose_an_interrupt()


class TestInterrupts:
    def test_a_lost_one_is_noted(self):
        with Interrupts() as interrupts:
            assert not interrupts.noted
            lose_an_interrupt()
            assert interrupts.noted and noted_by(signal.getsignal(signal.SIGINT))

    def test_one_that_is_not_lost_is_raised(self):
        with pytest.raises(KeyboardInterrupt), Interrupts():
            os.kill(os.getpid(), signal.SIGINT)

    def test_the_old_handler_returns(self):
        with Interrupts():
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert not noted_by(signal.default_int_handler)

    def test_a_job_that_ignores_it_goes_on_ignoring_it(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupts.noted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


class TestCommands:
    def test_one_lost_in_an_import_starts_nothing(self, run):
        started = []
        assert run(started.append, importing=lose_an_interrupt) == 130
        assert not started

    def test_one_lost_before_processes_are_started_starts_none(self, run):
        started = []

        def up(args):
            lose_an_interrupt()  # say, while rclpy is imported
            with StopSignals():
                started.append(args)

        assert run(up) == 130
        assert not started
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    @pytest.mark.parametrize("error", [ImportError("numpy.core.multiarray failed to import"), RuntimeError("lost")])
    def test_an_error_made_of_one_is_not_shown(self, run, capsys, error):
        def action(args):
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise error from None

        assert run(action) == 130
        assert capsys.readouterr() == ("", "")
