"""An extraction as its driver sees it: plan the work, commit what the workers report.

catalog less tables --> pending videos --> workers.results --descriptions of files--> a commit every few seconds
"""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime

from pipeline import registry, storage, tables
from pipeline.crashpoints import crash_point
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import CheckpointError
from pipeline.features.config import ExtractConfig
from pipeline.features.encoder import Lineage, TaskResult
from pipeline.features.pending import Pending, find_pending
from pipeline.features.workers import results
from pipeline.model.checkpoint import load_checkpoint
from pipeline.progress import OnProgress, Progress, unwatched

# What a killed driver loses is what it has not committed: at most this share of what the run has done.
_COMMIT_SHARE = 0.02
_MIN_COMMIT_EVERY_S, _MAX_COMMIT_EVERY_S = 1.0, 30.0  # a commit takes 0.05 s on disk, 0.3 s on S3; readers wait for it
_log = logging.getLogger(__name__)


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
    bytes_stored: int = 0
    seconds_by_stage: dict[str, float] = field(default_factory=dict)
    clips_by_engine: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExtractPlan:
    """A resolved model and what it has not seen yet."""

    root: str
    model: registry.ModelReference
    sampling: SamplingConfig
    embedding_dim: int
    pending: Pending
    config: ExtractConfig

    @property
    def selection(self) -> dict[str, object]:
        """What makes its run another one than the same job's of the same date."""
        policy = asdict(self.config.policy())
        return {"model": self.model.digest, "sampling": self.sampling.digest(), "policy": policy}


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
    return ExtractPlan(root, model, sampling, loaded.config.embedding_dim, pending, config)


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
    started_s = last_s = time.monotonic()
    for result in results(
        lineage,
        pending.videos,
        num_workers=plan.config.num_workers,
        num_decoders=plan.config.num_decoders,
        engine=plan.config.engine,
    ):
        crash_point("task_done")
        _count(counts, result)
        waiting.append(result)
        on_progress(Progress("extract", counts.videos, pending.videos.num_rows, counts.failed))
        now_s = time.monotonic()
        if now_s - last_s > commit_every_s(now_s - started_s):
            _commit(plan.root, writer, waiting, ds)
            waiting, last_s = [], time.monotonic()
    _commit(plan.root, writer, waiting, ds)
    return counts


def commit_every_s(running_s: float) -> float:
    """How long results may wait for their commit, in seconds, after running_s of work: longer in longer runs."""
    return min(max(_COMMIT_SHARE * running_s, _MIN_COMMIT_EVERY_S), _MAX_COMMIT_EVERY_S)


def _count(counts: ExtractCounts, result: TaskResult) -> None:
    num_partial = sum(failure["error_class"] == "partial" for failure in result.failures)
    counts.videos += result.num_videos
    counts.clips += sum(file.num_rows for file in result.files)
    counts.partial += num_partial
    counts.failed += len(result.failures) - num_partial
    counts.bytes_read += result.bytes_read
    counts.bytes_stored += result.bytes_stored
    for engine, num_clips in result.clips_by_engine.items():
        if engine not in counts.clips_by_engine:
            _log.info("The engine %s encodes.", engine)
        counts.clips_by_engine[engine] = counts.clips_by_engine.get(engine, 0) + num_clips
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
