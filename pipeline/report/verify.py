"""Whether a root keeps its promises: every live video exactly once, by key set, and every committed file whole.

states of the tables --size, footer, row count of each file--> breaches --laws, in SQL over whole tables--> breaches
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipeline import datafiles, registry, schema, storage, tables, tracking
from pipeline.datafiles import DataFile
from pipeline.errors import SoraError
from pipeline.progress import OnProgress, Progress, unwatched
from pipeline.report.laws import FILE_LAWS, LAWS, PREPARED, Law

# A job commits to `failures` before `videos` (catalog) and to both before `features`; opened the other way round, a
# job that runs meanwhile looks unfinished, never broken. What is made of vectors comes before them for the same reason.
_OPENED = ("search_index", "predictions", "segments", "features", "videos", "failures", "labels", "runs", "ignored")
_KEY_TABLES = frozenset({"features", "videos", "failures"})
_LAW_TABLES = _KEY_TABLES | {"predictions"}
_MAX_EXAMPLES = 20
_FOOTER_BYTES = 64 << 10  # nearly every footer is smaller: one read a file
_READERS = 16  # footers are small: the wait is for the store


@dataclass(frozen=True)
class Finding:
    """A law that does not hold: in how many places, and the first twenty of them."""

    law: str
    what: str
    is_damage: bool  # False: work that is left
    count: int
    examples: list[dict[str, str]]  # uri, detail
    cure: str


@dataclass(frozen=True)
class Verdict:
    """What was looked at, what is wrong, and which laws were not looked at because of damaged files."""

    root: str
    model_version: str | None
    files: int
    live_videos: int
    done: int
    failed: int
    clips: int
    findings: list[Finding]
    not_checked: list[str]

    @property
    def is_damaged(self) -> bool:
        """Whether something is wrong that no job cures by itself."""
        return any(finding.is_damage for finding in self.findings)


@dataclass(frozen=True)
class _Breach:
    law: str
    table: str
    uri: str
    detail: str


def verify(
    root: str, *, model: str = tracking.CHAMPION, fast: bool = False, on_progress: OnProgress = unwatched
) -> Verdict:
    """Check the files and the key sets of a root; changes nothing, and may run beside any job.

    Args:
        root: The root's URI.
        model: Whose vectors are checked; in a root without a champion every video is missing.
        fast: Compare the files' sizes and read no footer.
        on_progress: Told after every footer.
    Raises:
        CheckpointError: the model reference leads nowhere.
        TableError: the root has no tables.
        SoraError: a file that has the right size cannot be read.
    """
    root = storage.normalize(root)
    reference = registry.find(root, model)
    states = tables.open_there(root, _OPENED)
    files = {name: list(datafiles.files(name, state)) for name, state in states.items()}
    breaches = [breach for name in states for breach in _file_breaches(root, name, files[name], fast, on_progress)]
    damaged = frozenset(breach.table for breach in breaches)
    findings = [_file_finding(law, [breach for breach in breaches if breach.law == law.name]) for law in FILE_LAWS]
    checked = [law for law in LAWS if not law.needs & damaged]
    try:
        connection = _connect(root, states, damaged, reference)
        findings += [_key_finding(root, law, connection) for law in checked]
        counts = {} if damaged & _KEY_TABLES else _counts(connection)
    except (duckdb.Error, pa.ArrowInvalid, OSError) as e:
        cure = (
            "run it again, and without --fast; if it stays, the message names the file: handle it as one that is gone"
        )
        raise SoraError("A committed file of the right size cannot be read.", where=root, got=e, cure=cure) from e
    return Verdict(
        root=root,
        model_version=reference.version if reference else None,
        files=sum(len(of_table) for of_table in files.values()),
        **{name: counts.get(name, 0) for name in _COUNTS},
        findings=[finding for finding in findings if finding.count],
        not_checked=[law.name for law in LAWS if law not in checked],
    )


def _file_breaches(
    root: str, name: str, files: Sequence[DataFile], fast: bool, on_progress: OnProgress
) -> Iterator[_Breach]:
    """One breach a file at most: the first of gone, size, footer, row count."""
    base = datafiles.table_uri(root, name)
    sizes = {found.uri: found.size_bytes for found in storage.list_objects(base)} if files else {}
    whole: list[DataFile] = []
    for file in files:
        uri = storage.join(base, file.path)
        if uri not in sizes:
            yield _Breach("file_gone", name, uri, f"{file.num_rows} rows of {name}")
        elif sizes[uri] != file.size_bytes:
            yield _Breach("file_size", name, uri, f"{sizes[uri]} bytes, committed were {file.size_bytes}")
        else:
            whole.append(file)
    if not fast:
        yield from _footer_breaches(base, name, whole, on_progress)


def _footer_breaches(base: str, name: str, files: Sequence[DataFile], on_progress: OnProgress) -> Iterator[_Breach]:
    uris = [storage.join(base, file.path) for file in files]
    with ThreadPoolExecutor(_READERS) as pool:
        results = pool.map(_num_rows, uris, [file.size_bytes for file in files])
        for done, (uri, file, result) in enumerate(zip(uris, files, results, strict=True), start=1):
            if isinstance(result, str):
                yield _Breach("file_unreadable", name, uri, result)
            elif result != file.num_rows:
                yield _Breach("file_rows", name, uri, f"{result} rows, committed were {file.num_rows}")
            on_progress(Progress(f"files of {name}", done, len(files), unit="files"))


def _num_rows(uri: str, size_bytes: int) -> int | str:
    """Rows a file has by its footer, or why it has none.

    Reading and parsing apart: pyarrow raises OSError for a store that is away and for a broken footer alike.
    """
    tail = _tail(uri, size_bytes, _FOOTER_BYTES)
    num_footer_bytes = int.from_bytes(tail[-8:-4], "little") + 8
    if len(tail) < num_footer_bytes <= size_bytes:
        tail = _tail(uri, size_bytes, num_footer_bytes)
    try:
        return int(pq.read_metadata(pa.BufferReader(tail)).num_rows)
    except (pa.ArrowException, OSError) as e:
        return str(e)


def _tail(uri: str, size_bytes: int, num_bytes: int) -> bytes:
    filesystem, path = storage.filesystem(uri)
    start = max(0, size_bytes - num_bytes)
    return bytes(storage.retried(lambda: filesystem.cat_file(path, start=start, end=size_bytes)))


def _connect(
    root: str, states: dict[str, DeltaTable], damaged: frozenset[str], reference: registry.ModelReference | None
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    is_wanted = pc.field("model_version") == (reference.version if reference else "")
    for name in _LAW_TABLES - damaged:
        rows = datafiles.dataset(root, name, states[name]) if name in states else schema.TABLES[name].empty_table()
        connection.register(name, rows.filter(is_wanted) if name == "predictions" else rows)
    if "features" not in damaged:
        connection.register("vectors", datafiles.dataset(root, "features", states["features"]).filter(is_wanted))
    connection.execute("SET VARIABLE digest = ?", [reference.digest if reference else ""])
    for needs, statement in PREPARED:
        if not needs & damaged:
            connection.execute(statement)
    return connection


def _key_finding(root: str, law: Law, connection: duckdb.DuckDBPyConnection) -> Finding:
    text = f"SELECT uri, detail, count(*) OVER () FROM ({law.query}) ORDER BY uri, detail LIMIT {_MAX_EXAMPLES}"
    rows = connection.execute(text).fetchall()
    examples = [{"uri": uri, "detail": detail} for uri, detail, _ in rows]
    count = int(rows[0][2]) if rows else 0
    return Finding(law.name, law.what, law.is_damage, count, examples, law.cure.format(root=root))


def _file_finding(law: Law, breaches: Sequence[_Breach]) -> Finding:
    examples = [{"uri": breach.uri, "detail": breach.detail} for breach in breaches[:_MAX_EXAMPLES]]
    return Finding(law.name, law.what, law.is_damage, len(breaches), examples, law.cure)


_COUNTS = {
    "live_videos": "SELECT count(*) FROM live",
    "done": "SELECT count(*) FROM live SEMI JOIN done USING (video_id, version)",
    "failed": "SELECT count(*) FROM live SEMI JOIN newest_failures USING (video_id, version) "
    "ANTI JOIN done USING (video_id, version)",
    "clips": "SELECT coalesce(sum(num_rows), 0)::BIGINT FROM done",
}


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    return {name: connection.execute(text).fetchall()[0][0] for name, text in _COUNTS.items()}
