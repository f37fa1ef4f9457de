"""Four situations for every way of writing: a killed driver, the resumed run, a second run, a video that kills.

Which files a run read shows in their access times, so the file system must keep one (relatime does, noatime does not).
"""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.driver import Driver
from benchmarks.faults.times import forget_reads, read_videos
from benchmarks.peers.state import State
from pipeline.errors import SoraError

_RUN_LIMIT_S = 300.0
_LOOK_EVERY_S = 0.02
_LOOK_FOR_WORKERS_EVERY_S = 1.0
_CLOSING_LIMIT_S = 5.0  # until an actor has noticed the death and closed the video
_GROWN_UP_S = 0.5  # a decoder that old has started, and waits for a video or decodes one


@dataclass(frozen=True)
class Contender:
    """A way of writing, ready to be run again and again.

    command: Module and arguments of a run.
    state: What a reader finds now.
    num_aborts: How often the poisoned video has killed so far; None where it is the harness that kills.
    """

    name: str
    words: str
    module: str
    arguments: Sequence[str]
    env: Mapping[str, str]
    state: Callable[[], State]
    num_aborts: Callable[[], int] | None = None

    def start(self) -> Driver:
        return Driver(list(self.arguments), self.env, module=self.module)


@dataclass(frozen=True)
class Runs:
    """Three runs of one job, the first of them killed; files are counted, those that do not decode too.

    read_at_kill: Files that were read when the driver was killed.
    read_twice: Those of them that the resumed run read again.
    read_by_second: Files that were read by one more run, when there was nothing left to do.
    codes: Exit codes; None where a run was ended after a time limit.
    """

    after_kill: State
    after_resume: State
    after_second: State
    read_at_kill: int
    read_twice: int
    read_by_second: int
    codes: tuple[int | None, int | None, int | None]


@dataclass(frozen=True)
class Poison:
    """A run with one video that kills the process that decodes it.

    state: Compared with the rows of all other videos.
    seconds: From the first death to the end, or to the time limit.
    """

    has_ended: bool
    code: int | None
    attempts: int
    seconds: float
    state: State


@dataclass(frozen=True)
class _Ran:
    """One run: its exit code (None where it did not end in time), the files it read, and what a reader found then."""

    code: int | None
    read: set[str]
    state: State


def play_runs(contender: Contender, corpus: Path) -> Runs:
    """Kill a run when half of the files were read, resume it, run it once more."""
    half = sum(1 for _ in corpus.iterdir()) // 2
    killed, resumed, second = (_run(contender, corpus, num_to_kill) for num_to_kill in (half, None, None))
    return Runs(
        after_kill=killed.state,
        after_resume=resumed.state,
        after_second=second.state,
        read_at_kill=len(killed.read),
        read_twice=len(killed.read & resumed.read),
        read_by_second=len(second.read),
        codes=(killed.code, resumed.code, second.code),
    )


def play_poison(contender: Contender, video: Path, *, limit_s: float) -> Poison:
    """Run with a poisoned video until the end, or until `limit_s` after its first death."""
    driver = contender.start()
    assassin = _Assassin(driver, video)
    first_s: float | None = None
    attempts = 0
    try:
        while driver.poll() is None and driver.wall_s < (_RUN_LIMIT_S if first_s is None else first_s + limit_s):
            attempts = contender.num_aborts() if contender.num_aborts else assassin.strike()
            first_s = driver.wall_s if attempts and first_s is None else first_s
            time.sleep(_LOOK_EVERY_S)
        code, seconds = driver.poll(), driver.wall_s - (first_s or 0.0)
    finally:
        driver.clear()
    attempts = contender.num_aborts() if contender.num_aborts else attempts
    return Poison(code is not None, code, attempts, round(seconds, 1), contender.state())


def _run(contender: Contender, corpus: Path, num_to_kill: int | None) -> _Ran:
    """One run, its driver killed when so many files were read."""
    forget_reads(corpus)
    driver = contender.start()
    try:
        while driver.poll() is None and driver.wall_s < _RUN_LIMIT_S:
            if num_to_kill is not None and len(read_videos(corpus)) >= num_to_kill:
                driver.kill()
            time.sleep(_LOOK_EVERY_S)
        code = driver.poll()
        if code not in (None, 0, 10, -signal.SIGKILL):
            raise SoraError("A run did not end well.", where=contender.name, got=f"exit {code}: {driver.words[-3000:]}")
    finally:
        driver.clear()
    return _Ran(code, read_videos(corpus), contender.state())


class _Assassin:
    """Sends SIGABRT to whatever decoder child works on one video."""

    def __init__(self, driver: Driver, video: Path):
        self._driver, self._video = driver, str(video)
        self._workers: list[int] = []
        self._looked_s = -_LOOK_FOR_WORKERS_EVERY_S
        self._num_killed = 0

    def strike(self) -> int:
        """Look once, and kill where there is something to; how many were killed so far."""
        if self._driver.wall_s - self._looked_s > _LOOK_FOR_WORKERS_EVERY_S:  # it reads all of /proc
            self._workers, self._looked_s = self._driver.family.workers(), self._driver.wall_s
        for worker in self._workers:
            if self._video in _open_files(worker):
                self._kill_decoder_of(worker)
        return self._num_killed

    def _kill_decoder_of(self, worker: int) -> None:
        for decoder in self._driver.family.decoders():
            if _parent(decoder) == worker and _age_s(decoder) > _GROWN_UP_S and self._video in _open_files(worker):
                os.kill(decoder, signal.SIGABRT)
                self._num_killed += 1
                deadline_s = time.monotonic() + _CLOSING_LIMIT_S
                while self._video in _open_files(worker) and time.monotonic() < deadline_s:
                    time.sleep(_LOOK_EVERY_S)


def _open_files(pid: int) -> set[str]:
    found = set()
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            found.add(os.readlink(entry.path))
    except OSError:  # the process, or the file, was closed meanwhile
        pass
    return found


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _age_s(pid: int) -> float:
    started_s = int(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started_s


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, ..., start time as the twentieth."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
