"""SQL over the tables of a root, through DuckDB, offline, on local disk and S3 alike."""

import duckdb
import pyarrow as pa

from pipeline import datafiles, schema, storage, tables
from pipeline.errors import ConfigError


def connect(root: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in which every table is a view of its newest state in the root.

    Tables of schema.LATER that an older root lacks are empty.

    Raises:
        TableError: the root has no tables.
    """
    root = storage.normalize(root)
    connection = duckdb.connect()
    states = tables.open_there(root)
    for name, columns in schema.TABLES.items():
        rows = datafiles.dataset(root, name, states[name]) if name in states else columns.empty_table()
        connection.register(name, rows)
    return connection


def sql(root: str, query: str) -> pa.Table:
    """Run one query.

    Args:
        root: The root's URI.
        query: Any SELECT over the tables of schema.TABLES.
    Raises:
        ConfigError: DuckDB refuses the query; its own message says where.
        TableError: the root has no tables.
    """
    connection = connect(root)
    try:
        return connection.sql(query).to_arrow_table()
    except (duckdb.Error, AttributeError) as e:
        expected = f"a SELECT over {', '.join(schema.TABLES)}"
        raise ConfigError("The query cannot be run.", where=query, got=e, expected=expected) from e
