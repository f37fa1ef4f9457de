"""Start Ray on this machine, or join the cluster of `RAY_ADDRESS`. Its environment is set by jobs.shell."""

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ray_session() -> Iterator[None]:
    """Ray starts with the first `connect` inside, and is shut down at the end; one that ran before is left alone."""
    if _is_running():
        yield
        return
    if not _address():  # a token of our own: nobody else on this machine may submit to this Ray
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        if _is_running():
            sys.modules["ray"].shutdown()


def connect() -> None:
    """Start or join Ray, once."""
    import ray
    import ray.data

    if ray.is_initialized():
        return
    address = _address()
    local = {} if address else {"address": "local", "include_dashboard": False}
    with _silent_stderr():  # the C++ layer says there which log level it was given; failures come as exceptions
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours say videos, failures and the time left
    context.print_on_execution_start = False
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _is_running() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def _address() -> str | None:
    return os.environ.get("RAY_ADDRESS")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
