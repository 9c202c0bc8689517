"""An expert's episode, played for the tests."""

import numpy as np


def played(env, expert, seed, steps):
    """Observations from the reset on, and the rows commanded."""
    return _played(env, expert, seed, steps, lambda observations: False)


def played_to_success(env, expert, seed, steps):
    """The same until 9 steps after success, at most `steps`."""
    return _played(env, expert, seed, steps, lambda observations: sum(seen.success for seen in observations) > 9)


def _played(env, expert, seed, steps, over):
    observations, rows = [env.reset(seed)], []
    while len(rows) < steps and not over(observations):
        rows.append(expert.act(observations[-1]))
        observations.append(env.step(rows[-1]))
    return observations, np.array(rows)
