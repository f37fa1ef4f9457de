"""Open, append to and rewrite the Delta tables of a root, with the fenced, idempotent commit.

    worker: datafiles.write    --> immutable Parquet, named by no commit yet, invisible to readers
    driver: TableWriter.commit --> one log entry that names the files and carries transaction ("sora", n + 1)

Two writers that commit at once carry the same n + 1: one wins, the other loads again, drops what is done, tries again.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from pipeline import datafiles, races, schema, storage
from pipeline.crashpoints import crash_point
from pipeline.datafiles import DataFile, Key, table_uri
from pipeline.errors import TableError

_APP = "sora"


def create_missing(root: str) -> None:
    """Create the tables a root does not have yet; existing ones get the columns that schema.py has grown by."""
    for name, columns in schema.TABLES.items():
        location, options = storage.delta_location(table_uri(root, name))
        create = functools.partial(DeltaTable.create, location, schema=columns, mode="ignore", name=name)
        partition_by = schema.PARTITIONS.get(name)
        state = storage.retried(functools.partial(create, partition_by=partition_by, storage_options=options))
        if _lacking(state, columns):
            _grow(root, name)


def open_table(root: str, name: str) -> DeltaTable:
    """The newest state of a table.

    Raises:
        TableError: the root holds no such table.
    """
    uri = table_uri(root, name)
    location, options = storage.delta_location(uri)
    try:
        return storage.retried(lambda: DeltaTable(location, storage_options=options))
    except TableNotFoundError as e:
        cure = f"run `sora catalog CORPUS --root {root}` first, or check the root's spelling"
        raise TableError(f"The root has no table `{name}`.", where=uri, cure=cure) from e


def open_there(root: str, names: Iterable[str] = schema.TABLES) -> dict[str, DeltaTable]:
    """The newest state of each table, in the given order, less those of schema.LATER that an older root lacks.

    Raises:
        TableError: the root lacks a table that every root has.
    """
    states: dict[str, DeltaTable] = {}
    for name in names:
        try:
            states[name] = open_table(root, name)
        except TableError:
            if name not in schema.LATER:
                raise
    return states


def read(root: str, name: str, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
    """Rows of a table's newest state, in the column order of schema.py."""
    return read_state(root, open_table(root, name), name, columns, where)


