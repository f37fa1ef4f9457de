"""Progress for whoever watches: a live bar on a terminal, a line every ten seconds in a log."""

import sys
import time
from typing import Self

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as RichProgress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from jobs.watchdog import Watchdog
from pipeline.progress import Progress

_LINE_EVERY_S = 10.0


class Console:
    """Shows progress and notes on stderr; stdout is for answers."""

    def __init__(self, job: str, watchdog: Watchdog):
        self._job = job
        self._watchdog = watchdog
        self._rich = RichConsole(stderr=True)
        self._bar: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started_s: dict[str, float] = {}
        self._last_line_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """One line about what happens now."""
        self._watchdog.feed()
        (self._bar.console if self._bar else self._rich).print(text, highlight=False, markup=False, soft_wrap=True)

    def on_progress(self, progress: Progress) -> None:
        """Show a state of the work."""
        self._watchdog.feed()
        self._started_s.setdefault(progress.stage, time.monotonic())
        if self._rich.is_terminal:
            self._show_bar(progress)
            return
        is_last = progress.total is not None and progress.done >= progress.total
        if is_last or time.monotonic() - self._last_line_s > _LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            print(f"{self._job}: {self._line(progress)}", file=sys.stderr, flush=True)

    def _show_bar(self, progress: Progress) -> None:
        if self._bar is None:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
            columns += [TextColumn("{task.fields[failures]}"), TimeElapsedColumn(), TimeRemainingColumn()]
            self._bar = RichProgress(*columns, console=self._rich)
            self._bar.start()
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bar.add_task(progress.stage, failures="")
        failures = f"{progress.num_failures} failed" if progress.num_failures else ""
        self._bar.update(self._tasks[progress.stage], completed=progress.done, total=progress.total, failures=failures)

    def _line(self, progress: Progress) -> str:
        seconds = time.monotonic() - self._started_s[progress.stage]
        rate = progress.done / seconds if seconds > 0.5 else 0.0
        total = f"/{progress.total}" if progress.total is not None else ""
        parts = [f"{progress.stage} {progress.done}{total} {progress.unit}"]
        if rate > 0:
            parts.append(f"{rate:.1f}/s")
        if rate > 0 and progress.total is not None and progress.total > progress.done:
            parts.append(f"{(progress.total - progress.done) / rate:.0f} s left")
        if progress.num_failures:
            parts.append(f"{progress.num_failures} failed")
        return ", ".join(parts)
