"""How far training has come, told by the first worker to whoever drives it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from pipeline.progress import OnProgress, Progress

_LOOK_EVERY_S = 2.0


class Board:
    """Holds the newest state of a run."""

    def __init__(self) -> None:
        self._newest: tuple[int, int] | None = None

    def put(self, step: int, total_steps: int) -> None:
        self._newest = (step, total_steps)

    def newest(self) -> tuple[int, int] | None:
        return self._newest


@contextmanager
def watched(on_progress: OnProgress) -> Iterator[Any]:
    """A board whose state is shown every few seconds, while the driver waits inside."""
    board = ray.remote(num_cpus=0)(Board).remote()
    ended = threading.Event()
    watcher = threading.Thread(target=_show, args=(board, on_progress, ended.wait), daemon=True)
    watcher.start()
    try:
        yield board
    finally:
        ended.set()
        watcher.join()


def _show(board: Any, on_progress: OnProgress, wait: Callable[[float], bool]) -> None:
    shown = None
    is_over = False
    while not is_over:
        is_over = wait(_LOOK_EVERY_S)
        newest = ray.get(board.newest.remote())
        if newest is not None and newest != shown:
            shown = newest
            on_progress(Progress("train", newest[0], newest[1], unit="steps"))
