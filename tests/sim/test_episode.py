from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psr_core.steering import Steering
from sim.episode import LOCKSTEP, REALTIME, Chunk, ChunkQueue, Episode, Outcome, Run, Settings, Verdict

SETTINGS = Settings(Steering(k=2.0), "ddim", 16, "lift@0123456789ab")
DIM = 3
NUMBER = 7


def rows_of(step: int, horizon: int) -> np.ndarray:
    """Rows that carry (the step they belong to, the chunk they came from, 0)."""
    return np.array([[step + i, step, 0] for i in range(horizon)], dtype=np.float32)


def chunk(step: int = 0, horizon: int = 15, n_action_steps: int = 8, **changes: Any) -> Chunk:
    fields = dict(
        session=1,
        episode=NUMBER,
        step=step,
        rows=rows_of(step, horizon),
        n_action_steps=n_action_steps,
        settings=SETTINGS,
    )
    return Chunk(**{**fields, **changes})


def episode(mode: str = LOCKSTEP, max_steps: int = 100) -> Episode:
    return Episode(number=NUMBER, seed=42, max_steps=max_steps, action_dim=DIM, mode=mode)


def run_steps(running: Episode, steps: int) -> list[np.ndarray]:
    commands = []
    for _ in range(steps):
        commands.append(running.take())
        running.advance(reward=0.0, success=False)
    return commands


class TestChunkRefusesWhatMustNotBeExecuted:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_numbers_that_are_not_finite(self, value: float) -> None:
        rows = rows_of(0, 4)
        rows[2, 1] = value
        with pytest.raises(ValueError, match=rf"row 2, column 1 is {value}"):
            chunk(rows=rows, n_action_steps=1)

    @pytest.mark.parametrize("shape", [(0, DIM), (DIM,), (1, 2, DIM)])
    def test_shapes_that_are_no_rows(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="expected \\(horizon, dim\\)"):
            chunk(rows=np.zeros(shape, np.float32), n_action_steps=1)

    @pytest.mark.parametrize("count", [0, -1, 5])
    def test_n_action_steps_outside_the_horizon(self, count: int) -> None:
        with pytest.raises(ValueError, match=f"n_action_steps is {count}, expected 1 to the horizon 4"):
            chunk(horizon=4, n_action_steps=count)

    @pytest.mark.parametrize("latency", [-0.1, float("nan"), float("inf")])
    def test_impossible_latencies(self, latency: float) -> None:
        with pytest.raises(ValueError, match="latency is"):
            chunk(latency=latency)


class TestChunkQueue:
    def test_is_empty_at_first(self) -> None:
        assert ChunkQueue().row(0) is None

    def test_gives_every_step_its_row_and_nothing_around_them(self) -> None:
        queue = ChunkQueue()
        assert queue.put(chunk(step=5, horizon=4, n_action_steps=4), step=5) == 0
        for step in range(5, 9):
            row = queue.row(step)
            assert row is not None and row[0] == step
        assert queue.row(4) is None
        assert queue.row(9) is None

    @pytest.mark.parametrize(("now", "late"), [(8, 0), (9, 1), (11, 3), (12, 4), (40, 4)])
    def test_counts_the_rows_that_come_too_late(self, now: int, late: int) -> None:
        assert ChunkQueue().put(chunk(step=8, horizon=4, n_action_steps=4), step=now) == late

    def test_the_newest_chunk_replaces_the_older_one(self) -> None:
        queue = ChunkQueue()
        queue.put(chunk(step=0, horizon=15), step=0)
        queue.put(chunk(step=8, horizon=15), step=9)
        row = queue.row(9)
        assert row is not None and row.tolist() == [9, 8, 0]


