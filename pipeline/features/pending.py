"""What is left to do: the catalog, less what has vectors, less what is known not to decode."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables

_VERSION_KEY = ["video_id", "version"]
_SECONDS_A_TASK = 60.0  # of video: about 1 s of work for two cores, so that commits and progress keep moving
_VIDEOS_A_TASK = 32
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


def find_pending(root: str, *, model_version: str, sampling_digest: str, retry_failed: bool = False) -> Pending:
    """Anti-join the catalog with what is committed for one model and one way of sampling.

    Args:
        root: The root's URI.
        model_version: Version of the model the vectors are wanted of.
        sampling_digest: Digest of the sampling config.
        retry_failed: Take videos again whose decoding failed before.
    """
    columns = [*_VERSION_KEY, "uri", "duration_s"]
    videos = tables.read(root, "videos", columns, pc.field("status") == "ok")
    state = tables.open_table(root, "features")
    is_wanted = (pc.field("model_version") == model_version) & (pc.field("sampling_digest") == sampling_digest)
    done = _distinct(tables.read_state(root, state, "features", _VERSION_KEY, is_wanted))
    failures = tables.read(root, "failures", [*_VERSION_KEY, "attempts"], pc.field("stage") == "decode")
    failed = (
        failures.group_by(_VERSION_KEY).aggregate([("attempts", "max")]).rename_columns([*_VERSION_KEY, "attempts"])
    )
    left = videos.join(done, _VERSION_KEY, join_type="left anti")
    if retry_failed:
        wanted = left.join(failed, _VERSION_KEY, join_type="left outer")
    else:
        wanted = left.join(failed, _VERSION_KEY, join_type="left anti")
        wanted = wanted.append_column("attempts", pa.nulls(wanted.num_rows, pa.int32()))
    attempts = pc.fill_null(wanted["attempts"].cast(pa.int32()), 0)
    wanted = wanted.set_column(wanted.column_names.index("attempts"), "attempts", attempts)
    return Pending(
        videos=wanted.sort_by("uri"),
        num_cataloged=videos.num_rows,
        num_done=videos.num_rows - left.num_rows,
        num_given_up=left.num_rows - wanted.num_rows,
        seen_transaction=tables.transaction(state),
    )


def task_boundaries(durations_s: Sequence[float | None], *, seconds: float = _SECONDS_A_TASK) -> list[tuple[int, int]]:
    """Cut the pending videos into tasks of about the same work.

    Args:
        durations_s: Seconds of each video as its header says; None or nonsense counts as a minute.
        seconds: Seconds of video a task may hold; a longer video is a task of its own.
    Returns:
        Half-open ranges [start, end) that cover all videos in order.
    """
    ranges: list[tuple[int, int]] = []
    start, used_s = 0, 0.0
    for index, duration_s in enumerate(durations_s):
        cost_s = duration_s if duration_s is not None and 0 < duration_s < 1e6 else _ASSUMED_DURATION_S
        is_full = used_s + cost_s > seconds or index - start >= _VIDEOS_A_TASK
        if index > start and is_full:
            ranges.append((start, index))
            start, used_s = index, 0.0
        used_s += cost_s
    if start < len(durations_s):
        ranges.append((start, len(durations_s)))
    return ranges


def _distinct(rows: pa.Table) -> pa.Table:
    return rows.group_by(_VERSION_KEY).aggregate([])
