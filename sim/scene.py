"""A simulated robot and its topics in one: whatever changes the scene gets a stamp of its own."""

from __future__ import annotations

import time

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from psr_interfaces.msg import ActionChunk, EpisodeState
from std_msgs.msg import Header

from psr_ros import qos
from psr_ros.lifecycle import SuiteNode
from psr_ros.messages import nanoseconds_to_time
from sim.environments import make_env
from sim.episode import Chunk, Episode
from sim.parameters import camera_config, extras
from sim.publishers import CameraPublishers, ScenePublishers, chunk_from_message, step_nanoseconds


class Scene:
    """Resets, steps and shows the task that the node's parameters name; close() it before making another one.

    number, seed: of the last reset. observation: what is known since the last change. nanoseconds: simulated time; it
    starts at `after`, advances by one step period with every control step and every reset, and never goes back.
    """

    def __init__(self, node: SuiteNode, after: int = 0) -> None:
        self._node = node
        self._env = make_env(node.parameter("task"), camera_config(node.parameter), extras(node.parameter))
        self.task = self._env.task
        self._period = step_nanoseconds(self.task)
        self._topics = ScenePublishers(node, self.task)
        self.camera = CameraPublishers(node)
        self._states = node.create_publisher(EpisodeState, "/episode/state", qos.events())
        # Unique over restarts of the simulator, too: no answer to an older one can be taken for an answer to this one.
        self.number = time.time_ns() // 1_000_000
        self.nanoseconds = after
        self.reset(seed=0)

    @property
    def stamp(self) -> Time:
        """Simulated time as a message."""
        return nanoseconds_to_time(self.nanoseconds)

    def reset(self, seed: int) -> None:
        """Put everything where this seed has it. seed: 0 to 2**32 - 1, ValueError outside."""
        self.observation = self._env.reset(seed)
        self.seed = seed
        self.number += 1
        self.nanoseconds += self._period

    def step(self, row: NDArray[np.float32]) -> None:
        """Command one row (the task's action_dim,) for one control step."""
        self.observation = self._env.step(row)
        self.nanoseconds += self._period

    def chunk(self, message: ActionChunk) -> Chunk:
        """The chunk of a message. Raises ValueError, naming field and value, for one that must not be executed."""
        return chunk_from_message(message, self._env)

    def show(self, episode: Episode | None) -> None:
        """Publish the scene as it stands; the state comes last, so that who has it has everything."""
        self._topics.publish(self.observation, self.stamp)
        self.camera.publish(self._env, self.nanoseconds)
        self.show_state(episode)

    def show_state(self, episode: Episode | None) -> None:
        """Publish the state alone: idle without an episode, else running or done."""
        status = EpisodeState.IDLE
        if episode is not None:
            status = EpisodeState.DONE if episode.over else EpisodeState.RUNNING
        self._states.publish(
            EpisodeState(
                header=Header(stamp=self.stamp),
                task=self.task.name,
                episode=self.number,
                seed=self.seed,
                step=self.observation.step,
                status=status,
                await_chunk=episode is not None and episode.awaiting,
            )
        )

    def close(self) -> None:
        """Free the simulation and take its topics off the graph."""
        self._env.close()
        self._topics.destroy()
        self.camera.destroy()
        self._node.destroy_publisher(self._states)
