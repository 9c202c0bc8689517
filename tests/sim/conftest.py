"""One simulator for all tests of the package: making one takes seconds, and a reset leaves nothing of the last use."""

import pytest

from sim.env import SimEnv


@pytest.fixture(scope="session")
def lift():
    env = SimEnv("Lift")
    yield env
    env.close()