class TestLockstep:
    def test_waits_for_the_first_chunk(self) -> None:
        waiting = episode()
        assert waiting.awaiting
        with pytest.raises(RuntimeError, match="no command for step 0"):
            waiting.take()

    def test_executes_n_action_steps_rows_and_waits_again(self) -> None:
        running = episode()
        assert running.offer(chunk(0)) == (Verdict.ACCEPTED, "")
        assert [command[0] for command in run_steps(running, 8)] == list(range(8))
        assert running.awaiting and running.step == 8
        with pytest.raises(RuntimeError, match="no command for step 8"):
            running.take()

    def test_uses_the_next_chunk_from_its_first_row(self) -> None:
        running = episode()
        for step in (0, 8, 16):
            assert running.offer(chunk(step))[0] is Verdict.ACCEPTED
            assert [command.tolist() for command in run_steps(running, 8)] == rows_of(step, 8).tolist()
        assert (running.deadline_misses, running.late_rows) == (0, 0)

    @pytest.mark.parametrize("step", [0, 3])
    def test_ignores_a_chunk_of_an_earlier_step(self, step: int) -> None:
        running = episode()
        running.offer(chunk(0))
        run_steps(running, 8)
        assert running.offer(chunk(step)) == (Verdict.STALE, f"it is for step {step}, the episode is at step 8")
        assert running.awaiting and len(running.chunks) == 1 and running.late_rows == 0


class TestRealtime:
    def test_waits_for_the_first_chunk_only(self) -> None:
        running = episode(REALTIME)
        assert running.awaiting
        running.offer(chunk(0))
        run_steps(running, 40)
        assert not running.awaiting

    def test_bridges_a_late_chunk_with_the_rest_of_the_older_one(self) -> None:
        running = episode(REALTIME)
        running.offer(chunk(0))
        before = run_steps(running, 10)
        running.offer(chunk(8))
        after = run_steps(running, 3)
        assert [command.tolist() for command in before] == rows_of(0, 10).tolist()
        assert [command.tolist() for command in after] == [[10, 8, 0], [11, 8, 0], [12, 8, 0]]
        assert (running.deadline_misses, running.late_rows) == (0, 2)

    def test_holds_the_last_command_where_no_row_is_there(self) -> None:
        running = episode(REALTIME)
        running.offer(chunk(0, horizon=4, n_action_steps=4))
        assert [command[0] for command in run_steps(running, 6)] == [0, 1, 2, 3, 3, 3]
        assert running.deadline_misses == 2
        running.offer(chunk(4, horizon=4, n_action_steps=4))
        assert [command[0] for command in run_steps(running, 3)] == [6, 7, 7]
        assert (running.deadline_misses, running.late_rows) == (3, 2)

    def test_holds_on_when_a_whole_chunk_is_late(self) -> None:
        running = episode(REALTIME)
        running.offer(chunk(0, horizon=2, n_action_steps=2))
        run_steps(running, 6)
        assert running.offer(chunk(2, horizon=2, n_action_steps=2))[0] is Verdict.ACCEPTED
        assert running.take()[0] == 1
        assert running.late_rows == 2

    @pytest.mark.parametrize("step", [0, 8])
    def test_ignores_repeated_and_overtaken_answers(self, step: int) -> None:
        running = episode(REALTIME)
        running.offer(chunk(0))
        run_steps(running, 9)
        running.offer(chunk(8))
        assert running.offer(chunk(step))[0] is Verdict.STALE
        assert len(running.chunks) == 2


@pytest.mark.parametrize("mode", [LOCKSTEP, REALTIME])
class TestOffer:
    @pytest.mark.parametrize("step", [1, 4])
    def test_refuses_a_step_that_has_not_been_observed(self, mode: str, step: int) -> None:
        verdict, why = episode(mode).offer(chunk(step))
        assert verdict is Verdict.REFUSED
        assert why == f"it is for step {step}, the episode is only at step 0"

    def test_refuses_another_width(self, mode: str) -> None:
        verdict, why = episode(mode).offer(chunk(rows=np.zeros((8, 7), np.float32)))
        assert verdict is Verdict.REFUSED
        assert why == "its rows have 7 numbers, the task takes 3"

    def test_refuses_an_episode_that_is_not_there_yet(self, mode: str) -> None:
        verdict, why = episode(mode).offer(chunk(episode=NUMBER + 1))
        assert verdict is Verdict.REFUSED
        assert why == "it is for episode 8, the running one is 7"

    def test_ignores_an_episode_that_is_past(self, mode: str) -> None:
        assert episode(mode).offer(chunk(episode=NUMBER - 1))[0] is Verdict.STALE

    def test_ignores_chunks_once_the_episode_is_over(self, mode: str) -> None:
        running = episode(mode)
        running.abort("cancelled")
        assert running.offer(chunk())[0] is Verdict.STALE

    def test_notices_another_policy_process(self, mode: str) -> None:
        running = episode(mode)
        running.offer(chunk())
        run_steps(running, 8)
        verdict, why = running.offer(chunk(step=8, session=2))
        assert verdict is Verdict.RESTARTED
        assert why.endswith("session changed from 1 to 2 at step 8")

    def test_any_session_may_start_an_episode(self, mode: str) -> None:
        assert episode(mode).offer(chunk(session=99))[0] is Verdict.ACCEPTED

    def test_a_leftover_of_an_older_episode_is_no_restart(self, mode: str) -> None:
        running = episode(mode)
        running.offer(chunk())
        assert running.offer(chunk(episode=NUMBER - 1, session=2))[0] is Verdict.STALE


