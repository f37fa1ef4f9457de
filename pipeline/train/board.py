"""How far training has come, told by the first worker to whoever drives it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.errors import SoraError
from pipeline.progress import Progress, Watcher

_LOOK_EVERY_S = 2.0


class Board:
    """Holds the newest step of a run, and the notes nobody has taken yet."""

    def __init__(self) -> None:
        self._step: tuple[int, int] | None = None
        self._notes: list[str] = []
        self._error: SoraError | None = None

    def put_step(self, step: int, total_steps: int) -> None:
        self._step = (step, total_steps)

    def put_note(self, note: str) -> None:
        self._notes.append(note)

    def put_error(self, error: SoraError) -> None:
        self._error = self._error or error

    def error(self) -> SoraError | None:
        """Why the run cannot go on, however often it starts again."""
        return self._error

    def take(self) -> tuple[tuple[int, int] | None, list[str]]:
        """The newest step, and the notes since the last call."""
        notes, self._notes = self._notes, []
        return self._step, notes


def beside_driver(kind: type, *arguments: object) -> Any:
    """The handle of an actor on the machine of whoever calls this: it falls with it alone."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(kind).remote(*arguments)


@contextmanager
def watched(watcher: Watcher) -> Iterator[Any]:
    """The handle of a board that is shown every few seconds, while the driver waits inside."""
    board = beside_driver(Board)
    ended = threading.Event()
    showing = threading.Thread(target=_show, args=(board, watcher, ended.wait), daemon=True)
    showing.start()
    try:
        yield board
    finally:
        ended.set()
        showing.join()


def _show(board: Any, watcher: Watcher, wait: Callable[[float], bool]) -> None:
    shown = None
    is_over = False
    while not is_over:
        is_over = wait(_LOOK_EVERY_S)
        step, notes = ray.get(board.take.remote())
        for note in notes:
            watcher.note(note)
        if step is not None and step != shown:
            shown = step
            watcher.on_progress(Progress("train", step[0], step[1], unit="steps"))
