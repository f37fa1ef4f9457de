"""The contenders: what each needs, and one run of it, from the start of a process to its end.

task --> sora extract (a copy of a root that is cataloged)  --> rows of `features`
     --> benchmarks.extract.worker in its own environment   --> rows of Parquet files
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.decode.contenders import linked_ffmpeg
from benchmarks.environments import python_of
from benchmarks.extract.corpus import paths
from benchmarks.extract.outcome import Run, Vectors
from benchmarks.extract.task import Task
from pipeline import tables
from pipeline.errors import SoraError
from tests.support.shared import PROJECT_ROOT

OURS, LOOP = "sora", "loop"
_FROM_LOCK = ("torch", "safetensors", "numpy", "pyarrow")
PEERS: dict[str, tuple[str, ...]] = {  # what each needs beside those, and the packages pinned by our own lock
    "ray_read_videos": ("ray[data]", "decord==0.6.0"),
    "daft": ("daft[video]==0.7.26",),
    "dataloader": ("torchcodec==0.13.0", "av"),  # from 0.14 on it asks for CUDA's libnvrtc; av brings its FFmpeg
}
_RUN_LIMIT_S = 1200.0  # a contender that stands still is absent
_RAY_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True)
class Outcome:
    """A run, its vectors, and what it ran with; peak_rss_bytes of our driver, 0 of the others."""

    run: Run
    vectors: Vectors
    versions: Mapping[str, str]
    peak_rss_bytes: int = 0


@dataclass(frozen=True)
class Prepared:
    """A corpus, a folder or its URI, a root that has cataloged it, the model, and how long cataloging took."""

    corpus: Path | str
    root: Path
    model: Path
    catalog_s: float


def pinned(requirement: str, lock: Sequence[str]) -> str:
    """A requirement with the version of our lock, where it names none itself: "ray[data]" -> "ray[data]==2.60.0"."""
    if "==" in requirement:
        return requirement
    package = requirement.partition("[")[0]
    (line,) = (line for line in lock if line.startswith(f"{package}=="))
    return f"{requirement}=={line.partition('==')[2].split()[0]}"


def peer_python(name: str) -> Path:
    """The Python of a peer's environment; installed where it is missing.

    Raises:
        SoraError: it cannot be installed.
    """
    lock = (PROJECT_ROOT / "requirements.lock").read_text().splitlines()
    requirements = [pinned(requirement, lock) for requirement in (*_FROM_LOCK, *PEERS[name])]
    return python_of(f"extract_{name}", requirements)


def prepared(corpus: Path | str, model: Path, root: Path) -> Prepared:
    """Catalog a corpus, as `sora catalog` does."""
    started_s = time.perf_counter()
    _must("sora catalog", [sys.executable, "-m", "jobs.catalog", str(corpus), "--root", str(root)], _environ())
    return Prepared(corpus, root, model, time.perf_counter() - started_s)


def run_ours(work: Prepared, folder: Path, *, num_workers: int | None = None) -> Outcome:
    """`sora extract` on a copy of a cataloged root.

    Args:
        work: What to extract.
        folder: Empty; the copy and the driver's figures go there.
        num_workers: As `--num-workers`, and that many cores for the whole job, Ray included; None: all cores.
    """
    root, figures = folder / "root", folder / "figures.json"
    shutil.copytree(work.root, root)
    command = [sys.executable, "-m", "benchmarks.extract.driver", str(figures)]
    command += ["--root", str(root), "--model", str(work.model), "--json"]
    if num_workers:
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:num_workers]))
        command = ["taskset", "--cpu-list", cores, *command, "--num-workers", str(num_workers)]
    started_s = time.perf_counter()
    _must(OURS, command, _environ())
    wall_s = time.perf_counter() - started_s
    rows = tables.read(f"file://{root}", "features", ["uri", "clip_index", "embedding"])
    names = pa.array([uri.rpartition("/")[2] for uri in rows["uri"].to_pylist()])
    vectors = _vectors(names, rows["clip_index"], rows["embedding"])
    return Outcome(Run(wall_s, rows.num_rows), vectors, {}, json.loads(figures.read_text())["peak_rss_bytes"])


def run_other(name: str, python: Path, work: Prepared, folder: Path) -> Outcome:
    """One run of a contender that is not ours.

    Args:
        name: Of the contender.
        python: Of its environment.
        work: What to extract.
        folder: Empty; its Parquet files go there.
    Raises:
        SoraError: it ended with an error.
    """
    output, told = folder / "output", folder / "task.json"
    output.mkdir()
    task = Task(paths(Path(work.corpus)), str(work.model), str(output), os.cpu_count() or 1)
    told.write_text(json.dumps(asdict(task)))
    environ = {**_environ(), "PYTHONPATH": str(PROJECT_ROOT)}  # Daft's own processes do not know where it started
    if name == "dataloader":
        environ["LD_LIBRARY_PATH"] = str(linked_ffmpeg(python))
    started_s = time.perf_counter()
    answer = _must(name, [str(python), "-m", "benchmarks.extract.worker", name, str(told)], environ)
    wall_s = time.perf_counter() - started_s
    rows = pa.concat_tables([_plain(pq.read_table(file)) for file in sorted(output.rglob("*.parquet"))])
    versions = {f"{name}_{package}": version for package, version in json.loads(answer.splitlines()[-1]).items()}
    return Outcome(Run(wall_s, rows.num_rows), _vectors(*rows.columns), versions)


def _environ() -> dict[str, str]:
    """This process's variables, and a token by which no other user of this machine reaches the contender's Ray."""
    return {**os.environ, **_RAY_ENVIRONMENT, "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _must(name: str, command: Sequence[str], environ: Mapping[str, str]) -> str:
    options: dict[str, Any] = {"cwd": PROJECT_ROOT, "env": environ, "capture_output": True, "text": True}
    try:
        ended = subprocess.run(command, **options, check=False, timeout=_RUN_LIMIT_S)
        got = f"exit code {ended.returncode}: {ended.stderr.strip()[-2000:]}" if ended.returncode else ""
    except subprocess.TimeoutExpired:
        got = f"no end after {_RUN_LIMIT_S} s"
    if got:
        raise SoraError(
            f"{name} ended with an error",
            where=" ".join(command),
            got=got,
            expected="exit code 0",
            cure="run the command by hand; a broken environment is made anew after it is deleted below .cache/peers",
        )
    return ended.stdout


def _plain(rows: pa.Table) -> pa.Table:
    """name, clip_index, embedding, whatever the writer calls the first and wraps the last in."""
    names = rows["name"] if "name" in rows.column_names else rows["path"]
    embedding = rows["embedding"].combine_chunks()
    storage: Any = embedding.storage if isinstance(embedding, pa.ExtensionArray) else embedding
    columns = {
        "name": pa.array([str(name).rpartition("/")[2] for name in names.to_pylist()]),
        "clip_index": rows["clip_index"].cast(pa.int64()),
        "embedding": storage.cast(pa.list_(pa.float32())),
    }
    return pa.table(columns)


def _vectors(names: Any, clip_indices: Any, embeddings: Any) -> Vectors:
    keys = zip(names.to_pylist(), clip_indices.to_pylist(), strict=True)
    return {key: np.asarray(vector, np.float32) for key, vector in zip(keys, embeddings.to_pylist(), strict=True)}
