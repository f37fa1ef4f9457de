"""The measured lines as a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from benchmarks.peers.play import Poison, Runs
from benchmarks.peers.state import State

_HEAD = (
    "way of writing",
    "driver killed: missing / doubled / videos cut",
    "resumed: missing / doubled / files read again",
    "run once more: missing / doubled / files read",
    "a video that kills: ended, deaths, rows of others missing",
)


class Measured(Protocol):
    """A line of the table."""

    @property
    def words(self) -> str: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def poison(self) -> Poison | None: ...


def table(lines: Sequence[Measured], facts: Mapping[str, object]) -> str:
    """Markdown: what it was measured on, then a row for each way of writing."""
    size = ", ".join(f"{facts[name]} {name.replace('_', ' ')}" for name in ("files", "videos_with_rows", "rows"))
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(line) for line in lines)]
    return "\n".join([f"{size}; {facts['versions']}", "", *(f"| {' | '.join(row)} |" for row in rows)])


def _row(line: Measured) -> tuple[str, ...]:
    runs = line.runs
    return (
        line.words,
        f"{_rows(runs.after_kill)} / {runs.after_kill.cut_videos}{_unreadable(runs.after_kill)}",
        f"{_rows(runs.after_resume)} / {runs.read_twice} of {runs.read_at_kill}{_unreadable(runs.after_resume)}",
        f"{_rows(runs.after_second)} / {runs.read_by_second}{_unreadable(runs.after_second)}",
        _poison(line.poison),
    )


def _rows(found: State) -> str:
    return f"{found.missing} / {found.doubled}"


def _unreadable(found: State) -> str:
    return f", {found.unreadable_files} unreadable files" if found.unreadable_files else ""


def _poison(poison: Poison | None) -> str:
    if poison is None:
        return "not run"
    if not poison.has_ended:
        return f"not in {poison.seconds:.0f} s, {poison.attempts} deaths, {poison.state.missing} missing"
    return f"exit {poison.code}, {poison.attempts} deaths, {poison.state.missing} missing"
