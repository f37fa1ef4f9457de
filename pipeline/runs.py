"""The `runs` table: every execution of a job leaves one row, the empty and the failed ones too."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pipeline import datafiles, schema, storage, tables
from pipeline.crashpoints import crash_point
from pipeline.errors import SoraError


@dataclass
class Run:
    """An execution that is under way; what it learns is written when it ends."""

    run_key: str
    counts: dict[str, int] = field(default_factory=dict)
    seconds_by_stage: dict[str, float] = field(default_factory=dict)
    bytes_read: int | None = None
    mlflow_run_id: str | None = None


@contextmanager
def recorded(root: str, job: str, config: object, *, ds: date, selection: Mapping[str, object]) -> Iterator[Run]:
    """Record what happens inside as one row of `runs`, status `failed` where it raises.

    Args:
        root: The root's URI; a root without tables gets no row.
        job: Name of the job.
        config: Dataclass, saved as JSON.
        ds: Logical date.
        selection: What else makes this run another one: model digest, sampling digest, corpus.
    """
    run = Run(schema.run_key(job, ds, json.dumps(selection, sort_keys=True, default=str)))
    started_at, started_s = datetime.now(UTC), time.monotonic()
    try:
        yield run
    except BaseException:  # noted and raised again: an interrupted run is a failed run too
        with contextlib.suppress(OSError, SoraError):  # the job's own error says more than that it could not be noted
            _commit(root, _row(run, job, "failed", config, started_at, time.monotonic() - started_s))
        raise
    crash_point("before_run_row")
    _commit(root, _row(run, job, "succeeded", config, started_at, time.monotonic() - started_s))


def as_json(config: object) -> str:
    """A configuration as JSON, dates and paths as text."""
    assert is_dataclass(config), f"expected a dataclass, got {type(config)}"
    return json.dumps(asdict(config), sort_keys=True, default=str)  # type: ignore[arg-type]


def _commit(root: str, row: dict[str, Any]) -> None:
    if storage.exists(datafiles.table_uri(root, "runs")):
        tables.append_rows(root, "runs", [row])


def _row(run: Run, job: str, status: str, config: object, started_at: datetime, seconds: float) -> dict[str, Any]:
    num_clips = run.counts.get("clips")
    return {
        "run_key": run.run_key,
        "job": job,
        "status": status,
        "config": as_json(config),
        "git_sha": _git_sha(),
        "counts": sorted(run.counts.items()),
        "seconds_by_stage": sorted({**run.seconds_by_stage, "total": seconds}.items()),
        "clips_per_second": num_clips / seconds if num_clips and seconds > 0 else None,
        "bytes_read": run.bytes_read,
        "mlflow_run_id": run.mlflow_run_id,
        "started_at": started_at,
        "ended_at": datetime.now(UTC),
    }


def _git_sha() -> str | None:
    """The commit of the code that runs: SORA_GIT_SHA where the code was shipped without its history."""
    given = os.environ.get("SORA_GIT_SHA")
    if given:
        return given
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
