"""Silence is not progress: a job that stands still says what hangs, and ends with a code that means: try again."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

RETRYABLE = 20
_LOOK_EVERY_S = 1.0


class Watchdog:
    """Ends the process when nothing was reported for too long.

    Args:
        job: Name of the job, for the message.
        limit_s: Seconds without a sign of life.
    """

    def __init__(self, job: str, limit_s: float):
        self._job, self._limit_s = job, limit_s
        self._seen_s = time.monotonic()

    def feed(self) -> None:
        """A sign of life."""
        self._seen_s = time.monotonic()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch for as long as the work inside runs."""
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(ended,), daemon=True, name="watchdog")
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(min(_LOOK_EVERY_S, self._limit_s / 4)):
            if time.monotonic() - self._seen_s > self._limit_s:
                self._give_up()

    def _give_up(self) -> None:
        print(
            f"sora {self._job}: No progress for {self._limit_s:.0f} s.\n"
            "  expected: a sign of life from a task\n"
            "  cure: look below for what hangs, then run the same command again; what is committed is not done twice\n"
            f"{_ray_tasks()}\nThreads of this process:",
            file=sys.stderr,
            flush=True,
        )
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        os._exit(RETRYABLE)  # a hanging thread would hold any gentler way out


def _ray_tasks() -> str:
    """The Ray tasks under way, as far as Ray still answers."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return "Ray is not running."
    answer: list[str] = []

    def ask() -> None:
        from ray.util.state import list_tasks

        tasks = list_tasks(filters=[("state", "=", "RUNNING")], limit=50, timeout=5)
        answer.extend(f"  {task.name} on node {task.node_id}, worker {task.worker_id}" for task in tasks)

    asking = threading.Thread(target=ask, daemon=True)  # Ray may be what hangs
    asking.start()
    asking.join(timeout=10)
    return "Ray tasks under way:\n" + ("\n".join(answer) or "  none that Ray could name")