class TestEnd:
    def test_success_ends_it_at_once(self) -> None:
        running = episode()
        running.offer(chunk())
        running.take()
        running.advance(reward=1.0, success=True)
        assert running.over and not running.awaiting
        assert (running.result().outcome, running.result().steps) == (Outcome.SUCCESS, 1)

    def test_success_in_the_last_step_counts(self) -> None:
        running = episode(max_steps=1)
        running.offer(chunk())
        running.take()
        running.advance(reward=1.0, success=True)
        assert running.result().outcome is Outcome.SUCCESS

    def test_failure_after_max_steps(self) -> None:
        running = episode(max_steps=5)
        running.offer(chunk())
        run_steps(running, 5)
        assert (running.result().outcome, running.result().steps) == (Outcome.FAILURE, 5)
        with pytest.raises(RuntimeError, match="waiting or over"):
            running.take()

    def test_abort_says_why_and_keeps_the_first_end(self) -> None:
        running = episode()
        running.abort("cancelled")
        running.abort("shut down")
        result = running.result()
        assert (result.outcome, result.reason, result.settings, result.chunks) == (
            Outcome.ABORTED,
            "cancelled",
            None,
            0,
        )

    def test_abort_cannot_take_a_success_back(self) -> None:
        running = episode()
        running.offer(chunk())
        running.advance(reward=1.0, success=True)
        running.abort("cancelled")
        assert running.result().outcome is Outcome.SUCCESS
        assert running.result().reason == ""

    def test_no_result_while_running(self) -> None:
        with pytest.raises(RuntimeError, match="still running, at step 0 of 100"):
            episode().result()


class TestResult:
    def test_carries_what_the_episode_was_run_under(self) -> None:
        running = episode()
        for step, latency in ((0, 0.1), (8, 0.4), (16, 0.1)):
            running.offer(chunk(step, latency=latency))
            run_steps(running, 8)
        running.advance(reward=0.25, success=False)
        running.advance(reward=0.125, success=False)
        running.abort("reset")
        result = running.result()
        assert (result.episode, result.seed, result.mode) == (NUMBER, 42, LOCKSTEP)
        assert (result.settings, result.mixed, result.chunks) == (SETTINGS, False, 3)
        assert result.latency_mean == pytest.approx(0.2)
        assert result.latency_max == 0.4
        assert result.max_reward == 0.25

    @pytest.mark.parametrize(
        "other",
        [
            Settings(Steering(k=4.0), "ddim", 16, "lift@0123456789ab"),
            Settings(Steering(k=2.0), "ddpm", 16, "lift@0123456789ab"),
            Settings(Steering(k=2.0), "ddim", 8, "lift@0123456789ab"),
            Settings(Steering(k=2.0), "ddim", 16, "can@0123456789ab"),
        ],
    )
    def test_is_mixed_when_anything_was_turned_and_names_the_first(self, other: Settings) -> None:
        running = episode()
        running.offer(chunk(0))
        run_steps(running, 8)
        running.offer(chunk(8, settings=other))
        running.abort("cancelled")
        assert running.result().mixed
        assert running.result().settings == SETTINGS

    def test_refused_and_stale_chunks_leave_no_trace(self) -> None:
        running = episode()
        running.offer(chunk(rows=np.zeros((8, 7), np.float32), settings=Settings(Steering(k=9.0), "ddpm", 1, "other")))
        running.offer(chunk(0))
        running.offer(chunk(0, latency=9.0))
        running.abort("cancelled")
        result = running.result()
        assert (result.chunks, result.mixed, result.latency_max) == (1, False, 0.0)


