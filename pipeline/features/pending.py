"""What is left to do: the catalog, less what has vectors, less what is known not to decode."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.features.retry import Key, RetryPolicy, is_due

_VERSION_KEY = ["video_id", "version"]
_SECONDS_A_TASK = 60.0  # of video: about 1 s of work for two cores, so that commits and progress keep moving
_VIDEOS_A_TASK = 16
_MAX_TASKS = 5_000  # the driver keeps statistics of every task for the life of a job
_ASSUMED_DURATION_S = 60.0  # for headers that say nothing


@dataclass(frozen=True)
class Pending:
    """The plan of one extraction.

    videos: video_id, uri, version, duration_s, attempts (0 for a first try), sorted by uri.
    seen_transaction: the state of `features` the plan was made from.
    """

    videos: pa.Table
    num_cataloged: int
    num_done: int
    num_given_up: int
    seen_transaction: int


def find_pending(root: str, *, model_version: str, sampling_digest: str, policy: RetryPolicy) -> Pending:
    """Anti-join the catalog with what is committed for one model and one way of sampling.

    Args:
        root: The root's URI.
        model_version: Version of the model the vectors are wanted of.
        sampling_digest: Digest of the sampling config.
        policy: Which failed videos to take again.
    Raises:
        ConfigError: the policy's condition is not one DuckDB understands.
    """
    is_live = pc.field("status") == "ok"
    if policy.since is not None:
        is_live &= pc.field("cataloged_at") >= pa.scalar(policy.since, pa.timestamp("us", tz="UTC"))
    videos = tables.read(root, "videos", [*_VERSION_KEY, "uri", "duration_s"], is_live)
    state = tables.open_table(root, "features")
    is_wanted = (pc.field("model_version") == model_version) & (pc.field("sampling_digest") == sampling_digest)
    done = _distinct(tables.read_state(root, state, "features", _VERSION_KEY, is_wanted))
    left = videos.join(done, _VERSION_KEY, join_type="left anti")
    failures = tables.read(root, "failures", where=pc.field("stage") == "decode")
    attempts, given_up = _sorted_out(failures, policy)
    keys = list(zip(left["video_id"].to_pylist(), left["version"].to_pylist(), strict=True))
    wanted = left.append_column("attempts", pa.array([attempts.get(key, 0) for key in keys], pa.int32()))
    wanted = wanted.filter(pa.array([key not in given_up for key in keys], pa.bool_()))
    return Pending(
        videos=wanted.sort_by("uri"),
        num_cataloged=videos.num_rows,
        num_done=videos.num_rows - left.num_rows,
        num_given_up=left.num_rows - wanted.num_rows,
        seen_transaction=tables.transaction(state),
    )


def task_boundaries(durations_s: Sequence[float | None], *, max_tasks: int = _MAX_TASKS) -> list[tuple[int, int]]:
    """Cut the pending videos into tasks of about the same work.

    Args:
        durations_s: Seconds of each video as its header says; None or nonsense counts as a minute.
        max_tasks: Tasks grow beyond a minute of video so that there are never more than twice as many.
    Returns:
        Half-open ranges [start, end) that cover all videos in order; a longer video is a task of its own.
    """
    costs_s = [d if d is not None and 0 < d < 1e6 else _ASSUMED_DURATION_S for d in durations_s]
    full_s = max(_SECONDS_A_TASK, sum(costs_s) / max_tasks)
    full_videos = max(_VIDEOS_A_TASK, -(-len(costs_s) // max_tasks))
    ranges: list[tuple[int, int]] = []
    start, used_s = 0, 0.0
    for index, cost_s in enumerate(costs_s):
        if index > start and (used_s + cost_s > full_s or index - start >= full_videos):
            ranges.append((start, index))
            start, used_s = index, 0.0
        used_s += cost_s
    if start < len(costs_s):
        ranges.append((start, len(costs_s)))
    return ranges


def _sorted_out(failures: pa.Table, policy: RetryPolicy) -> tuple[dict[Key, int], set[Key]]:
    """How often each failed version was tried, and which of them are not to be tried now."""
    newest: dict[Key, tuple[int, str]] = {}
    columns = (failures[name].to_pylist() for name in ("video_id", "version", "attempts", "error_class"))
    for video_id, version, attempts, error_class in zip(*columns, strict=True):
        newest[video_id, version] = max(newest.get((video_id, version), (0, "")), (attempts, error_class))
    asked_for = policy.asked_for(failures)
    given_up = {
        key
        for key, (attempts, error_class) in newest.items()
        if key not in asked_for and not is_due(error_class, attempts, max_attempts=policy.max_attempts)
    }
    return {key: attempts for key, (attempts, _) in newest.items()}, given_up


def _distinct(rows: pa.Table) -> pa.Table:
    return rows.group_by(_VERSION_KEY).aggregate([])