def read_state(
    root: str,
    state: DeltaTable,
    name: str,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Rows of one state of a table."""
    wanted = list(columns) if columns is not None else schema.TABLES[name].names
    return storage.retried(lambda: datafiles.dataset(root, name, state).to_table(columns=wanted, filter=where))


class TableWriter:
    """Commits files to one table; looks for their keys in it as soon as anybody else has committed.

    Args:
        root: The root's URI.
        name: The table.
        seen_transaction: The transaction the caller's plan was made from: what was committed up to it, and by this
            writer after it, is known to be disjoint from the files to come. None: nothing is known.
    """

    def __init__(self, root: str, name: str, *, seen_transaction: int | None = None):
        self._root, self._name = root, name
        self._disjoint_up_to = seen_transaction  # None for good once another writer was noticed

    def commit(self, files: Sequence[DataFile]) -> int:
        """Make files visible in one commit, less the rows whose key another writer has committed meanwhile.

        Returns:
            The number of rows this commit made visible.
        Raises:
            CommitConflictError: other writers won every attempt; the files stay invisible.
        """
        waiting = [file for file in files if file.num_rows]
        for attempt in range(races.MAX_ATTEMPTS):
            if not waiting:
                return 0
            state = open_table(self._root, self._name)
            if attempt and _is_committed(state, self._name, waiting):  # the response was lost, not the commit
                self._disjoint_up_to = None
                break
            if transaction(state) != self._disjoint_up_to:
                self._disjoint_up_to = None
                waiting = _without_committed_keys(self._root, self._name, state, waiting)
            if waiting and _try_commit(state, self._name, waiting):
                if self._disjoint_up_to is not None:
                    self._disjoint_up_to += 1
                break
            if waiting:
                races.wait(attempt)
        else:
            raise races.lost(self._name, table_uri(self._root, self._name))
        return sum(file.num_rows for file in waiting)


def transaction(state: DeltaTable) -> int:
    """The number of the last fenced commit in a state of a table; 0 before the first."""
    return state.transaction_version(_APP) or 0


def append(root: str, name: str, rows: pa.Table) -> int:
    """Write and commit rows; rows whose key is in the table already are dropped. Returns the rows added."""
    return TableWriter(root, name).commit(datafiles.write(root, name, rows))


def append_rows(root: str, name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """`append` for a few rows given as dictionaries; columns left out are null."""
    columns = schema.TABLES[name]
    complete = [{column: row.get(column) for column in columns.names} for row in rows]
    return append(root, name, pa.Table.from_pylist(complete, schema=columns))


def replace(root: str, name: str, where: pc.Expression, rows: Callable[[pa.Table], pa.Table]) -> None:
    """Take some rows out and put others in, in one commit; only the files that hold the taken rows are rewritten.

    Args:
        root: The root's URI.
        name: The table.
        where: Selects the rows to take out; over columns that are never null.
        rows: Makes the rows to put in from those taken out; called again when another writer won.
    Raises:
        CommitConflictError: other writers won every attempt; nothing has changed.
    """
    for attempt in range(races.MAX_ATTEMPTS):
        state = open_table(root, name)
        touched = [file for file in datafiles.files(name, state) if datafiles.has_rows(root, name, file, where)]
        before = [datafiles.read(root, name, file) for file in touched]
        nothing = schema.TABLES[name].empty_table()
        taken = pa.concat_tables([nothing, *(part.filter(where) for part in before)])
        kept = pa.concat_tables([nothing, *(part.filter(~where) for part in before)])
        assert taken.num_rows + kept.num_rows == sum(part.num_rows for part in before), f"{where} is null on a row"
        added = datafiles.write(root, name, pa.concat_tables([kept, rows(taken).select(kept.column_names)]))
        if not touched and not added:
            return
        if _try_commit(state, name, added, removed=touched):
            return
        races.wait(attempt)
    raise races.lost(name, table_uri(root, name))


def swap(
    root: str, name: str, removed: Sequence[DataFile], added: Sequence[DataFile], *, changed: bool = False
) -> bool:
    """Exchange committed files for new ones in one fenced commit.

    Args:
        changed: Whether the rows change; False where the same rows lie in other files afterwards.
    Returns:
        False where another writer took one of `removed` out first; nothing has changed then.
    Raises:
        CommitConflictError: other writers won every attempt; nothing has changed.
    """
    for attempt in range(races.MAX_ATTEMPTS):
        state = open_table(root, name)
        there = {file.path for file in datafiles.files(name, state)}
        if not there.issuperset(file.path for file in removed):
            return bool(added) and there.issuperset(file.path for file in added)  # True: the response was lost
        if _try_commit(state, name, added, removed=removed, changed=changed):
            return True
        races.wait(attempt)
    raise races.lost(name, table_uri(root, name))


def upsert(root: str, name: str, rows: pa.Table) -> None:
    """Insert rows, replacing those that have the same schema.KEYS, in one commit."""
    columns = schema.KEYS[name]
    keys = datafiles.distinct_keys(rows, columns)

    def merged(taken: pa.Table) -> pa.Table:
        others = taken.filter(pa.array([key not in keys for key in datafiles.row_keys(taken, columns)], pa.bool_()))
        return pa.concat_tables([others, rows.select(others.column_names).cast(others.schema)])

    replace(root, name, pc.field(columns[0]).isin(rows[columns[0]].unique()), merged)


def set_columns(root: str, name: str, values: Mapping[Key, Mapping[str, Any]]) -> None:
    """Set some columns of the rows with the given schema.KEYS, in one commit; rows that are not there are not made."""
    columns = schema.KEYS[name]

    def changed(taken: pa.Table) -> pa.Table:
        keyed = zip(datafiles.row_keys(taken, columns), taken.to_pylist(), strict=True)
        return pa.Table.from_pylist([{**row, **values.get(key, {})} for key, row in keyed], schema.TABLES[name])

    if values:
        replace(root, name, pc.field(columns[0]).isin(pa.array(sorted({key[0] for key in values}))), changed)


def _lacking(state: DeltaTable, columns: pa.Schema) -> list[Field]:
    there = {field.name for field in state.schema().fields}
    return [field for field in Schema.from_arrow(columns).fields if field.name not in there]


def _grow(root: str, name: str) -> None:
    """Add to the log's schema what it lacks: who reads by the log does not see those columns of the files otherwise."""
    for attempt in range(races.MAX_ATTEMPTS):
        state = open_table(root, name)
        lacking = _lacking(state, schema.TABLES[name])
        assert all(field.nullable for field in lacking), f"`{name}` may only grow by nullable columns, got {lacking}"
        if not lacking or races.is_won(functools.partial(state.alter.add_columns, lacking)):
            return
        races.wait(attempt)
    raise races.lost(name, table_uri(root, name))


def _try_commit(
    state: DeltaTable, name: str, added: Sequence[DataFile], *, removed: Sequence[DataFile] = (), changed: bool = True
) -> bool:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    actions: list[AddAction | RemoveAction] = [_add_action(file, now_ms, changed) for file in added]
    actions += [RemoveAction(file.path, changed, now_ms, file.size_bytes, dict(file.partition)) for file in removed]
    properties = CommitProperties(app_transactions=[Transaction(_APP, transaction(state) + 1)])
    partition_by = schema.PARTITIONS.get(name)
    crash_point("before_log_entry")
    commit = functools.partial(state.create_write_transaction, actions, "append", state.schema(), partition_by)
    if not races.is_won(functools.partial(commit, commit_properties=properties)):
        return False
    crash_point("after_log_entry")
    return True


def _is_committed(state: DeltaTable, name: str, files: Sequence[DataFile]) -> bool:
    there = {file.path for file in datafiles.files(name, state)}
    return any(file.path in there for file in files)


def _without_committed_keys(root: str, name: str, state: DeltaTable, files: Sequence[DataFile]) -> list[DataFile]:
    done = _committed_keys(root, state, name, files)
    kept: list[DataFile] = []
    for file in files:
        left = {key for key in file.keys if key not in done}
        if len(left) == len(file.keys):
            kept.append(file)
        elif left:
            rows = datafiles.read(root, name, file)
            mask = pa.array([key in left for key in datafiles.row_keys(rows, schema.KEYS[name])])
            kept += datafiles.write(root, name, rows.filter(mask))
    return kept


def _committed_keys(root: str, state: DeltaTable, name: str, files: Sequence[DataFile]) -> set[Key]:
    key_columns = schema.KEYS.get(name)
    if key_columns is None or state.version() == 0:
        return set()
    ids = pa.array(sorted({key[0] for file in files for key in file.keys}), pa.string())
    where = pc.field(key_columns[0]).isin(ids)
    for column in schema.PARTITIONS.get(name, []):
        if column in key_columns:
            where &= pc.field(column).isin(sorted({file.partition[column] for file in files}))
    return datafiles.distinct_keys(read_state(root, state, name, key_columns, where), key_columns)


def _add_action(file: DataFile, now_ms: int, changed: bool) -> AddAction:
    # The row count and no minima: readers through deltalake's to_pyarrow_dataset would find no row at all (see
    # datafiles.dataset). Random ids have no useful ranges anyway; the partitions do the skipping.
    stats = json.dumps({"numRecords": file.num_rows})
    return AddAction(file.path, file.size_bytes, dict(file.partition), now_ms, changed, stats)
