"""Run one SQL query over the tables of a root, with DuckDB, offline.

Tables: videos, labels, features, failures, runs, ignored, search_index, predictions, segments. Example:
sora sql --root ROOT "SELECT label, count(*) FROM features JOIN labels USING (video_id) GROUP BY label"
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import rich.box
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from jobs.shell import DONE, Job, main as shell_main
from pipeline.tasks import query

_MAX_CELL = 60


@dataclass(frozen=True)
class SqlConfig:
    """A query and the root it is about."""

    query: Positional[str]
    """Any SELECT."""
    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""


def run(job: Job[SqlConfig]) -> int:
    """Query, and print the rows: as a table, or as JSON lines with --json."""
    rows = query.sql(job.config.root, job.config.query)
    if job.options.json:
        for row in rows.to_pylist():
            print(json.dumps(row, default=str))
        return DONE
    table = Table(*rows.column_names, box=rich.box.SIMPLE_HEAD)
    for row in rows.to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width).print(table)
    print(f"{rows.num_rows} rows")
    return DONE


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("sql", __doc__, SqlConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
