"""The processes that a run starts, found by a mark in their environment: a killed parent leaves them behind."""

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import SoraError

MARK = "SORA_FAULTS_TOKEN"
_WORKER = "ray::MapWorker(MapBatches(_ExtractTask)"
_DECODER = "pipeline.decode.child"
_CLEAR_LIMIT_S = 30.0


class Family:
    """Everything that was started with `env`, and its descendants."""

    def __init__(self) -> None:
        self.env = {MARK: secrets.token_hex(16)}
        self._mark = f"{MARK}={self.env[MARK]}".encode()

    def pids(self) -> list[int]:
        """Whoever is alive."""
        parents = _parents()
        found = {pid for pid in parents if self._mark in _read(pid, "environ").split(b"\0")}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def named(self, is_wanted: Callable[[str], bool]) -> list[int]:
        """Whoever is alive and has such a command line."""
        return [pid for pid in self.pids() if is_wanted(_command(pid))]

    def workers(self) -> list[int]:
        """The processes of extraction actors."""
        return self.named(lambda command: command.startswith(_WORKER))

    def decoders(self) -> list[int]:
        """The decoder children of actors; they carry no mark, only their parents do."""
        return self.named(lambda command: f"-m {_DECODER}" in command)

    def clear(self) -> None:
        """SIGKILL to all, until none is left."""
        deadline_s = time.monotonic() + _CLEAR_LIMIT_S
        while pids := self.pids():
            if time.monotonic() > deadline_s:
                raise SoraError("Processes of a run do not end.", where=pids, cure="end them by hand")
            for pid in pids:
                kill(pid)
            time.sleep(0.1)


def kill(pid: int) -> bool:
    """SIGKILL; False where the process had ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def environment() -> dict[str, str]:
    """This process's variables less everything of any other Ray."""
    foreign = ("RAY_", "SORA_CRASH_AT", MARK)
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _parents() -> dict[int, int]:
    """pid -> parent of every process that is not a zombie."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _read(int(entry.name), "stat").rpartition(b")")[2].split()
            if fields and fields[0] != b"Z":
                parents[int(entry.name)] = int(fields[1])
    return parents


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it ended meanwhile
        return b""
