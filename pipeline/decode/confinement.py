"""What a decoder process gives up before it sees the first untrusted byte (Linux)."""

import contextlib
import ctypes
import math
import os
import resource
import signal
import sys
from pathlib import Path

from pipeline.decode.limits import DecodeLimits

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
NOBODY = 65534
MAX_STDERR_BYTES = 64 * 1024


def confine(limits: DecodeLimits, *, parent_pid: int, highest_fd: int) -> None:
    """Give up the network, root, new files, new processes and unbounded memory; die with the parent.

    Everything the process still needs must be imported, mapped and open by now: from here on nothing can be opened.
    Namespaces and the change of user need rights that some systems refuse; the limits hold everywhere.

    Args:
        highest_fd: The largest descriptor in use, every smaller one being in use too: no further one can exist then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            _become_nobody()
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after the change of user, which would clear it
    if os.getppid() != parent_pid:
        sys.exit("the parent died before its decoder was ready")
    mapped_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, MAX_STDERR_BYTES)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_AS, mapped_bytes + limits.memory_bytes)
    _limit(resource.RLIMIT_NOFILE, highest_fd + 1)


def allow_cpu(cpu_s: float) -> None:
    """Let this process use cpu_s more seconds (whole ones, rounded up); then SIGXCPU ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + cpu_s)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (allowed, allowed))
