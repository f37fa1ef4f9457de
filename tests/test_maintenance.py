"""Upkeep: not a row is lost, doubled or torn, whoever else writes and reads."""

import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import datafiles, maintenance, schema, storage, tables
from pipeline.datafiles import DataFile
from pipeline.errors import SoraError
from pipeline.maintenance import Upkeep, plan_groups
from tests.support.sora import Sora
from tests.test_tables import feature_row

MB = 1 << 20
SLICES = 3


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A root with empty tables, once on local disk and once on the S3 server."""
    uri = local_root(tmp_path) if request.param == "local" else request.getfixturevalue("s3_root")
    tables.create_missing(uri)
    return str(uri)


def local_root(tmp_path: Path) -> str:
    uri = storage.normalize(str(tmp_path / "root"))
    tables.create_missing(uri)
    return uri


def video_rows(video_id: str, **changed: Any) -> list[dict[str, Any]]:
    return [{**feature_row(video_id, index), **changed} for index in range(SLICES)]


def maintain(root: str, *, keep_hours: int = 168, target_mb: int = 256) -> Upkeep:
    """Upkeep of `features` alone."""
    return next(maintenance.maintain(root, keep_hours=keep_hours, target_bytes=target_mb * MB, names=["features"]))


def paths(root: str, name: str = "features") -> set[str]:
    return {file.path for file in datafiles.files(name, tables.open_table(root, name))}


def clip_ids(root: str) -> list[str]:
    return sorted(tables.read(root, "features", ["clip_id"])["clip_id"].to_pylist())


def test_small_files_become_one_sorted_file_a_partition_and_go_in_the_end(root: str) -> None:
    for video_id in "ba":
        tables.append_rows(root, "features", video_rows(video_id))
        tables.append_rows(root, "features", video_rows(video_id, model_version="8", clip_id=f"{video_id}8"))
    before, old = tables.read(root, "features").sort_by("clip_id"), paths(root)
    upkeep = maintain(root)
    assert (upkeep.files_before, upkeep.files_after, upkeep.combined, upkeep.lost_races) == (4, 2, 2, 0)
    assert upkeep.bytes_after < upkeep.bytes_before
    assert tables.read(root, "features").sort_by("clip_id").equals(before)
    for file in datafiles.files("features", tables.open_table(root, "features")):
        rows = datafiles.read(root, "features", file)
        assert rows.equals(rows.sort_by([(column, "ascending") for column in schema.SORT_KEYS["features"]]))
    location, options = storage.delta_location(datafiles.table_uri(root, "features"))
    assert polars.scan_delta(location, storage_options=options).select(polars.len()).collect().item() == 12
    assert maintenance._vacuum(root, "features", 0) == 4
    log = tables.open_table(root, "features").version()
    assert maintenance._vacuum(root, "features", 0) == 0, "what is gone was removed again"
    assert tables.open_table(root, "features").version() == log
    uri = datafiles.table_uri(root, "features")
    assert not {found.uri for found in storage.list_objects(uri)} & {storage.join(uri, path) for path in old}
    assert tables.read(root, "features").num_rows == 12


def test_compaction_and_checkpoint_keep_the_fence(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    for video_id in "ab":
        tables.append_rows(root, "features", video_rows(video_id))
    maintain(root)
    assert tables.transaction(tables.open_table(root, "features")) == 3
    assert tables.append_rows(root, "features", [*video_rows("b"), *video_rows("c")]) == SLICES
    assert tables.transaction(tables.open_table(root, "features")) == 4
    assert set(Counter(clip_ids(root)).values()) == {1}


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    for video_id in "ab":
        tables.append_rows(root, "features", video_rows(video_id))
    assert not maintain(root).is_idle
    log = tables.open_table(root, "features").version()
    assert maintain(root).is_idle
    assert tables.open_table(root, "features").version() == log


def small(path: str, size_mb: float, ds: str = "2026-01-02", num_rows: int = 10) -> DataFile:
    return DataFile(path, int(size_mb * MB), num_rows, {"model_version": "7", "ds": ds}, ())


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        ([], []),
        ([small("a", 1)], []),
        ([small("a", 1), small("b", 2)], [["a", "b"]]),
        ([small("a", 1), small("b", 2, ds="2026-01-03")], []),
        ([small("a", 60), small("b", 1), small("c", 1)], [["b", "c"]]),
        ([small("a", 40), small("b", 40), small("c", 40)], [["a", "b"]]),
        ([small("a", 40), small("b", 40), small("c", 40), small("d", 40)], [["a", "b"], ["c", "d"]]),
        ([small("a", 1, num_rows=600_000), small("b", 1), small("c", 1)], [["b", "c"]]),
        ([small(path, 1, num_rows=400_000) for path in "abc"], [["a", "b"]]),
    ],
)
def test_groups_stay_in_their_partition_and_under_the_target(files: list[DataFile], groups: list[list[str]]) -> None:
    planned = plan_groups("features", files, 100 * MB)
    assert [[file.path for file in group] for group in planned] == groups


def test_no_combined_file_is_larger_than_the_target(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    for index in range(20):
        tables.append_rows(root, "features", video_rows(f"v{index:02}", uri=os.urandom(100_000).hex()))
    upkeep = maintain(root, target_mb=1)
    sizes = [file.size_bytes for file in datafiles.files("features", tables.open_table(root, "features"))]
    assert 1 < upkeep.combined == len(sizes) < 5
    assert max(sizes) <= MB
    assert len(set(clip_ids(root))) == 20 * SLICES


def age(path: Path, hours: float) -> None:
    os.utime(path, (time.time() - hours * 3600,) * 2)


def test_only_files_that_are_old_and_named_by_no_commit_are_removed(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    folder = storage.local_path(datafiles.table_uri(root, "features"))
    for video_id in "ab":
        tables.append_rows(root, "features", video_rows(video_id))
    taken_out_now = paths(root)
    orphans = [
        datafiles.write(root, "features", pa.Table.from_pylist(video_rows(name), schema.FEATURES))[0].path
        for name in ("young", "old")
    ]
    half_written = [
        f"{Path(orphans[0]).parent}/.part-x.parquet.1.tmp",
        ".part-y.parquet.2.tmp",
        ".part-z.parquet.3.tmp",
    ]
    for path in half_written:
        (folder / path).write_bytes(b"PAR1")
    for path in [*taken_out_now, orphans[1], *half_written[:2]]:
        age(folder / path, 49)
    upkeep = maintain(root, keep_hours=48)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*part-*") if path.is_file()}
    assert left == {*taken_out_now, *paths(root), orphans[0], half_written[2]}
    assert upkeep.vacuumed == 3
    assert len(clip_ids(root)) == 2 * SLICES


def test_entries_of_the_log_that_have_expired_go_and_the_table_says_the_same(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    log = storage.local_path(datafiles.table_uri(root, "features")) / "_delta_log"
    for index in range(12):
        tables.append_rows(root, "features", video_rows(f"v{index}"))
    for path in log.glob("*.json"):
        age(path, 31 * 24)
    maintain(root)
    assert len(list(log.glob("*.json"))) <= 2
    state = tables.open_table(root, "features")
    assert (tables.transaction(state), len(set(clip_ids(root)))) == (13, 12 * SLICES)
    assert tables.append_rows(root, "features", [*video_rows("v3"), *video_rows("w")]) == SLICES


def test_a_group_another_writer_was_faster_with_is_left_alone(tmp_path: Path) -> None:
    root = local_root(tmp_path)
    for video_id in "ab":
        tables.append_rows(root, "features", video_rows(video_id))
    group = list(datafiles.files("features", tables.open_table(root, "features")))
    tables.replace(root, "features", pc.field("video_id") == "a", lambda taken: taken.slice(0, 0))
    assert not maintenance._combine(root, "features", group)
    assert clip_ids(root) == ["b-1-0", "b-1-1", "b-1-2"]


@pytest.mark.parametrize("hurt", [lambda path: path.write_bytes(path.read_bytes()[:-9]), lambda path: path.unlink()])
def test_a_damaged_file_is_named_and_not_made_a_whole_one(tmp_path: Path, hurt: Callable[[Path], None]) -> None:
    root = local_root(tmp_path)
    for video_id in "ab":
        tables.append_rows(root, "features", video_rows(video_id))
    there = sorted(paths(root))
    hurt(storage.local_path(datafiles.table_uri(root, "features")) / there[0])
    with pytest.raises(SoraError, match=f"{there[0]}(?s:.*)sora verify"):
        maintain(root)
    assert sorted(paths(root)) == there


def _commit_videos(root: str, num_videos: int) -> None:
    """A writer of its own process: some commits know what the table held, as an extraction does, some do not."""
    writer = tables.TableWriter(root, "features", seen_transaction=0)
    for index in range(num_videos):
        rows = pa.Table.from_pylist(video_rows(f"v{index}"), schema.FEATURES)
        assert writer.commit(datafiles.write(root, "features", rows)) == SLICES
        assert tables.append_rows(root, "features", video_rows(f"v{index // 2}")) == 0


@pytest.fixture
def poller(root: str) -> Iterator[Sequence[object]]:
    """Reads the table again and again, and notes errors and videos that are torn or doubled."""
    noted: list[object] = []
    is_over = threading.Event()

    def poll() -> None:
        while not is_over.is_set():
            try:
                rows = tables.read(root, "features", ["video_id", "clip_index"])
                seen = Counter(rows["video_id"].to_pylist())
                noted.extend(f"{name}: {num} slices" for name, num in seen.items() if num != SLICES)
            except Exception as e:
                noted.append(e)
            is_over.wait(0.05)  # on two cores

    thread = threading.Thread(target=poll)
    thread.start()
    yield noted
    is_over.set()
    thread.join()


def test_a_writer_and_a_reader_meet_no_torn_lost_or_doubled_video_while_maintain_loops(
    root: str, poller: Sequence[object]
) -> None:
    num_videos = 40 if storage.is_local(root) else 6
    writer = multiprocessing.get_context("spawn").Process(target=_commit_videos, args=(root, num_videos))
    writer.start()
    combined = 0
    while writer.is_alive():
        combined += maintain(root, keep_hours=1).combined
        time.sleep(0.1)
    writer.join()
    assert writer.exitcode == 0
    assert combined > 1
    assert clip_ids(root) == sorted(f"v{index}-1-{k}" for index in range(num_videos) for k in range(SLICES))
    assert poller == []


def test_the_command_reports_each_table_and_is_recorded(tmp_path: Path, sora: Sora) -> None:
    root = local_root(tmp_path)
    for video_id in "ab":
        tables.append_rows(root, "features", video_rows(video_id))
    outcome = sora("maintain", "--root", root)
    assert outcome.code == 0
    assert "features     2 files -> 1" in outcome.out
    assert "labels       empty, nothing to do" in outcome.out
    counts = dict(sora.sql(root, "SELECT counts FROM runs WHERE job = 'maintain'")[0][0])
    assert {"features_files_before": 2, "features_files_after": 1}.items() <= counts.items()
    assert "features     1 files" in sora("maintain", "--root", root).out


@pytest.mark.parametrize("options", [("--keep-hours", 0), ("--keep-hours", 169), ("--target-mb", 513)])
def test_a_number_out_of_range_is_refused(tmp_path: Path, sora: Sora, options: tuple[str, int]) -> None:
    outcome = sora("maintain", "--root", local_root(tmp_path), *options)
    assert outcome.code == 2
    assert options[0] in outcome.err
