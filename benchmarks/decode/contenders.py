"""The contenders: what each needs, and the process in which it waits for its turn."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.decode.wanted import Workload
from benchmarks.environments import python_of
from pipeline.errors import SoraError
from tests.support.shared import PROJECT_ROOT

OURS, CEILING = "sora", "decode_only"
_NUMPY = "numpy==2.4.6"
# The newest torchcodec whose wheel loads beside a torch without CUDA: from 0.14 on it asks for libnvrtc.
_TORCHCODEC = ("torch==2.13.0", "torchcodec==0.13.0", "av==18.1.0", _NUMPY)
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {  # name: its environment, and what is in there
    "ffmpeg": ("", ()),  # the command on the PATH
    "opencv": ("opencv", ("opencv-python-headless==5.0.0.93", _NUMPY)),
    "decord": ("decord", ("decord==0.6.0", _NUMPY)),
    "torchcodec_exact": ("torchcodec", _TORCHCODEC),
    "torchcodec_approximate": ("torchcodec", _TORCHCODEC),
}


@dataclass(frozen=True)
class Spent:
    """What one delivery of a workload cost, by the process and its children."""

    cpu_s: float
    wall_s: float
    num_frames: int


class Worker:
    """A contender's process; it is idle, and costs nothing, while others have their turn.

    Args:
        name: One of the contenders.
        python: Of its environment.
        environ: What it needs besides this process's variables.
    Raises:
        SoraError: it does not start, as where a library is missing.
    """

    def __init__(self, name: str, python: Path, environ: dict[str, str]):
        self._name = name
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.decode.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
        )
        self.versions: dict[str, str] = self._answer()["versions"]

    def deliver(self, workload: Workload, *, save_to: Path | None = None) -> Spent:
        """Read one workload; the frames go to a .npy file where one is named."""
        told = {"workload": asdict(workload), "save_to": str(save_to) if save_to else None}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return Spent(**self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SoraError(
                f"{self._name} ended without an answer",
                where=" ".join(map(str, self._process.args)),  # type: ignore[arg-type]
                got=f"exit code {self._process.wait()}; its own words stand above",
                expected="one JSON line",
                cure="see that the video opens and that its environment is whole; delete it below .cache/peers",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def start_workers(names: Sequence[str], stack: ExitStack) -> tuple[dict[str, Worker], dict[str, str]]:
    """Start the contenders, and install the environments that they miss.

    Args:
        names: Contenders, in the order of their turns.
        stack: What ends them.
    Returns:
        The workers by name, and why each of the others is absent. Ours and decode_only are never absent.
    """
    workers, absent = {}, {}
    for name in names:
        try:
            workers[name] = _start(name)
        except SoraError as e:
            if name not in PEERS:
                raise
            absent[name] = str(e)
        else:
            stack.callback(workers[name].close)
    return workers, absent


def _start(name: str) -> Worker:
    environment, requirements = PEERS.get(name, ("", ()))
    if name == "ffmpeg" and not shutil.which("ffmpeg"):
        raise SoraError("no ffmpeg on the PATH", cure="install the system's package ffmpeg")
    if not environment:
        return Worker(name, Path(sys.executable), {})
    python = python_of(environment, requirements)
    environ = {"LD_LIBRARY_PATH": str(linked_ffmpeg(python))} if environment == "torchcodec" else {}
    return Worker(name, python, environ)


def linked_ffmpeg(python: Path) -> Path:
    """A folder of links by which torchcodec finds the FFmpeg 8 in the wheel of PyAV.

    So it decodes with the very libraries that ours does; with the FFmpeg 5.1 of Debian 12 it was 2 to 10 % slower.
    libavcodec-5e6b81c2.so.62.28.102 <-- libavcodec.so.62
    """
    (libraries,) = python.parents[1].glob("lib/python*/site-packages/av.libs")
    links = python.parents[1] / "ffmpeg"
    links.mkdir(exist_ok=True)
    beside = os.path.relpath(libraries, links)  # so that the environment may be moved
    for library in libraries.iterdir():
        plain = re.sub(r"^(lib(?:av|sw)\w+)-\w+\.so\.(\d+)\..*$", r"\1.so.\2", library.name)
        for link in {links / library.name, links / plain}:
            if not link.exists():
                link.symlink_to(f"{beside}/{library.name}")
    return links
