"""The keys of `features`, read as users read them: the README's recipes, and our own reader."""

from collections.abc import Callable, Iterable

import duckdb
import polars
from deltalake import DeltaTable

from pipeline import datafiles, storage, tables
from pipeline.tasks import query

_KEY = ["video_id", "clip_index"]
ClipKeys = Iterable[tuple[str, int]]


def read_keys(engine: str, root: str) -> list[tuple[str, int]]:
    """(video_id, clip_index) of every row of the newest state that the engine finds."""
    return list(ENGINES[engine](root))


def _polars(root: str) -> ClipKeys:
    location, options = storage.delta_location(datafiles.table_uri(root, "features"))
    return polars.scan_delta(location, storage_options=options).select(_KEY).collect().rows()


def _duckdb(root: str) -> ClipKeys:
    """DuckDB over the list of files that the log names, with nothing of ours but the S3 settings."""
    uri = datafiles.table_uri(root, "features")
    location, options = storage.delta_location(uri)
    paths = DeltaTable(location, storage_options=options).file_uris()
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET enable_progress_bar = false")  # it would stand in the JSON
    if not storage.is_local(root):
        connection.register_filesystem(storage.filesystem(uri)[0])
    return connection.execute(f"SELECT {', '.join(_KEY)} FROM read_parquet(?)", [paths]).fetchall()


def _sora_sql(root: str) -> ClipKeys:
    rows = query.sql(root, f"SELECT {', '.join(_KEY)} FROM features")
    return zip(*(rows[name].to_pylist() for name in _KEY), strict=True)


def _pyarrow(root: str) -> ClipKeys:
    rows = tables.read(root, "features", _KEY)
    return zip(*(rows[name].to_pylist() for name in _KEY), strict=True)


ENGINES: dict[str, Callable[[str], ClipKeys]] = {
    "polars": _polars,
    "duckdb": _duckdb,
    "sora_sql": _sora_sql,
    "pyarrow": _pyarrow,
}
