"""What is left to do: the catalog, less what has vectors, less what is known not to decode.

The driver holds the catalog's plan columns once; joins see keys and row numbers alone, and no Python list is as long as
the catalog.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from pipeline import datafiles, storage, tables
from pipeline.features.retry import Key, RetryPolicy, is_due

_VERSION_KEY = ["video_id", "version"]
_PLAN_COLUMNS = [*_VERSION_KEY, "uri", "duration_s"]
_FAILURE_COLUMNS = [*_VERSION_KEY, "attempts", "error_class"]
_FILES_AT_ONCE = 2  # a file is decoded a million rows at a time: 80 MB of keys
_SECONDS_A_TASK = 60.0  # of video: about 1 s of work for two cores, so that commits and progress keep moving
_VIDEOS_A_TASK = 16
MAX_TASKS = 5_000  # the driver keeps statistics of every task for the life of a job
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
    is_wanted = (pc.field("model_version") == model_version) & (pc.field("sampling_digest") == sampling_digest)
    state = tables.open_table(root, "features")
    done = storage.retried(lambda: _distinct_keys(root, "features", state, is_wanted))
    catalog = tables.open_table(root, "videos")
    videos = storage.retried(lambda: pa.concat_tables(_parts(root, "videos", catalog, _PLAN_COLUMNS, is_live)))
    left = _rows_without(videos, done)
    attempts, is_given_up = _tried(root, videos, policy)
    wanted, num_cataloged = left[~is_given_up[left]], videos.num_rows
    columns = {name: videos[name] for name in videos.column_names}
    del done, videos
    columns["attempts"] = pa.chunked_array([pa.array(attempts)])
    pending = _taken(columns, wanted)
    pa.default_memory_pool().release_unused()  # 0.4 GB after a plan of a million, and the driver lives all night
    return Pending(
        videos=pending,
        num_cataloged=num_cataloged,
        num_done=num_cataloged - len(left),
        num_given_up=len(left) - len(wanted),
        seen_transaction=tables.transaction(state),
    )


def task_boundaries(durations_s: Sequence[float | None], *, max_tasks: int = MAX_TASKS) -> list[tuple[int, int]]:
    """Cut the pending videos into tasks of about the same work.

    Args:
        durations_s: Seconds of each video as its header says; None or nonsense counts as a minute.
        max_tasks: Tasks grow beyond a minute of video so that there are never more than twice as many.
    Returns:
        Half-open ranges [start, end) that cover all videos in order; a longer video is a task of its own.
    """
    costs_s = [believed_duration_s(duration_s) for duration_s in durations_s]
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


def believed_duration_s(duration_s: float | None) -> float:
    """What a header says, unless that is nothing or nonsense."""
    return duration_s if duration_s is not None and 0 < duration_s < 1e6 else _ASSUMED_DURATION_S


def _parts(root: str, name: str, state: DeltaTable, columns: Sequence[str], where: pc.Expression) -> Iterator[pa.Table]:
    """Some columns of a table, a part at a time; at least one part, be it empty."""
    dataset = datafiles.dataset(root, name, state)
    scanner = dataset.scanner(list(columns), filter=where, batch_readahead=1, fragment_readahead=_FILES_AT_ONCE)
    yield scanner.projected_schema.empty_table()
    for batch in scanner.to_batches():
        yield pa.Table.from_batches([batch])


def _distinct_keys(root: str, name: str, state: DeltaTable, where: pc.Expression) -> pa.Table:
    """The keys of a table, a part at a time: a video whose slices lie in two parts is there twice."""
    parts = (rows.group_by(_VERSION_KEY).aggregate([]) for rows in _parts(root, name, state, _VERSION_KEY, where))
    keys = pa.concat_tables(parts)
    pa.default_memory_pool().release_unused()
    return keys


def _numbered(videos: pa.Table) -> pa.Table:
    return videos.select(_VERSION_KEY).append_column("row", pa.array(np.arange(videos.num_rows)))


def _rows_without(videos: pa.Table, done: pa.Table) -> NDArray[np.int64]:
    """The rows of `videos` whose key is not in `done`."""
    left = _numbered(videos).join(done, _VERSION_KEY, join_type="left anti")
    return np.asarray(left["row"])


def _tried(root: str, videos: pa.Table, policy: RetryPolicy) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """For every row of `videos`, how often it was tried and whether it is not to be tried now."""
    columns = None if policy.retry_failed else _FAILURE_COLUMNS  # the condition may name any of them
    tried = _sorted_out(tables.read(root, "failures", columns, pc.field("stage") == "decode"), policy)
    found = _numbered(videos).join(tried, _VERSION_KEY, join_type="inner")
    attempts, is_given_up = np.zeros(videos.num_rows, np.int32), np.zeros(videos.num_rows, np.bool_)
    attempts[found["row"]] = found["attempts"]
    is_given_up[found["row"]] = found["is_given_up"]
    return attempts, is_given_up


def _sorted_out(failures: pa.Table, policy: RetryPolicy) -> pa.Table:
    """Every failed version once: how often it was tried, and whether it is not to be tried now."""
    newest: dict[Key, tuple[int, str]] = {}
    columns = (failures[name].to_pylist() for name in _FAILURE_COLUMNS)
    for video_id, version, attempts, error_class in zip(*columns, strict=True):
        newest[video_id, version] = max(newest.get((video_id, version), (0, "")), (attempts, error_class))
    asked_for = policy.asked_for(failures)
    given_up = [
        key not in asked_for and not is_due(error_class, attempts, max_attempts=policy.max_attempts)
        for key, (attempts, error_class) in newest.items()
    ]
    return pa.table(
        {
            "video_id": pa.array([video_id for video_id, _ in newest], pa.string()),
            "version": pa.array([version for _, version in newest], pa.string()),
            "attempts": pa.array([attempts for attempts, _ in newest.values()], pa.int32()),
            "is_given_up": pa.array(given_up, pa.bool_()),
        }
    )


def _taken(columns: dict[str, pa.ChunkedArray], rows: NDArray[np.int64]) -> pa.Table:
    """Some rows, sorted by uri. Replaces the given columns one by one, so that no more than one is held twice."""
    order = pa.array(rows).take(pc.sort_indices(columns["uri"].take(pa.array(rows))))
    for name in columns:
        columns[name] = columns[name].take(order)
    return pa.table(columns)