class TestEpisodeIsChecked:
    def test_mode(self) -> None:
        with pytest.raises(ValueError, match="mode is 'fast', expected one of: lockstep, realtime"):
            episode("fast")

    def test_max_steps(self) -> None:
        with pytest.raises(ValueError, match="max_steps is 0, expected at least 1"):
            episode(max_steps=0)


class TestRun:
    def test_goes_over_the_seeds_and_counts_the_ends(self) -> None:
        run = Run(first_seed=10, episodes=3, max_steps=100)
        ends = [Outcome.SUCCESS, Outcome.ABORTED, Outcome.SUCCESS]
        for index, outcome in enumerate(ends):
            assert (run.next_seed, run.finished) == (10 + index, False)
            done = Episode(number=index, seed=run.next_seed, max_steps=1, action_dim=DIM)
            done.outcome = outcome
            run.results.append(done.result())
        assert run.finished
        assert [run.count(outcome) for outcome in Outcome] == [2, 0, 1]

    @pytest.mark.parametrize(
        ("first_seed", "episodes", "problem"),
        [
            (0, 1, ""),
            (2**32 - 3, 3, ""),
            (0, 0, "episodes is 0, expected at least 1"),
            (2**32 - 3, 4, "seeds are 4294967293 to 4294967296, expected them within 0 to 4294967295"),
        ],
    )
    def test_says_what_cannot_be_run(self, first_seed: int, episodes: int, problem: str) -> None:
        assert Run(first_seed, episodes, max_steps=100).problem == problem


# A plan of real time: the chunks that arrive before each control step, as (steps they are behind, rows they have).
arrivals = st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 10)), max_size=2), min_size=1, max_size=60)


class TestInvariants:
    @given(plan=arrivals)
    def test_real_time_gives_each_step_its_own_row_or_counts_a_miss(self, plan: list[list[tuple[int, int]]]) -> None:
        running = episode(REALTIME, max_steps=len(plan))
        running.offer(chunk(0, horizon=3, n_action_steps=3))
        newest, end, executed, late = 0, 3, 0, 0
        previous = -1.0
        for step, arriving in enumerate(plan):
            for behind, horizon in arriving:
                source = max(step - behind, 0)
                verdict, _ = running.offer(chunk(source, horizon=horizon, n_action_steps=1))
                assert (verdict is Verdict.ACCEPTED) == (source > newest)
                if source > newest:
                    newest, end = source, source + horizon
                    late += min(step - source, horizon)
            misses = running.deadline_misses
            owner, origin, _ = running.take()
            if step < end:
                assert (owner, origin) == (step, newest)
                executed += 1
            else:
                assert owner == previous
                assert running.deadline_misses == misses + 1
            previous = owner
            running.advance(reward=0.0, success=False)
        assert running.deadline_misses + executed == running.step == len(plan)
        assert running.late_rows == late
        assert running.result().outcome is Outcome.FAILURE

    @given(
        n_action_steps=st.integers(1, 8),
        spare=st.integers(0, 8),
        max_steps=st.integers(1, 50),
        noise=st.lists(st.tuples(st.integers(0, 60), st.integers(NUMBER - 1, NUMBER + 1)), max_size=10),
    )
    def test_lock_step_executes_exactly_the_answers(
        self, n_action_steps: int, spare: int, max_steps: int, noise: list[tuple[int, int]]
    ) -> None:
        running = episode(LOCKSTEP, max_steps=max_steps)
        executed = []
        while not running.over:
            for step, number in noise:
                if step != running.step or number != NUMBER:
                    assert running.offer(chunk(step, episode=number))[0] in (Verdict.STALE, Verdict.REFUSED)
            answer = chunk(running.step, horizon=n_action_steps + spare, n_action_steps=n_action_steps)
            assert running.offer(answer)[0] is Verdict.ACCEPTED
            while not (running.awaiting or running.over):
                executed.append(running.take().tolist())
                running.advance(reward=0.0, success=False)
        expected = [[step, step - step % n_action_steps, 0] for step in range(max_steps)]
        assert executed == expected
        assert (running.deadline_misses, running.late_rows) == (0, 0)
        assert len(running.chunks) == -(-max_steps // n_action_steps)
