"""The same work written in other ways: what is missing, doubled or half visible when things die.

python -m benchmarks.peers --json
python -m benchmarks.peers --only parquet sora --clips 24
"""

import argparse
import importlib.metadata
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.faults.snapshot import ClipKey
from benchmarks.faults.workload import Workload, local_workload
from benchmarks.peers.job import PEERS, VIDEOS
from benchmarks.peers.play import Contender, Poison, Runs, play_poison, play_runs
from benchmarks.peers.state import iceberg_state, parquet_state, sora_state
from benchmarks.peers.table import table
from jobs import shell
from pipeline import storage, tables
from pipeline.features.pending import task_boundaries

OURS = "sora"
DEFAULT = ("parquet", "parquet_overwrite", "checkpoint", "checkpoint_whole", "iceberg", "iceberg_upsert", OURS)
WITH_POISON = ("parquet", "checkpoint_whole", "iceberg", OURS)  # the map is the same: one of each writer is enough
# What the installed packages lack for write_iceberg; versions that go with the pyarrow of requirements.lock.
ICEBERG_PACKAGES = (
    "pyiceberg==0.12.0",
    "mmh3==5.3.1",
    "pyroaring==1.2.0",
    "strictyaml==1.7.3",
    "zstandard==0.25.0",
)


@dataclass(frozen=True)
class Line:
    """All that was measured of one way of writing."""

    name: str
    words: str
    runs: Runs
    poison: Poison | None


def main(argv: Sequence[str] | None = None) -> int:
    """Play every way of writing, print the table; 1 where ours is not exact."""
    arguments = _parser().parse_args(argv)
    shell.prepare()
    signal.signal(signal.SIGTERM, _stop)  # so that the processes of a stopped run are cleared away
    names = arguments.only
    packages = iceberg_packages() if any(name != OURS and PEERS[name].sink == "iceberg" for name in names) else None
    lines = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sora-peers-")))
        workload = stack.enter_context(local_workload(folder, num_clips=arguments.clips))
        field = Field(folder, workload, packages)
        for name in names:
            line = field.play(name, poison_limit_s=arguments.poison_limit_s)
            print(asdict(line), file=sys.stderr, flush=True)
            lines.append(line)
        facts = field.facts()
    print(table(lines, facts), file=sys.stderr if arguments.json else sys.stdout)
    if arguments.json:
        print(json.dumps({**facts, "lines": [asdict(line) for line in lines]}))
    return int(not all(_is_exact(line) for line in lines if line.name == OURS))


class Field:
    """One corpus, model and reference for all."""

    def __init__(self, folder: Path, workload: Workload, packages: Path | None):
        self._folder, self._workload, self._packages = folder, workload, packages
        self._corpus = folder / "corpus"
        self._expected = frozenset(workload.reference.vectors)
        self._videos = _videos(workload.base)

    def facts(self) -> dict[str, object]:
        """The size of the work, and the versions."""
        packages = ("ray", "pyarrow", "deltalake")
        return {
            "files": sum(1 for _ in self._corpus.iterdir()),
            "videos_with_rows": len({key[0] for key in self._expected}),
            "rows": len(self._expected),
            "tasks": len(task_boundaries(self._videos["duration_s"].to_pylist())),
            "versions": {name: importlib.metadata.version(name) for name in packages}
            | ({"pyiceberg": ICEBERG_PACKAGES[0].partition("==")[2]} if self._packages else {}),
        }

    def play(self, name: str, *, poison_limit_s: float) -> Line:
        """All situations of one way of writing."""
        contender = self._contender(name, self._expected, poison="")
        runs = play_runs(contender, self._corpus)
        poison = None
        if name in WITH_POISON:
            video = self._poisoned()
            others = frozenset(key for key in self._expected if key[0] != video["video_id"])
            path = storage.local_path(str(video["uri"]))
            poisoned = self._contender(name, others, poison=path.name)
            poison = play_poison(poisoned, path, limit_s=poison_limit_s)
        return Line(name, contender.words, runs, poison)

    def _contender(self, name: str, expected: frozenset[ClipKey], *, poison: str) -> Contender:
        if name == OURS:
            root = self._workload.new_root()
            command = self._workload.command(root)
            return Contender(name, "`sora extract`", "jobs.cli", command, {}, lambda: sora_state(root, expected))
        work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))
        pq.write_table(self._videos, work / VIDEOS)
        peer = PEERS[name]
        arguments = [name, "--work", str(work), "--model", str(self._workload.model), "--poison", poison]
        read = (lambda: iceberg_state(work, expected)) if peer.sink == "iceberg" else None
        return Contender(
            name,
            peer.words,
            "benchmarks.peers.job",
            arguments,
            {"PYTHONPATH": str(self._packages)} if self._packages else {},
            read or (lambda: parquet_state(work / "out", expected)),
            lambda: _num_lines(work / "aborts"),
        )

    def _poisoned(self) -> dict[str, object]:
        """The video in the middle of those that have rows."""
        with_rows = {key[0] for key in self._expected}
        videos = [video for video in self._videos.to_pylist() if video["video_id"] in with_rows]
        return dict(videos[len(videos) // 2])


def iceberg_packages() -> Path:
    """A folder with pyiceberg and what it needs besides the installed packages; installed there once."""
    folder = Path(__file__).parents[2] / ".cache" / "peers" / ICEBERG_PACKAGES[0]
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", f"{fresh}/all"]
            subprocess.run([*install, *ICEBERG_PACKAGES], check=True, stdout=sys.stderr)
            Path(fresh, "all").rename(folder)
    sys.path.append(str(folder))  # this process reads the tables
    return folder


def _videos(base: str) -> pa.Table:
    """The catalog as an extraction takes it."""
    columns = ["video_id", "uri", "version", "duration_s"]
    videos = tables.read(base, "videos", columns, pc.field("status") == "ok").sort_by("uri")
    return videos.append_column("attempts", pa.array([0] * videos.num_rows, pa.int32()))


def _num_lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _stop(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _is_exact(line: Line) -> bool:
    has_survived = line.poison is None or (line.poison.has_ended and line.poison.state.is_exact)
    return line.runs.after_resume.is_exact and line.runs.after_second.is_exact and has_survived


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__.splitlines()[0])
    choices = (*PEERS, OURS)
    parser.add_argument("--only", nargs="+", choices=choices, default=list(DEFAULT), metavar="NAME", help=str(choices))
    parser.add_argument("--clips", type=int, default=12, help="whole clips in the corpus, besides twelve broken files")
    parser.add_argument("--poison-limit-s", type=float, default=30.0, help="how long a killing video may go on")
    parser.add_argument("--json", action="store_true", help="print one JSON line; the table goes to stderr")
    return parser


if __name__ == "__main__":
    sys.exit(main())
