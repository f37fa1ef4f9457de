"""Upkeep of the tables: small files into large ones, old files away, a run taken out again. Safe beside running jobs.

small files of a partition --datafiles.write--> one large, sorted file --tables.swap--> visible, the small ones no more
files no commit names, older than keep_hours --vacuum--> gone
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from deltalake import DeltaTable

from pipeline import datafiles, schema, storage, tables
from pipeline.datafiles import DataFile, table_uri
from pipeline.errors import CommitConflictError, ConfigError, SoraError
from pipeline.progress import OnProgress, Progress, unwatched

MIN_KEEP_HOURS = 1  # a written file waits for its commit for seconds, and never beyond a job's --stall-minutes (30)
MAX_KEEP_HOURS = 168  # a checkpoint of the log forgets after a week which files were taken out, and when
MAX_TARGET_BYTES = 512 << 20
_MAX_ROWS_A_FILE = 1_000_000  # bounds the memory of tables whose rows compress to next to nothing
_CATALOG_STAGES = ["probe", "preview"]
_UNDONE_JOBS = ["extract", "classify predict"]  # whose rows a rollback takes out
_MAX_PASSES = 20
_READERS = 16  # footers are small: the wait is for the store


@dataclass(frozen=True)
class Upkeep:
    """What was done to one table: groups of small files combined, or left because another writer was faster."""

    name: str
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    combined: int
    lost_races: int
    vacuumed: int

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.combined or self.lost_races or self.vacuumed)


@dataclass(frozen=True)
class RolledBack:
    """Rows a rollback took out."""

    features: int
    failures: int
    predictions: int


def maintain(
    root: str,
    *,
    keep_hours: int,
    target_bytes: int,
    on_progress: OnProgress = unwatched,
    names: Iterable[str] | None = None,
) -> Iterator[Upkeep]:
    """Compact, vacuum and checkpoint tables, one after the other.

    Args:
        root: The root's URI, normalized.
        keep_hours: Age from which files that no commit names are removed, in [1, 168].
        target_bytes: Size that compacted files come close to and never pass, in [1, 512] MiB.
        on_progress: Told after every group of files.
        names: The tables; None: all that are there.
    Returns:
        What was done to each table, as it is done.
    Raises:
        ConfigError: a number is out of range.
        TableError: the root has no tables.
        SoraError: a committed file is not readable.
    """
    _check_range("--keep-hours", keep_hours, MIN_KEEP_HOURS, MAX_KEEP_HOURS, "younger files may be a running job's")
    _check_range("--target-mb", target_bytes / 2**20, 1, MAX_TARGET_BYTES / 2**20, "a file must fit into memory")
    wanted = tables.open_there(root) if names is None else names
    return (_maintain(root, name, keep_hours, target_bytes, on_progress) for name in wanted)


def plan_groups(name: str, files: Sequence[DataFile], target_bytes: int) -> list[list[DataFile]]:
    """Which files to combine: at least two small ones of one partition, together no larger than the target.

    A file of half the target is left alone, so that no row is rewritten night after night.
    """
    columns = schema.PARTITIONS.get(name, [])

    def partition(file: DataFile) -> list[str]:
        return [file.partition[column] for column in columns]

    small = [file for file in files if 2 * file.size_bytes < target_bytes and 2 * file.num_rows < _MAX_ROWS_A_FILE]
    small.sort(key=lambda file: (partition(file), file.size_bytes, file.path))
    return [
        group
        for _, of_partition in groupby(small, key=partition)
        for group in _packed(of_partition, target_bytes)
        if len(group) > 1
    ]


def rollback(root: str, run_key: str) -> RolledBack:
    """Take out what one run put into `features`, `failures` and `predictions`; memory holds one file at a time.

    Args:
        root: The root's URI, normalized.
        run_key: The run; it must have ended, or what it commits later stays.
    Raises:
        ConfigError: no such run is known, or it is one of `catalog`.
        CommitConflictError: other writers kept winning; each table is as before or done.
    """
    jobs = _jobs_of(root, run_key)
    if "catalog" in jobs:
        got, cure = f"{run_key}, a run of `catalog`", "run `sora catalog` again, with --retry-failed for failed probes"
        raise ConfigError("Only runs of `extract` and `classify` can be taken back.", where="--run", got=got, cure=cure)
    of_run = pc.field("run_key") == run_key
    taken = RolledBack(
        features=_take_out(root, "features", of_run),
        failures=_take_out(root, "failures", of_run & ~pc.field("stage").isin(_CATALOG_STAGES)),
        predictions=_take_out(root, "predictions", of_run) if tables.open_there(root, ["predictions"]) else 0,
    )
    if not (jobs or any(asdict(taken).values())):
        raise _unknown_run(root, run_key)
    return taken


def _maintain(root: str, name: str, keep_hours: int, target_bytes: int, on_progress: OnProgress) -> Upkeep:
    before = list(datafiles.files(name, tables.open_table(root, name)))
    groups = plan_groups(name, before, target_bytes)
    num_combined = 0
    for done, group in enumerate(groups, start=1):
        num_combined += _combine(root, name, group)
        on_progress(Progress(f"compact {name}", done, len(groups), unit="groups of files"))
    num_vacuumed = _vacuum(root, name, keep_hours)
    state = tables.open_table(root, name)
    _checkpoint(root, name, state)
    after = list(datafiles.files(name, state))
    return Upkeep(
        name,
        files_before=len(before),
        files_after=len(after),
        bytes_before=_bytes(before),
        bytes_after=_bytes(after),
        combined=num_combined,
        lost_races=len(groups) - num_combined,
        vacuumed=num_vacuumed,
    )


def _packed(files: Iterator[DataFile], target_bytes: int) -> Iterator[list[DataFile]]:
    group: list[DataFile] = []
    num_bytes = num_rows = 0
    for file in files:
        num_bytes, num_rows = num_bytes + file.size_bytes, num_rows + file.num_rows
        if group and (num_bytes > target_bytes or num_rows > _MAX_ROWS_A_FILE):
            yield group
            group, num_bytes, num_rows = [], file.size_bytes, file.num_rows
        group.append(file)
    yield group


def _combine(root: str, name: str, group: Sequence[DataFile]) -> bool:
    added = datafiles.write(root, name, pa.concat_tables([_read_whole(root, name, file) for file in group]))
    return tables.swap(root, name, group, added)


def _read_whole(root: str, name: str, file: DataFile) -> pa.Table:
    """The rows of a committed file, all of them: a cut file must not become a small whole one."""
    expected = f"{file.num_rows} rows in {file.size_bytes} bytes"
    try:
        rows = datafiles.read(root, name, file)
    except (FileNotFoundError, pa.ArrowInvalid) as e:
        raise _damaged(root, name, file, f"{type(e).__name__}: {e}", expected) from e
    if rows.num_rows != file.num_rows:
        raise _damaged(root, name, file, f"{rows.num_rows} rows", expected)
    return rows


def _vacuum(root: str, name: str, keep_hours: int) -> int:
    """Files taken out, or written and never committed, before `keep_hours`; deltalake's own checks say which.

    The log names files that were removed long ago for up to a week more: only those that are there count.
    """
    state, folder = tables.open_table(root, name), table_uri(root, name)

    def vacuum(*, dry_run: bool) -> list[str]:
        return storage.retried(
            lambda: state.vacuum(keep_hours, dry_run=dry_run, enforce_retention_duration=False, full=True)
        )

    with ThreadPoolExecutor(_READERS) as pool:
        num_there = sum(pool.map(lambda path: storage.exists(storage.join(folder, path)), vacuum(dry_run=True)))
    if num_there:
        vacuum(dry_run=False)
    return num_there + _remove_temporaries(root, name, keep_hours)


def _remove_temporaries(root: str, name: str, keep_hours: int) -> int:
    """What writers killed half-way left on local disk; deltalake takes hidden files at a table's top for its own."""
    if not storage.is_local(root):
        return 0  # S3 shows an object whole or not at all
    folder = storage.local_path(table_uri(root, name))
    oldest_s = (datetime.now(UTC) - timedelta(hours=keep_hours)).timestamp()
    found = [path for path in folder.glob(".part-*.tmp") if path.stat().st_mtime < oldest_s]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _checkpoint(root: str, name: str, state: DeltaTable) -> None:
    """One file that stands for the whole log so far, and the log's entries older than its retention (30 days) away."""
    version = f"{state.version():020d}"
    if not storage.exists(storage.join(table_uri(root, name), "_delta_log", f"{version}.checkpoint.parquet")):
        storage.retried(state.create_checkpoint)
        storage.retried(state.cleanup_metadata)


