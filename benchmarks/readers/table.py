"""What happens to the table that the readers poll: a past, a writer, and upkeep.

The past is what lets vacuum remove something: the least age it allows is an hour. So the table has seen commits and a
compaction about an hour ago; its replaced and unnamed files come of age one after another while the readers poll.
"""

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from multiprocessing.synchronize import Event
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, Transaction
from deltalake.transaction import AddAction, RemoveAction

from pipeline import datafiles, maintenance, schema, storage, tables
from pipeline.datafiles import DataFile

_NAME = "features"
_VIDEOS_A_COMMIT, _NUM_DAYS = 4, 3
_OLD_COMMITS = 30
OLD_FILES_S = 20.0  # the first old files may go at once, the last so long after the start
_COMMIT_EVERY_S = 0.1
_TARGET_BYTES = 256 << 20
_NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)


def num_slices(video_id: str) -> int:
    """How many slices a whole video has: 2 to 6, so that a row count tells nothing."""
    return 2 + int(video_id[1:]) % 5


def video_ids(num_videos: int) -> set[str]:
    """The ids of the first videos."""
    return {f"v{index}" for index in range(num_videos)}


def age_table(root: str, old_files_s: float) -> int:
    """Give an empty table a past: commits, files nobody named, and a compaction an hour ago. Returns its videos."""
    writer = tables.TableWriter(root, _NAME, seen_transaction=0)
    for commit in range(_OLD_COMMITS):
        writer.commit(datafiles.write(root, _NAME, _rows(commit)))
    _leave_unnamed_files(root, old_files_s)
    days: dict[str, list[DataFile]] = {}
    for file in datafiles.files(_NAME, tables.open_table(root, _NAME)):
        days.setdefault(file.partition["ds"], []).append(file)
    for number, small in enumerate(days.values()):
        expires_in_s = old_files_s * number / _NUM_DAYS
        _replace_an_hour_ago(root, small, time.time() - 3600 * maintenance.MIN_KEEP_HOURS + expires_in_s)
    return _OLD_COMMITS * _VIDEOS_A_COMMIT


def play_writer(root: str, num_commits: int, num_old: int, written: Event) -> dict[str, Any]:
    """Commit whole videos, several at once, on several days; every second commit offers old ones again."""
    first = num_old // _VIDEOS_A_COMMIT
    writer = tables.TableWriter(root, _NAME)
    commits = 0
    for commit in range(first, first + num_commits):
        rows = _rows(commit)
        assert writer.commit(datafiles.write(root, _NAME, rows)) == rows.num_rows, "a new video was dropped"
        commits += 1
        if commit % 2:
            assert tables.append(root, _NAME, _rows(commit // 2)) == 0, "an old video was added again"
        time.sleep(_COMMIT_EVERY_S)
    written.set()
    return {"commits": commits, "videos": commits * _VIDEOS_A_COMMIT, "errors": []}


def play_upkeep(root: str, old_files_s: float, written: Event, kept: Event) -> dict[str, Any]:
    """What `sora maintain --keep-hours 1` does to the table, again and again, until all is written and old enough."""
    start_s, counts = time.monotonic(), {"compactions": 0, "vacuums": 0, "files_vacuumed": 0}
    is_last = False
    try:
        while not is_last:
            is_last = written.is_set() and time.monotonic() - start_s > old_files_s
            (upkeep,) = maintenance.maintain(
                root, keep_hours=maintenance.MIN_KEEP_HOURS, target_bytes=_TARGET_BYTES, names=[_NAME]
            )
            counts["compactions"] += upkeep.combined
            counts["vacuums"] += 1
            counts["files_vacuumed"] += upkeep.vacuumed
            time.sleep(_COMMIT_EVERY_S)
    finally:
        kept.set()
    return {**counts, "errors": []}


def _rows(commit: int) -> pa.Table:
    """The whole videos of one commit, on as many days as there are."""
    indices = range(commit * _VIDEOS_A_COMMIT, (commit + 1) * _VIDEOS_A_COMMIT)
    return pa.Table.from_pylist([row for index in indices for row in _video(index)], schema.FEATURES)


def _video(index: int) -> list[dict[str, Any]]:
    video_id = f"v{index}"
    video = {"video_id": video_id, "uri": f"file:///{video_id}.mp4", "version": "1", "num_frames": 16}
    lineage = {"model_name": "m", "model_version": "1", "model_digest": "d", "sampling_digest": "s", "run_key": "r"}
    ds = date(2026, 1, 1) + timedelta(days=index % _NUM_DAYS)
    return [
        {
            **video,
            **lineage,
            **{"clip_id": f"{video_id}-{k}", "clip_index": k, "start_s": float(k), "end_s": k + 1.0},
            **{"embedding": [0.5] * 64, "ds": ds, "produced_at": _NOW},
        }
        for k in range(num_slices(video_id))
    ]


def _replace_an_hour_ago(root: str, small: list[DataFile], replaced_at_s: float) -> None:
    """One file for many, in a log entry that says when: the same entry as tables.swap writes, but for its time."""
    state, then_ms = tables.open_table(root, _NAME), int(replaced_at_s * 1000)
    rows = pa.concat_tables([datafiles.read(root, _NAME, file) for file in small])
    actions: list[AddAction | RemoveAction] = [
        AddAction(
            one.path, one.size_bytes, dict(one.partition), then_ms, False, json.dumps({"numRecords": one.num_rows})
        )
        for one in datafiles.write(root, _NAME, rows)
    ]
    actions += [RemoveAction(one.path, False, then_ms, one.size_bytes, dict(one.partition)) for one in small]
    properties = CommitProperties(app_transactions=[Transaction("sora", tables.transaction(state) + 1)])
    partition_by = schema.PARTITIONS[_NAME]
    state.create_write_transaction(actions, "append", state.schema(), partition_by, commit_properties=properties)
    for file in small:
        _backdate(root, file, replaced_at_s)


def _leave_unnamed_files(root: str, old_files_s: float) -> None:
    """What killed runs leave: files of videos that no commit names, on local disk old enough to go one by one."""
    for commit in range(_OLD_COMMITS):
        expires_at_s = time.time() - 3600 * maintenance.MIN_KEEP_HOURS + old_files_s * commit / _OLD_COMMITS
        for file in datafiles.write(root, _NAME, _rows(commit)):
            _backdate(root, file, expires_at_s)


def _backdate(root: str, file: DataFile, at_s: float) -> None:
    if storage.is_local(root):  # an S3 server keeps its own times
        path = storage.local_path(storage.join(datafiles.table_uri(root, _NAME), file.path))
        os.utime(path, (at_s, at_s))
