"""What the tables say of a root, summed up in SQL: corpus, failures, nights, runs. Nothing is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from pipeline.report.page.histogram import Histogram, edges_between

_MOST_SHARES = 8  # rows of a table of shares; the rest is one row
_MOST_NIGHTS = 60
_MOST_RUNS = 20
_MOST_RATES = 200
_EXAMPLES = 3  # of each reason
_LIVE = "FROM videos WHERE status = 'ok'"


@dataclass(frozen=True)
class Share:
    """One row of a table of shares."""

    name: str
    count: int
    share: float  # of all, in [0, 1]


@dataclass(frozen=True)
class Corpus:
    """The live videos."""

    num_videos: int
    hours: float
    size_bytes: int
    num_with_audio: int
    codecs: Sequence[Share]
    containers: Sequence[Share]
    pictures: Sequence[Share]  # width x height
    labels: Sequence[Share]
    durations: Histogram | None  # None: no header says how long


@dataclass(frozen=True)
class Failed:
    """Why videos have no vectors: one reason, how often, and the newest examples."""

    error_class: str
    count: int
    share: float
    examples: Sequence[dict[str, Any]]  # uri, stage, attempts, message


@dataclass(frozen=True)
class Night:
    """What one logical date brought."""

    ds: date
    videos: int
    vectors: int
    failures: int


@dataclass(frozen=True)
class RunRow:
    """One execution of a job."""

    job: str
    status: str
    started_at: datetime
    seconds: float | None
    clips_per_second: float | None
    counts: str


def corpus(connection: duckdb.DuckDBPyConnection) -> Corpus:
    """Sum up the live videos."""
    count, hours, size, audio = _rows(
        connection,
        "SELECT count(*), coalesce(sum(duration_s), 0) / 3600, coalesce(sum(size_bytes), 0)::BIGINT, "
        f"count(*) FILTER (has_audio) {_LIVE}",
    )[0]
    picture = "CASE WHEN width IS NULL THEN NULL ELSE width || ' × ' || height END"
    label = "SELECT DISTINCT video_id, label FROM labels SEMI JOIN (SELECT video_id " + _LIVE + ") USING (video_id)"
    return Corpus(
        num_videos=count,
        hours=float(hours),
        size_bytes=size,
        num_with_audio=audio,
        codecs=_shares(connection, f"SELECT codec AS name {_LIVE}"),
        containers=_shares(connection, f"SELECT container AS name {_LIVE}"),
        pictures=_shares(connection, f"SELECT {picture} AS name {_LIVE}"),
        labels=_shares(connection, f"SELECT label AS name FROM ({label})"),
        durations=_durations(connection),
    )


def failures(connection: duckdb.DuckDBPyConnection, by_class: dict[str, int]) -> list[Failed]:
    """The reasons, the most frequent first, each with examples.

    Args:
        connection: From `query.connect`.
        by_class: Videos without vectors by reason, from `status`.
    """
    total = max(1, sum(by_class.values()))
    examples = _dicts(
        connection,
        "SELECT f.error_class, f.uri, f.stage, f.attempts, f.message FROM failures f JOIN videos v "
        "USING (video_id, version) WHERE v.status IN ('ok', 'failed') AND f.stage != 'preview' "
        "QUALIFY row_number() OVER (PARTITION BY f.error_class ORDER BY f.failed_at DESC NULLS LAST, f.uri) <= ? "
        "ORDER BY f.uri",
        _EXAMPLES,
    )
    return [
        Failed(name, count, count / total, [one for one in examples if one["error_class"] == name])
        for name, count in by_class.items()
    ]


def nights(connection: duckdb.DuckDBPyConnection) -> list[Night]:
    """The last sixty logical dates on which rows came, the oldest first."""
    found = _rows(
        connection,
        "SELECT ds, coalesce(d.videos, 0), coalesce(d.vectors, 0), coalesce(f.num, 0) FROM "
        "(SELECT ds, count(DISTINCT video_id) AS videos, count(*) AS vectors FROM features GROUP BY ds) d "
        "FULL JOIN (SELECT ds, count(DISTINCT video_id) AS num FROM failures GROUP BY ds) f USING (ds) "
        "ORDER BY ds DESC LIMIT ?",
        _MOST_NIGHTS,
    )
    return [Night(*row) for row in reversed(found)]


def last_runs(connection: duckdb.DuckDBPyConnection) -> list[RunRow]:
    """The last twenty executions, the newest first."""
    found = _rows(
        connection,
        "SELECT job, status, started_at AT TIME ZONE 'UTC', seconds_by_stage['total'], clips_per_second, counts "
        "FROM runs ORDER BY started_at DESC LIMIT ?",
        _MOST_RUNS,
    )
    return [RunRow(job, status, at, seconds, rate, _counts(counts)) for job, status, at, seconds, rate, counts in found]


def rates(connection: duckdb.DuckDBPyConnection) -> list[tuple[datetime, float]]:
    """When extractions ran, and how many clips a second each made; the last two hundred, the oldest first."""
    found = _rows(
        connection,
        "SELECT started_at AT TIME ZONE 'UTC', clips_per_second FROM runs WHERE clips_per_second IS NOT NULL "
        "AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT ?",
        _MOST_RATES,
    )
    return [(started, float(rate)) for started, rate in reversed(found)]


def _durations(connection: duckdb.DuckDBPyConnection) -> Histogram | None:
    known = f"{_LIVE} AND duration_s > 0"
    low, high = _rows(connection, f"SELECT min(duration_s), max(duration_s) {known}")[0]
    if low is None:
        return None
    edges = edges_between(float(low), float(high))
    place = "list_count(list_filter(?::DOUBLE[], lambda edge: edge <= duration_s))"
    found = dict(_rows(connection, f"SELECT {place}, count(*) {known} GROUP BY 1", list(edges[1:-1])))
    return Histogram(edges, [int(found.get(index, 0)) for index in range(len(edges) - 1)])


def _shares(connection: duckdb.DuckDBPyConnection, query: str) -> list[Share]:
    found = _rows(connection, f"SELECT name, count(*) FROM ({query}) GROUP BY name ORDER BY 2 DESC, 1")
    total = max(1, sum(count for _, count in found))
    shown = [Share(str(name or "unknown"), count, count / total) for name, count in found[:_MOST_SHARES]]
    rest = sum(count for _, count in found[_MOST_SHARES:])
    if rest:
        shown.append(Share(f"{len(found) - _MOST_SHARES} others", rest, rest / total))
    return shown


def _counts(counts: dict[str, int] | None) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in (counts or {}).items() if value)


def _rows(connection: duckdb.DuckDBPyConnection, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    return connection.execute(query, list(parameters)).fetchall()


def _dicts(connection: duckdb.DuckDBPyConnection, query: str, *parameters: object) -> list[dict[str, Any]]:
    found = connection.execute(query, list(parameters))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
