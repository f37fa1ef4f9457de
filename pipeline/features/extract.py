"""The Ray Data plan of an extraction, and the driver that commits what it yields.

pending videos --tasks--> Ray actors (decode, encode, write Parquet) --descriptions--> driver --> one commit
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import ray
import torch

from pipeline import registry, storage, tables
from pipeline.crashpoints import crash_point
from pipeline.datafiles import DataFile
from pipeline.decode.clips import map_with_actors
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import CheckpointError
from pipeline.features.config import ExtractConfig
from pipeline.features.encoder import Encoder, Lineage, TaskResult
from pipeline.features.pending import Pending, find_pending, task_boundaries
from pipeline.model.checkpoint import load_checkpoint
from pipeline.progress import OnProgress, Progress, unwatched

_COMMIT_EVERY_S = 5.0  # what a killed driver loses at most; a commit takes 0.05 s on disk


@dataclass
class ExtractCounts:
    """What one extraction found and did."""

    cataloged: int = 0
    already_done: int = 0
    given_up: int = 0
    videos: int = 0
    clips: int = 0
    failed: int = 0
    partial: int = 0
    bytes_read: int = 0
    seconds_by_stage: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ExtractPlan:
    """A resolved model and what it has not seen yet."""

    root: str
    model: registry.ModelReference
    sampling: SamplingConfig
    pending: Pending


def plan_extract(config: ExtractConfig) -> ExtractPlan:
    """Resolve the model and find the work; reads tables, decodes nothing.

    Raises:
        CheckpointError: the model reference leads nowhere, or its sampling is not readable.
        TableError: the root has no tables yet.
    """
    root = storage.normalize(config.root)
    tables.open_table(root, "videos")
    model = registry.resolve(root, config.model)
    loaded = load_checkpoint(registry.fetch(model))
    try:
        sampling = SamplingConfig(**loaded.sampling)
    except TypeError as e:
        cure = "use a checkpoint that `sora train` wrote"
        raise CheckpointError("The checkpoint's sampling is unknown.", where=model.uri, got=e, cure=cure) from e
    pending = find_pending(root, model_version=model.version, sampling_digest=sampling.digest(), policy=config.policy())
    return ExtractPlan(root, model, sampling, pending)


def extract(
    plan: ExtractPlan,
    *,
    run_key: str,
    ds: date,
    connect: Callable[[], None],
    on_progress: OnProgress = unwatched,
) -> ExtractCounts:
    """Give every pending video its vectors, or a row of `failures`.

    Args:
        plan: From plan_extract.
        run_key: Names the run in every row.
        ds: Logical date, a partition of `features`.
        connect: Starts or joins Ray; called only when there is work.
        on_progress: Told after every finished task.
    Raises:
        CommitConflictError: other writers kept winning.
    """
    pending = plan.pending
    counts = ExtractCounts(
        cataloged=pending.num_cataloged, already_done=pending.num_done, given_up=pending.num_given_up
    )
    if pending.videos.num_rows == 0:
        return counts
    crash_point("planned")
    storage.require_store(plan.root)
    connect()
    writer = tables.TableWriter(plan.root, "features", seen_transaction=pending.seen_transaction)
    lineage = Lineage(plan.root, plan.model, run_key, ds)
    waiting: list[TaskResult] = []
    last_s = time.monotonic()
    for result in _results(lineage, pending):
        crash_point("task_done")
        _count(counts, result)
        waiting.append(result)
        on_progress(Progress("extract", counts.videos, pending.videos.num_rows, counts.failed))
        if time.monotonic() - last_s > _COMMIT_EVERY_S:
            _commit(plan.root, writer, waiting, ds)
            waiting, last_s = [], time.monotonic()
    _commit(plan.root, writer, waiting, ds)
    return counts


class _ExtractTask:
    """The Ray actor around an Encoder."""

    def __init__(self, lineage: Lineage, device: str) -> None:
        torch.set_num_threads(1)  # parallelism comes from actors
        self._encoder = Encoder(lineage, device=device)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"result": [json.dumps(asdict(self._encoder.extract(batch.to_pylist())))]})


def _results(lineage: Lineage, pending: Pending) -> Iterator[TaskResult]:
    ranges = task_boundaries(pending.videos["duration_s"].to_pylist())
    blocks = [pending.videos.slice(start, end - start) for start, end in ranges]
    resources = ray.cluster_resources()
    num_gpus = int(resources.get("GPU", 0))
    descriptions = map_with_actors(
        blocks,
        _ExtractTask,
        (lineage, "cuda" if num_gpus else "cpu"),
        num_actors=num_gpus or int(resources.get("CPU", 1)),
        num_gpus=1 if num_gpus else 0,
    )
    for batch in descriptions.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for text in batch["result"].to_pylist():
            yield _task_result(json.loads(text))


def _task_result(fields: dict[str, Any]) -> TaskResult:
    files = [DataFile(**{**file, "keys": tuple(tuple(key) for key in file["keys"])}) for file in fields.pop("files")]
    return TaskResult(**fields, files=files)


def _count(counts: ExtractCounts, result: TaskResult) -> None:
    num_partial = sum(failure["error_class"] == "partial" for failure in result.failures)
    counts.videos += result.num_videos
    counts.clips += sum(file.num_rows for file in result.files)
    counts.partial += num_partial
    counts.failed += len(result.failures) - num_partial
    counts.bytes_read += result.bytes_read
    for stage, seconds in (("decode", result.decode_s), ("encode", result.encode_s)):
        counts.seconds_by_stage[stage] = counts.seconds_by_stage.get(stage, 0.0) + seconds


def _commit(root: str, writer: tables.TableWriter, results: list[TaskResult], ds: date) -> None:
    """Failures first: a crash between the two commits costs a repeated video, never the reason of a partial one."""
    stamps = {"ds": ds, "failed_at": datetime.now(UTC)}
    failures = [{**failure, **stamps} for result in results for failure in result.failures]
    crash_point("before_commit")
    tables.append_rows(root, "failures", failures)
    crash_point("between_commits")
    writer.commit([file for result in results for file in result.files])
