"""What is done, missing, failed and stale in a root."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import registry, storage, tracking_spool
from pipeline.tasks import query

_RUN_FIELDS = ("job", "status", "run_key", "started_at", "seconds", "counts")


@dataclass(frozen=True)
class Status:
    """Counts of a root; of the champion model where they concern vectors."""

    root: str
    champion: str | None
    videos: Mapping[str, int]  # by status
    hours: float
    labels: int
    distinct_labels: int
    ignored: int
    done: int  # videos with vectors of the champion
    missing: int  # cataloged, neither done nor failed
    failed: int  # not done, and with a failure
    failures_by_class: Mapping[str, int]
    clips: int
    stale_clips: int  # vectors of other models
    last_runs: list[dict[str, Any]]
    tracking_waiting: int  # entries that MLflow was not told yet


def status(root: str) -> Status:
    """Read the state of a root.

    Raises:
        TableError: the root has no tables.
    """
    root = storage.normalize(root)
    connection = query.connect(root)
    found = registry.find(root)
    champion = found.version if found else None

    def rows(text: str, *parameters: object) -> list[tuple[Any, ...]]:
        return connection.execute(text, list(parameters)).fetchall()

    model = champion or ""
    by_status = dict(rows("SELECT status, count(*) FROM videos GROUP BY status ORDER BY status"))
    hours, labels, distinct, ignored = rows(
        "SELECT (SELECT coalesce(sum(duration_s), 0) / 3600 FROM videos WHERE status = 'ok'), "
        "(SELECT count(*) FROM labels), (SELECT count(DISTINCT label) FROM labels), (SELECT count(*) FROM ignored)"
    )[0]
    connection.execute(
        "CREATE TEMP TABLE done AS SELECT DISTINCT video_id, version FROM features WHERE model_version = ?", [model]
    )
    connection.execute(
        "CREATE TEMP TABLE open_failures AS SELECT DISTINCT f.video_id, f.version, arg_max(f.error_class, f.attempts) "
        "AS error_class FROM failures f JOIN videos v USING (video_id, version) WHERE v.status IN ('ok', 'failed') "
        "AND stage != 'preview' AND (f.video_id, f.version) NOT IN (SELECT (video_id, version) FROM done) GROUP BY ALL"
    )
    missing = rows(
        "SELECT count(*) FROM videos v WHERE status = 'ok' AND NOT EXISTS "
        "(SELECT 1 FROM done d WHERE d.video_id = v.video_id AND d.version = v.version) AND NOT EXISTS "
        "(SELECT 1 FROM open_failures f WHERE f.video_id = v.video_id AND f.version = v.version)"
    )[0][0]
    by_class = dict(rows("SELECT error_class, count(*) FROM open_failures GROUP BY 1 ORDER BY 2 DESC"))
    clips, stale = rows(
        "SELECT count(*) FILTER (model_version = ?), count(*) FILTER (model_version != ?) FROM features", model, model
    )[0]
    last = rows(
        "SELECT job, status, run_key, started_at AT TIME ZONE 'UTC', seconds_by_stage['total'], counts FROM runs "
        "ORDER BY started_at DESC LIMIT 5"
    )
    return Status(
        root=root,
        champion=champion,
        videos=by_status,
        hours=float(hours),
        labels=labels,
        distinct_labels=distinct,
        ignored=ignored,
        done=rows("SELECT count(*) FROM done")[0][0],
        missing=missing,
        failed=sum(by_class.values()),
        failures_by_class=by_class,
        clips=clips,
        stale_clips=stale,
        last_runs=[dict(zip(_RUN_FIELDS, row, strict=True)) for row in last],
        tracking_waiting=len(tracking_spool.waiting(root)),
    )
