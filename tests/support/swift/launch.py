"""Run one Swift daemon that dies with the process that started it. Runs inside Swift's own environment.

Usage: python launch.py PARENT_PID SCRIPT CONF
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    # Not in a preexec_fn: that runs between fork and exec, where a parent with threads (Ray, S3 clients) can deadlock.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that asked for this daemon is gone")  # it died before the prctl
    sys.argv = [sys.argv[2], sys.argv[3], "--verbose"]
    runpy.run_path(sys.argv[0], run_name="__main__")
