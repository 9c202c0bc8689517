"""A worker process and its parent: who may stop it, and when it has nobody left to work for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def serve_parent() -> None:
    """Leave Ctrl-C, which reaches every process, to the parent, and end when the parent has, however it did.

    A worker of a pool would otherwise wait for work for ever once its parent is killed. For the first thing that a
    spawned process does; raises RuntimeError in a process that multiprocessing did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("serve_parent() is for processes that multiprocessing has started")
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
