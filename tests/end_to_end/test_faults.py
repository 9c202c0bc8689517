"""Processes killed and runs interrupted: nothing is miscounted, nothing is lost, nobody is left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from psr_eval.episodes import read_contents
from psr_eval.scores import score
from tests.end_to_end.graph import Once, own_domain, running_graph

pytestmark = pytest.mark.ros
SEED, STEPS = 100_000, 30
SUCCESS, FAILURE, ABORTED = 0, 1, 2
PSR = [sys.executable, "-m", "psr_cli"]


class TestPolicyKilled:
    @pytest.fixture(scope="class")
    def outcome(self, tmp_path_factory):
        """Killed and started again in the middle of the first of two episodes."""
        with running_graph(tmp_path_factory.mktemp("policy_killed")) as graph:

            def restart():
                graph.kill("policy")
                graph.supervisor.start("policy")

            results = graph.run(SEED, 2, STEPS, Once(10, restart))
            return results, graph.bag

    def test_its_episode_is_aborted_and_the_next_one_runs(self, outcome):
        (aborted, finished), _ = outcome
        assert aborted.outcome == ABORTED
        assert "policy" in aborted.reason
        assert finished.seed == SEED + 1
        assert finished.outcome in (SUCCESS, FAILURE)

    def test_the_score_counts_it_neither_way(self, outcome):
        results, bag = outcome
        scores = score([read_contents(bag)])
        assert sum(group.n for group in scores.groups) == 1
        assert sum(group.aborted for group in scores.groups) == 1


class TestRecorderKilled:
    def test_what_was_written_reads(self, tmp_path):
        with running_graph(tmp_path) as graph:
            graph.run(SEED, 2, STEPS)
            graph.run(SEED + 2, 1, STEPS, Once(10, lambda: graph.kill("recorder")))
            contents = read_contents(graph.bag)
        assert [episode.seed for episode in contents.episodes] == [SEED, SEED + 1]


class TestInterrupted:
    """Ctrl-C at `psr up`: gone within 5 s, and so is every process it started."""

    @pytest.fixture(autouse=True)
    def _not_ignored(self):
        """What a script starts with `&` ignores SIGINT, as does all that it starts: these tests, and their `psr up`."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.parametrize("moment", ["at once", "while starting", "in mid-episode"])
    def test_nothing_is_left_after_five_seconds(self, tmp_path, moment):
        bag = tmp_path / "bag"
        process = subprocess.Popen(
            [*PSR, "up", "sim", "--episodes", "50", "--first-seed", str(SEED), "record:=true", f"bag:={bag}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **own_domain(tmp_path)},
        )
        try:
            if moment == "while starting":
                time.sleep(2.0)
            if moment == "in mid-episode":
                for line in process.stdout:
                    if "1/50 episodes" in line:
                        break
            family = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGINT)
            process.communicate(timeout=5)
        finally:
            process.kill()
            process.communicate()
        _, alive = psutil.wait_procs(family, timeout=0.5)
        assert not alive
        if moment == "in mid-episode":
            assert len(family) >= 3
            contents = read_contents(bag)
            assert contents.episodes[0].seed == SEED
            assert contents.episodes[-1].outcome == "aborted" or contents.incomplete


class TestRealTime:
    def test_a_free_running_episode_ends_at_its_limit_or_at_success(self, tmp_path):
        with running_graph(tmp_path, mode="realtime") as graph:
            (result,) = graph.run(SEED, 1, STEPS)
        assert result.outcome in (SUCCESS, FAILURE)
        assert result.mode == "realtime"
        assert result.chunks > 1
        assert result.steps == STEPS or result.outcome == SUCCESS
        assert result.latency_max >= result.latency_mean > 0
