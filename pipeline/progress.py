"""What long work tells whoever watches: done, total, failures so far. The watcher decides how to show it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A state of some long work, sent every time it changes."""

    stage: str
    done: int
    total: int | None = None  # None: not known yet
    num_failures: int = 0
    unit: str = "videos"


OnProgress = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody is watching."""
