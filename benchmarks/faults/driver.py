"""One `sora` command as a process of its own, with the Ray it starts or joins."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.processes import Family, environment


class Driver:
    """A running `sora` command.

    Args:
        arguments: What comes after `sora`.
        env: Variables on top of this process's own, less everything of any other Ray. With RAY_ADDRESS it joins a
            cluster, else it starts a Ray of its own, which is cleared away with it.
        module: What is run instead of `sora`.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str] | None = None, *, module: str = "jobs.cli"):
        self._folder = Path(tempfile.mkdtemp(prefix="sf-", dir="/tmp"))  # short: socket paths end at 107 characters
        self.family = Family()
        self.started_s = time.monotonic()
        self.ended_s: float | None = None
        own = self.family.env | {"RAY_TMPDIR": str(self._folder), "PYTHONUNBUFFERED": "1"}
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=Path(__file__).parents[2],
                env=environment() | own | dict(env or {}),
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

    def clear(self) -> None:
        """End the driver and everything it started, and remove its folder."""
        self.family.clear()
        self.process.wait()
        self.poll()
        shutil.rmtree(self._folder, ignore_errors=True)
