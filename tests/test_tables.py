"""Tables: a commit is whole or not there, a key is there once, every engine reads the same rows."""

import multiprocessing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from benchmarks.faults.proxy import FaultProxy
from benchmarks.faults.schedule import FaultRates
from pipeline import datafiles, races, schema, storage, tables
from pipeline.errors import TableError
from pipeline.s3_client import store_errors
from tests.support.s3_server import S3Server

DS = date(2026, 1, 2)


def feature_row(video_id: str, clip_index: int, version: str = "1") -> dict[str, Any]:
    """A row of `features` whose vector spells its place."""
    return {
        "clip_id": f"{video_id}-{version}-{clip_index}",
        **{"video_id": video_id, "uri": f"file:///{video_id}", "version": version, "clip_index": clip_index},
        **{"start_s": float(clip_index), "end_s": clip_index + 1.0, "num_frames": 16},
        **{"embedding": [float(clip_index), 0.5, -1.0], "recon_error": 0.25, "motion": 0.125},
        **{"model_name": "m", "model_version": "7", "model_digest": "d", "sampling_digest": "s"},
        **{"run_key": "r", "ds": DS, "produced_at": datetime(2026, 1, 2, 3, tzinfo=UTC)},
    }


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A root with empty tables, once on local disk and once on the S3 server."""
    uri = storage.normalize(str(tmp_path / "root")) if request.param == "local" else request.getfixturevalue("s3_root")
    tables.create_missing(uri)
    return str(uri)


def test_creating_twice_keeps_what_is_there(root: str) -> None:
    tables.append_rows(root, "features", [feature_row("a", 0)])
    tables.create_missing(root)
    assert tables.read(root, "features").num_rows == 1


def test_a_table_from_before_gets_the_columns_it_lacks_and_keeps_its_rows(root: str) -> None:
    new = ("motion_score", "cut_candidates_s", "perceptual_digest")
    before = pa.schema([field for field in schema.VIDEOS if field.name not in new])
    place = storage.join(root, "before")
    location, options = storage.delta_location(datafiles.table_uri(place, "videos"))
    DeltaTable.create(location, schema=before, name="videos", storage_options=options)
    row = {"video_id": "a", "uri": "u", "version": "1", "status": "ok"}
    nulls = dict.fromkeys(before.names)
    write_deltalake(location, pa.Table.from_pylist([nulls | row], before), mode="append", storage_options=options)
    stale = tables.open_table(place, "videos")
    tables.create_missing(place)
    tables.create_missing(place)
    assert tables.open_table(place, "videos").version() == stale.version() + 1, "grown once"
    assert not races.is_won(lambda: stale.create_write_transaction([], "append", stale.schema()))
    late = {**row, "video_id": "b", "motion_score": 1.5, "cut_candidates_s": [0.5, 2.0]}
    assert tables.append_rows(place, "videos", [row, late]) == 1, "the key of the old row is known"
    tables.set_columns(place, "videos", {("a", "1"): {"motion_score": 2.5}})
    frame = polars.scan_delta(location, storage_options=options).select("video_id", *new).sort("video_id").collect()
    assert frame.rows() == [("a", 2.5, None, None), ("b", 1.5, [0.5, 2.0], None)]
    assert tables.read(place, "videos", ["status"])["status"].to_pylist() == ["ok", "ok"]


def test_a_file_no_commit_names_is_invisible(root: str) -> None:
    files = datafiles.write(root, "features", pa.Table.from_pylist([feature_row("a", 0)], schema.FEATURES))
    assert tables.read(root, "features").num_rows == 0
    tables.TableWriter(root, "features").commit(files)
    assert tables.read(root, "features").num_rows == 1


def test_a_video_that_is_there_is_not_added_again_but_its_neighbours_are(root: str) -> None:
    assert tables.append_rows(root, "features", [feature_row("a", 0), feature_row("a", 1)]) == 2
    assert tables.append_rows(root, "features", [feature_row("a", 0), feature_row("b", 0)]) == 1
    assert tables.append_rows(root, "features", [feature_row("b", 0)]) == 0
    ids = tables.read(root, "features", ["clip_id"])["clip_id"].to_pylist()
    assert sorted(ids) == ["a-1-0", "a-1-1", "b-1-0"]


def test_a_writer_that_planned_before_another_won_drops_what_the_other_did(root: str) -> None:
    late = tables.TableWriter(root, "features", seen_transaction=0)
    mine = datafiles.write(
        root, "features", pa.Table.from_pylist([feature_row("a", 0), feature_row("b", 0)], schema.FEATURES)
    )
    tables.append_rows(root, "features", [feature_row("a", 0)])
    assert late.commit(mine) == 1
    assert sorted(tables.read(root, "features", ["video_id"])["video_id"].to_pylist()) == ["a", "b"]


def test_a_writer_that_met_another_once_looks_for_the_keys_of_every_later_batch(root: str) -> None:
    writer = tables.TableWriter(root, "features", seen_transaction=0)
    tables.append_rows(root, "features", [feature_row("x", 0)])
    for video_id, added in (("a", 1), ("x", 0), ("b", 1)):
        rows = pa.Table.from_pylist([feature_row(video_id, 0)], schema.FEATURES)
        assert writer.commit(datafiles.write(root, "features", rows)) == added
    assert sorted(tables.read(root, "features", ["video_id"])["video_id"].to_pylist()) == ["a", "b", "x"]


def test_every_filter_finds_its_rows(root: str) -> None:
    tables.append_rows(root, "features", [feature_row("a", 0), feature_row("b", 1)])
    for where in (
        pc.field("video_id") == "a",
        pc.field("uri") == "file:///a",
        pc.field("start_s") < 0.5,
        (pc.field("model_version") == "7") & (pc.field("clip_index") == 0),
    ):
        assert tables.read(root, "features", ["video_id"], where)["video_id"].to_pylist() == ["a"]


def test_merged_rows_replace_and_updated_columns_leave_the_rest(root: str) -> None:
    first = {"video_id": "a", "uri": "u", "version": "1", "status": "ok", "codec": "h264"}
    tables.append_rows(root, "videos", [first, {**first, "video_id": "b"}])
    tables.set_columns(root, "videos", {("a", "1"): {"status": "vanished"}})
    rows = tables.read(root, "videos", ["video_id", "status", "codec"]).sort_by("video_id").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a", "vanished", "h264"), ("b", "ok", "h264")]
    complete = {name: {**first, "codec": "vp9"}.get(name) for name in schema.VIDEOS.names}
    tables.upsert(root, "videos", pa.Table.from_pylist([complete], schema.VIDEOS))
    found = tables.read(root, "videos", ["status", "codec"], pc.field("video_id") == "a").to_pylist()
    assert found == [{"status": "ok", "codec": "vp9"}]
    assert tables.read(root, "videos").num_rows == 2


def test_a_label_source_can_be_taken_out_whatever_its_name(root: str) -> None:
    for source in ("it's", 'a "b"'):
        tables.append_rows(root, "labels", [{"video_id": "a", "uri": "u", "label": "x", "source": source}])
    tables.replace(root, "labels", pc.field("source") == "it's", lambda taken: taken.slice(0, 0))
    assert tables.read(root, "labels", ["source"])["source"].to_pylist() == ['a "b"']


def test_polars_duckdb_and_pyarrow_read_the_same_rows_and_sums(root: str) -> None:
    tables.append_rows(root, "features", [feature_row(f"v{i}", k) for i in range(5) for k in range(3)])
    tables.append_rows(root, "features", [feature_row("w", 4)])
    state = tables.open_table(root, "features")
    arrow = tables.read(root, "features", ["clip_id", "embedding"])
    expected = (16, sum(sum(vector) for vector in arrow["embedding"].to_pylist()))
    location, options = storage.delta_location(datafiles.table_uri(root, "features"))
    frame = polars.scan_delta(location, storage_options=options).select("embedding").collect()
    assert (frame.height, frame["embedding"].list.sum().sum()) == expected
    connection = duckdb.connect()
    if not storage.is_local(root):
        connection.register_filesystem(storage.filesystem(root)[0])
    counted = connection.execute(
        "SELECT count(*), sum(list_sum(embedding)) FROM read_parquet(?, hive_partitioning = true)", [state.file_uris()]
    ).fetchone()
    assert counted == expected


def test_a_root_without_tables_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="sora catalog"):
        tables.open_table(str(tmp_path), "videos")


def _append_all(arguments: tuple[str, int]) -> int:
    root, writer = arguments
    keys = list(range(12))
    keys = keys[writer * 3 :] + keys[: writer * 3]
    return sum(tables.append_rows(root, "features", [feature_row(f"v{k}", 0), feature_row(f"v{k}", 1)]) for k in keys)


def test_four_racing_writers_put_every_key_there_once(root: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        added = pool.map(_append_all, [(root, writer) for writer in range(4)])
    ids = tables.read(root, "features", ["clip_id"])["clip_id"].to_pylist()
    assert sorted(ids) == sorted(f"v{k}-1-{c}" for k in range(12) for c in range(2))
    assert sum(added) == 24


def test_cut_answers_reset_connections_and_lost_responses_cost_no_row_of_a_commit(
    s3_root: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of the log that was cut once ended a run with a traceback (seed 20 of the fault schedules)."""
    tables.create_missing(s3_root)
    rates = FaultRates(slow_down=0.05, reset=0.05, lost=0.05, cut=0.15)
    with FaultProxy(s3_server.endpoint_url, rates, seed=20) as proxy, monkeypatch.context() as through_proxy:
        through_proxy.setenv("AWS_ENDPOINT_URL", proxy.url)
        for number in range(12):
            tables.append_rows(s3_root, "features", [feature_row(f"v{number}", index) for index in range(3)])
    assert min(proxy.counts[fault] for fault in ("cut", "lost", "reset")) > 0, proxy.counts
    keys = tables.read(s3_root, "features", ["video_id", "clip_index"]).to_pylist()
    assert sorted((key["video_id"], key["clip_index"]) for key in keys) == sorted(
        (f"v{number}", index) for number in range(12) for index in range(3)
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Error getting list response body: Generic S3 error: HTTP error", OSError),
        ("Generic S3 error: Server returned 403 Forbidden", PermissionError),
        ("Generic S3 error: HTTP error for part-4031.parquet", OSError),
        ("Invalid table version", DeltaError),
    ],
)
def test_what_deltalake_says_of_its_store_is_a_storage_error(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, store_errors():
        raise DeltaError(text)
    assert type(caught.value) is kind