def _take_out(root: str, name: str, where: pc.Expression) -> int:
    unresolved = 0  # rows of a pass that was lost to another writer, or whose answer was
    for _ in range(_MAX_PASSES):
        touched = _touched(root, name, tables.open_table(root, name), where)
        if not touched:
            return unresolved
        added = [
            kept
            for file, num_hits in touched
            if num_hits < file.num_rows
            for kept in datafiles.write(root, name, _read_whole(root, name, file).filter(~where))
        ]
        num_taken = sum(num_hits for _, num_hits in touched)
        if tables.swap(root, name, [file for file, _ in touched], added, changed=True):
            return num_taken
        unresolved = num_taken
    raise CommitConflictError("Other writers kept winning.", where=table_uri(root, name), cure="run it again")


def _touched(root: str, name: str, state: DeltaTable, where: pc.Expression) -> list[tuple[DataFile, int]]:
    """The files that hold rows of `where`, and how many."""
    files = list(datafiles.files(name, state))
    fragments = list(datafiles.dataset(root, name, state).get_fragments())
    with ThreadPoolExecutor(_READERS) as pool:
        counts = pool.map(_counter(where), fragments)
        return [(file, num_hits) for file, num_hits in zip(files, counts, strict=True) if num_hits]


def _counter(where: pc.Expression) -> Callable[[pads.Fragment], int]:
    return lambda fragment: storage.retried(lambda: int(fragment.count_rows(filter=where)))


