"""Run a command that dies with its parent: `python -I -S tether.py PARENT_PID COMMAND...`.

A supervisor that is killed outright can stop nobody; the kernel can. Linux only: elsewhere the command just runs.
Standard library only, and no `site`, so that it costs a few milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent ended before its child began")
os.execvp(sys.argv[2], sys.argv[2:])
