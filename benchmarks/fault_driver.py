"""One `sora extract` as a process of its own, with the Ray it starts: found, killed and cleared away by its token."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import SoraError

TOKEN = "SORA_FAULTS_TOKEN"  # inherited by Ray's daemons and workers; a killed driver leaves them behind
_WORKER = "ray::MapWorker(MapBatches(_ExtractTask)"
_DECODER = "pipeline.decode.child"
_CLEAR_LIMIT_S = 30.0


class Driver:
    """A running `sora` command.

    Args:
        arguments: What comes after `sora`.
        env: Variables on top of this process's own, less everything of any other Ray.
    """

    def __init__(self, arguments: list[str], env: Mapping[str, str] | None = None):
        self._folder = Path(tempfile.mkdtemp(prefix="sf-", dir="/tmp"))  # short: socket paths end at 107 characters
        self._mark = f"{TOKEN}={secrets.token_hex(16)}"
        self.started_s = time.monotonic()
        self.ended_s: float | None = None
        name, _, token = self._mark.partition("=")
        own = {name: token, "RAY_TMPDIR": str(self._folder), "PYTHONUNBUFFERED": "1"}
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs.cli", *arguments],
                cwd=Path(__file__).parents[1],
                env=_environment() | own | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        code = self.process.poll()
        if code is not None and self.ended_s is None:
            self.ended_s = time.monotonic()
        return code

    @property
    def wall_s(self) -> float:
        return (self.ended_s or time.monotonic()) - self.started_s

    @property
    def answer(self) -> dict[str, Any]:
        """What it said with --json; empty where it did not come to that."""
        lines = (self._folder / "out").read_text().strip().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    @property
    def words(self) -> str:
        """What it said on stderr."""
        return (self._folder / "err").read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL to the driver alone; its Ray finds out by itself."""
        self.process.kill()
        self.process.wait()
        self.poll()

    def workers(self) -> list[int]:
        """The processes of its extraction actors."""
        return self._named(lambda command: command.startswith(_WORKER))

    def decoders(self) -> list[int]:
        """The decoder children of its actors; they carry no token, only their parents do."""
        return self._named(lambda command: f"-m {_DECODER}" in command)

    def clear(self) -> None:
        """End the driver and everything it started, and remove its folder."""
        deadline_s = time.monotonic() + _CLEAR_LIMIT_S
        while pids := self._pids():
            if time.monotonic() > deadline_s:
                raise SoraError("Processes of a run do not end.", where=pids, cure="end them by hand")
            for pid in pids:
                kill(pid)
            time.sleep(0.1)
        self.process.wait()
        self.poll()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _named(self, is_wanted: Callable[[str], bool]) -> list[int]:
        return [pid for pid in self._pids() if is_wanted(_command(pid))]

    def _pids(self) -> list[int]:
        """Everything alive that carries the token, and its descendants."""
        parents = _parents()
        found = {pid for pid in parents if self._mark.encode() in _read(pid, "environ").split(b"\0")}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)


def kill(pid: int) -> bool:
    """SIGKILL; False where the process had ended already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def _environment() -> dict[str, str]:
    foreign = ("RAY_", "SORA_CRASH_AT", TOKEN)
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