def _jobs_of(root: str, run_key: str) -> set[str]:
    """Jobs that `runs` knows under the key; a run killed too soon to leave a row is known by its rollback."""
    rows = tables.read(root, "runs", ["run_key", "job", "status", "config"]).to_pylist()
    return {row["job"] for row in rows if run_key in (row["run_key"], _rolled_back(row))}


def _rolled_back(row: Mapping[str, str]) -> object:
    is_rollback = row["job"] == "rollback" and row["status"] == "succeeded"
    return json.loads(row["config"]).get("run") if is_rollback else None


def _unknown_run(root: str, run_key: str) -> ConfigError:
    runs = tables.read(root, "runs", ["run_key", "job", "started_at"], pc.field("job").isin(_UNDONE_JOBS))
    recent = runs.sort_by([("started_at", "descending")]).slice(0, 10).to_pylist()
    known = [f"{row['run_key']}  {row['job']}, started {row['started_at']:%Y-%m-%d %H:%M} UTC" for row in recent]
    return ConfigError(
        "The root knows no run with this key.",
        where=root,
        got=run_key,
        expected="\n    ".join(["one of the last runs", *(known or ["of `extract` or `classify predict`: none"])]),
        cure=f'look further back: sora sql --root {root} "SELECT run_key, job, started_at FROM runs"',
    )


def _damaged(root: str, name: str, file: DataFile, got: str, expected: str) -> SoraError:
    where = storage.join(table_uri(root, name), file.path)
    cure = f"`sora verify --root {root}` names all such files and what to do"
    return SoraError("A committed file is damaged.", where=where, got=got, expected=expected, cure=cure)


def _check_range(option: str, value: float, low: float, high: float, reason: str) -> None:
    if not low <= value <= high:
        raise ConfigError(
            "A number is out of range.",
            where=option,
            got=f"{value:g}",
            expected=f"[{low:g}, {high:g}]: {reason}",
        )


def _bytes(files: Sequence[DataFile]) -> int:
    return sum(file.size_bytes for file in files)
