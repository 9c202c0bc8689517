"""A node's log of its problems: one line when a problem comes, changes or goes, however often it is looked at."""

from __future__ import annotations

from typing import Any

from psr_ros.lifecycle import ERROR, OK


class ProblemLog:
    """Logs what is told to it if that is another problem than the last; its numbers may change without making another.

    logger: a node's.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._last = ""

    def tell(self, problem: str, level: bytes = ERROR) -> None:
        """The problem at present, or an empty text; level: ERROR or WARN."""
        kind = "".join(character for character in problem if not character.isdigit())
        if kind == self._last:
            return
        self._last = kind
        if not problem or level == OK:  # rclpy wants a line of its own for each severity
            self._logger.info("all is well again")
        elif level == ERROR:
            self._logger.error(problem)
        else:
            self._logger.warning(problem)
