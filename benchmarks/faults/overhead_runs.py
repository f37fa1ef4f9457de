"""The two runs that are compared by `benchmarks.faults.overhead`; imports Ray, so imported after jobs.shell.prepare."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch

from jobs.ray_session import connect
from pipeline import schema, storage
from pipeline.decode.clips import map_with_actors
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.reader import read_clips
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.features.encoder import Encoder, Lineage, TaskResult
from pipeline.features.extract import ExtractPlan, extract
from pipeline.features.memory import keep_freed_memory
from pipeline.features.pending import task_boundaries


def ours(plan: ExtractPlan, root: Path) -> int:
    """Sandbox, checks and commits; returns the clips."""
    return extract(plan, run_key="overhead", ds=date(2026, 1, 1), connect=connect).clips


def plain(plan: ExtractPlan, root: Path) -> int:
    """None of them, and plain Parquet files below the root; returns the clips."""
    folder = root / "plain"
    folder.mkdir()
    lineage = Lineage(plan.root, plan.model, "overhead", date(2026, 1, 1))
    videos = plan.pending.videos
    blocks = [videos.slice(start, end - start) for start, end in task_boundaries(videos["duration_s"].to_pylist())]
    num_actors = int(ray.cluster_resources()["CPU"])
    done = map_with_actors(blocks, _PlainTask, (lineage, str(folder)), num_actors=num_actors)
    return sum(sum(batch["clips"].to_pylist()) for batch in done.iter_batches(batch_format="pyarrow"))


class _NoSandbox:
    """The reader of the decoder process, called directly."""

    def read_clips(self, source: BinaryIO, config: SamplingConfig) -> Iterator[Clip]:
        yield from read_clips(source, config, DecodeLimits())


class _PlainEncoder(Encoder):
    """No sandbox, no check of the version, no file of ours: pyarrow's defaults under a name of its own."""

    def __init__(self, lineage: Lineage, folder: str):
        super().__init__(lineage)
        self._sandbox = _NoSandbox()  # type: ignore[assignment]
        self._folder = folder

    def _clips(self, video: Mapping[str, Any], result: TaskResult) -> Iterator[Clip]:
        with open(storage.local_path(str(video["uri"])), "rb") as source:
            yield from self._sandbox.read_clips(source, self._sampling)

    def _write(self, rows: list[dict[str, Any]], result: TaskResult) -> None:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema.FEATURES), f"{self._folder}/{uuid.uuid4().hex}.parquet")


class _PlainTask:
    """The Ray actor around it."""

    def __init__(self, lineage: Lineage, folder: str):
        keep_freed_memory()
        torch.set_num_threads(1)
        self._encoder = _PlainEncoder(lineage, folder)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"clips": [self._encoder.extract(batch.to_pylist()).num_clips]})
