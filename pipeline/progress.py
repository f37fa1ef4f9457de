"""What long work tells whoever watches: done, total, failures so far. The watcher decides how to show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """A state of some long work, sent every time it changes."""

    stage: str
    done: int
    total: int | None = None  # None: not known yet
    num_failures: int = 0
    unit: str = "videos"


class Watcher(Protocol):
    """Whoever watches a job that has several stages."""

    def note(self, text: str) -> None:
        """One line about what happens now."""

    def on_progress(self, progress: Progress) -> None:
        """A new state of the work."""


OnProgress = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody is watching."""
