"""The immutable Parquet files of a table: written by workers under names of their own, read back file by file."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipeline import schema, storage

Key = tuple[str, ...]


@dataclass(frozen=True)
class DataFile:
    """A Parquet file below a table's folder; visible to readers only once a commit names it."""

    path: str  # relative to the table
    size_bytes: int
    num_rows: int
    partition: Mapping[str, str]
    keys: tuple[Key, ...]  # the distinct schema.KEYS values inside, () for tables without a key


def table_uri(root: str, name: str) -> str:
    return storage.join(root, "tables", name)


def write(root: str, name: str, rows: pa.Table) -> list[DataFile]:
    """Write rows as one Parquet file for each partition value, under names of their own.

    Args:
        root: The root's URI.
        name: The table.
        rows: Columns of schema.TABLES[name], in any order; sorted here by schema.SORT_KEYS.
    Returns:
        What a commit must know of each file. Nothing is visible to readers yet.
    """
    rows = rows.select(schema.TABLES[name].names).cast(schema.TABLES[name])
    if rows.num_rows == 0:
        return []
    partition_columns = schema.PARTITIONS.get(name, [])
    if not partition_columns:
        return [_write_one(root, name, rows, {})]
    values = rows.select(partition_columns).group_by(partition_columns).aggregate([]).to_pylist()
    return [_write_one(root, name, _of_partition(rows, value), value) for value in values]


def read(root: str, name: str, file: DataFile) -> pa.Table:
    """All rows of one file, partition columns included."""
    data = storage.read_bytes(storage.join(table_uri(root, name), file.path))
    rows = pq.read_table(BytesIO(data))
    for column, value in file.partition.items():
        rows = rows.append_column(column, _partition_value(name, column, value, rows.num_rows))
    for field in schema.TABLES[name]:
        if field.name not in rows.column_names:  # written before the schema grew by this column
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.TABLES[name].names).cast(schema.TABLES[name])


def dataset(root: str, name: str, state: DeltaTable, *, dictionary: Sequence[str] = ()) -> pads.Dataset:
    """The rows of one state of a table as an Arrow dataset, partitions pruned by the log.

    Args:
        dictionary: String columns to give dictionary-encoded, which is faster where values repeat.

    Not deltalake's own to_pyarrow_dataset: it takes a column without statistics for "never equal", and compares string
    columns that deltalake has rewritten with string_view, which Arrow cannot.
    """
    filesystem, base = storage.arrow_filesystem(table_uri(root, name))
    file_format = pads.ParquetFileFormat(pads.ParquetReadOptions(dictionary_columns=list(dictionary)))
    columns = pa.schema([_as_read(field, dictionary) for field in schema.TABLES[name]])
    fragments = [
        file_format.make_fragment(f"{base}/{file.path}", filesystem, _partition_expression(name, file.partition))
        for file in files(name, state)
    ]
    return pads.FileSystemDataset(fragments, columns, file_format, filesystem)


def files(name: str, state: DeltaTable) -> Iterator[DataFile]:
    """The files a state of a table is made of, without their keys."""
    actions = pa.table(state.get_add_actions(flatten=True))
    for row in actions.to_pylist():
        partition = {column: str(row[f"partition.{column}"]) for column in schema.PARTITIONS.get(name, [])}
        yield DataFile(row["path"], row["size_bytes"], row["num_records"], partition, ())


def distinct_keys(rows: pa.Table, columns: Iterable[str]) -> set[Key]:
    """The distinct values of some columns, as text."""
    names = list(columns)
    distinct = rows.select(names).group_by(names).aggregate([])
    return {tuple(str(row[name]) for name in names) for row in distinct.to_pylist()}


def row_keys(rows: pa.Table, columns: Iterable[str]) -> list[Key]:
    """The values of some columns of each row, as text."""
    values = [[str(value) for value in rows[column].to_pylist()] for column in columns]
    return list(zip(*values, strict=True))


def has_rows(root: str, name: str, file: DataFile, where: pc.Expression) -> bool:
    """Whether a file holds rows that a filter selects."""
    filesystem, base = storage.arrow_filesystem(table_uri(root, name))
    one = pads.dataset(f"{base}/{file.path}", filesystem=filesystem, format="parquet")
    return bool(storage.retried(lambda: one.count_rows(filter=where)))


def _as_read(field: pa.Field, dictionary: Sequence[str]) -> pa.Field:
    kind = pa.dictionary(pa.int32(), field.type) if field.name in dictionary else field.type
    return pa.field(field.name, kind)


def _of_partition(rows: pa.Table, value: Mapping[str, object]) -> pa.Table:
    for column in value:
        rows = rows.filter(pc.equal(rows[column], pa.scalar(value[column], rows.schema.field(column).type)))
    return rows


def _partition_value(name: str, column: str, value: str, length: int) -> pa.Array:
    return pa.array([value] * length, pa.string()).cast(schema.TABLES[name].field(column).type)


def _partition_expression(name: str, partition: Mapping[str, str]) -> pc.Expression:
    expression = pc.scalar(True)
    for column, value in partition.items():
        expression = expression & (pc.field(column) == _partition_value(name, column, value, 1)[0])
    return expression


def _write_one(root: str, name: str, rows: pa.Table, partition: Mapping[str, object]) -> DataFile:
    sort_keys = schema.SORT_KEYS.get(name)
    if sort_keys:
        rows = rows.sort_by([(column, "ascending") for column in sort_keys])
    stored = rows.drop_columns(list(partition)) if partition else rows
    data = _parquet_bytes(stored, schema.ROW_GROUP_ROWS.get(name))
    folder = [f"{column}={value}" for column, value in partition.items()]
    path = "/".join([*folder, f"part-{uuid.uuid4().hex}.zstd.parquet"])
    storage.put(storage.join(table_uri(root, name), path), data)
    key_columns = schema.KEYS.get(name, ())
    keys = tuple(sorted(distinct_keys(rows, key_columns))) if key_columns else ()
    return DataFile(path, len(data), rows.num_rows, {c: str(value) for c, value in partition.items()}, keys)


def _parquet_bytes(rows: pa.Table, row_group_rows: int | None) -> bytes:
    lists = [field for field in rows.schema if pa.types.is_list(field.type)]
    vectors = [field.name for field in lists if pa.types.is_floating(field.type.value_type)]
    coded = [field.name for field in lists if field.name not in vectors]  # labels; int8, a byte a number
    others = [field.name for field in rows.schema if not pa.types.is_list(field.type)]
    texts = [name for name in others if pa.types.is_string(rows.schema.field(name).type)]
    sink = BytesIO()
    pq.write_table(
        rows,
        sink,
        row_group_size=row_group_rows,
        compression="zstd",  # with BYTE_STREAM_SPLIT: 863 B a row at 256-d against 1180 B for the defaults
        use_dictionary=[*texts, *(f"{name}.list.element" for name in coded)],
        column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in vectors} or None,
        write_statistics=others or False,
    )
    return sink.getvalue()
