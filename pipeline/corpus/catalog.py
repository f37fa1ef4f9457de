"""Bucket -> rows of `videos`: list, compare with what is known, probe what is new or changed, commit.

listing --ListingDiff--> changes --Ray Data, Prober--> outcomes --> videos | failures | ignored
videos without a preview, where one is asked for --Ray Data, Previewer--> their rows of `videos` | failures
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipeline import schema, storage, tables
from pipeline.corpus import labels as labelling, previews
from pipeline.corpus.config import CatalogConfig
from pipeline.corpus.listing import Change, Known, ListingDiff, is_below
from pipeline.corpus.previewer import PREVIEW_COLUMNS, Previewer
from pipeline.corpus.prober import MEDIA_COLUMNS, Prober
from pipeline.decode.clips import DECODER_VERSION, map_with_actors
from pipeline.errors import CorpusError
from pipeline.progress import OnProgress, Progress, unwatched

_CHANGES_A_ROUND = 20_000  # bounds what the driver holds of one probing round; 20,000 rows are about 6 MB
_LISTED_A_REPORT = 5_000  # S3 lists some 5,000 objects a second
_PROBES_A_TASK = 32  # about 0.2 s of probing local files, so that a task's overhead is small and progress is seen
_PREVIEWS_A_TASK = 8  # whole files are read: few a task, so that a large one holds up little
_COMMIT_EVERY_S, _MAX_COMMIT_SHARE = 5.0, 0.05  # committing rewrites files: a large table waits longer between two

_PROBED = pa.schema(
    [
        *(schema.VIDEOS.field(name) for name in ("video_id", "uri", "version", "size_bytes", "modified_at")),
        *(schema.VIDEOS.field(name) for name in MEDIA_COLUMNS),
        pa.field("outcome", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("error_class", pa.string()),
        pa.field("attempts", pa.int32()),
    ]
)


@dataclass
class CatalogCounts:
    """What one catalog run found and did."""

    listed: int = 0
    unchanged: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0
    failed: int = 0
    ignored: int = 0
    previewed: int = 0
    preview_failed: int = 0
    preview_bytes: int = 0
    labelled: int = 0
    distinct_labels: int = 0
    unmatched_labels: list[str] = field(default_factory=list)


def catalog(
    config: CatalogConfig,
    *,
    run_key: str,
    ds: date,
    connect: Callable[[], None],
    on_progress: OnProgress = unwatched,
) -> CatalogCounts:
    """Bring `videos` and `labels` up to date with the corpus.

    Args:
        config: Corpus, root and labels.
        run_key: Written into the rows of `failures`.
        ds: Logical date, likewise.
        connect: Starts or joins Ray; called only when something has to be probed or previewed.
        on_progress: Told after every batch of probed or previewed objects.
    Raises:
        ConfigError: the root cannot be written, or the labels are wrong.
        CorpusError: the corpus cannot be listed or holds nothing.
    """
    corpus, root = storage.normalize(config.corpus), storage.normalize(config.root)
    wanted_labels = labelling.read_csv(config.labels, corpus=corpus) if config.labels else []
    listing = _non_empty(corpus, root)
    storage.require_store(root)
    tables.create_missing(root)
    known, uris = _known(root, corpus)
    diff = ListingDiff(known, retry_failed=config.retry_failed)
    counts = CatalogCounts()
    changes = diff.changes(_remembering(listing, uris, on_progress))
    while batch := list(itertools.islice(changes, _CHANGES_A_ROUND)):
        connect()
        _probe_and_commit(root, batch, known, counts, run_key=run_key, ds=ds, on_progress=on_progress)
    counts.listed, counts.unchanged = diff.num_listed, diff.num_unchanged
    counts.ignored += diff.num_ignored
    vanished = diff.vanished()
    _set_status(root, vanished, "vanished")
    counts.vanished = len(vanished)
    if config.labels_from_folders:
        wanted_labels += labelling.from_folders(_videos_below(root, corpus), corpus=corpus)
    matched = [label for label in wanted_labels if label.uri in uris]
    counts.unmatched_labels = sorted({label.uri for label in wanted_labels if label.uri not in uris})
    counts.labelled, counts.distinct_labels = len(matched), len({label.label for label in matched})
    if wanted_labels:
        labelling.commit(root, matched, source=config.labels or f"folders:{corpus}")
    if config.preview:
        pending = previews.lacking(root, corpus, retry_failed=config.retry_failed)
        for start in range(0, pending.num_rows, _CHANGES_A_ROUND):
            connect()
            videos = pending.slice(start, _CHANGES_A_ROUND)
            _preview_and_commit(root, videos, counts, run_key=run_key, ds=ds, on_progress=on_progress)
    return counts


def _non_empty(corpus: str, root: str) -> Iterator[storage.ObjectInfo]:
    listing = iter(storage.list_objects(corpus))
    if is_below(root, corpus):  # our own files are no corpus
        listing = (found for found in listing if not is_below(found.uri, root))
    first = next(listing, None)
    if first is None:
        raise CorpusError("The corpus is empty.", where=corpus, expected="at least one object", cure="check the URI")
    return itertools.chain([first], listing)


def _known(root: str, corpus: str) -> tuple[dict[str, Known], set[str]]:
    """What the catalog holds below the corpus: the newest state of each object, and the uris of the videos."""
    videos = tables.read(root, "videos", ["video_id", "uri", "version", "status", "cataloged_at"])
    ignored = tables.read(root, "ignored", ["video_id", "uri", "version", "cataloged_at"])
    ignored = ignored.append_column("status", pa.array(["ignored"] * ignored.num_rows, pa.string()))
    rows = pa.concat_tables([videos, ignored.select(videos.column_names)]).sort_by("cataloged_at")
    known: dict[str, Known] = {}
    uris: set[str] = set()
    for row in rows.to_pylist():
        if is_below(row["uri"], corpus):
            known[row["video_id"]] = Known(row["version"], row["status"])
            if row["status"] in ("ok", "failed"):
                uris.add(row["uri"])
    return known, uris


def _remembering(
    listing: Iterable[storage.ObjectInfo], uris: set[str], on_progress: OnProgress
) -> Iterator[storage.ObjectInfo]:
    for num_listed, found in enumerate(listing, start=1):
        uris.add(found.uri)
        if num_listed % _LISTED_A_REPORT == 0:
            on_progress(Progress("list", num_listed, unit="objects"))
        yield found


class _ProbeBatch:
    """The Ray actor around a Prober."""

    def __init__(self) -> None:
        self._prober = Prober()

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.to_pylist()
        return pa.Table.from_pylist([{**row, **self._prober.probe(row)} for row in rows], schema=_PROBED)


class _PreviewBatch:
    """The Ray actor around a Previewer."""

    def __init__(self) -> None:
        self._previewer = Previewer()

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = [{**row, **self._previewer.preview(row)} for row in batch.to_pylist()]
        return pa.Table.from_pylist(rows, schema=previews.PREVIEWED)


def _preview_and_commit(
    root: str, videos: pa.Table, counts: CatalogCounts, *, run_key: str, ds: date, on_progress: OnProgress
) -> None:
    for done, rows in _mapped(videos, _PreviewBatch, _PREVIEWS_A_TASK):
        num_failed = previews.commit(root, rows, run_key=run_key, ds=ds)
        counts.preview_failed += num_failed
        counts.previewed += rows.num_rows - num_failed
        counts.preview_bytes += pc.sum(rows["bytes_read"], min_count=0).as_py()
        on_progress(Progress("preview", done, videos.num_rows, counts.preview_failed, "videos"))


def _probe_and_commit(
    root: str,
    batch: Sequence[Change],
    known: Mapping[str, Known],
    counts: CatalogCounts,
    *,
    run_key: str,
    ds: date,
    on_progress: OnProgress,
) -> None:
    attempts = _failed_attempts(root, batch)
    # Before the new versions: a crash between leaves an object without a live row, which the next run probes again.
    _set_status(
        root, {change.video_id: change.replaces for change in batch if change.replaces is not None}, "superseded"
    )
    pending = pa.Table.from_pylist([_pending_row(change, attempts) for change in batch], schema=_PROBED)
    for done, rows in _mapped(pending, _ProbeBatch, _PROBES_A_TASK):
        outcomes = rows["outcome"].to_pylist()
        counts.failed += outcomes.count("failure")
        counts.ignored += outcomes.count("ignored")
        on_progress(Progress("catalog", done, len(batch), counts.failed, "objects"))
        _commit_probed(root, rows, run_key=run_key, ds=ds)
        for video_id, outcome in zip(rows["video_id"].to_pylist(), outcomes, strict=True):
            if outcome != "ignored":
                is_new = video_id not in known
                counts.new += is_new
                counts.changed += not is_new


def _mapped(rows: pa.Table, worker: type, rows_a_task: int) -> Iterator[tuple[int, pa.Table]]:
    """Map rows with Ray Data; (rows done so far, the latest) come out every few seconds, in any order."""
    blocks = [rows.slice(start, rows_a_task) for start in range(0, rows.num_rows, rows_a_task)]
    results = map_with_actors(blocks, worker, (), num_actors=int(ray.cluster_resources().get("CPU", 1)))
    waiting: list[pa.Table] = []
    done, last_s, wait_s = 0, time.monotonic(), _COMMIT_EVERY_S
    for result in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        waiting.append(result)
        done += result.num_rows
        ready_s = time.monotonic()
        if ready_s - last_s > wait_s:
            yield done, pa.concat_tables(waiting)
            waiting, last_s = [], time.monotonic()
            wait_s = max(_COMMIT_EVERY_S, (last_s - ready_s) / _MAX_COMMIT_SHARE)
    if waiting:
        yield done, pa.concat_tables(waiting)


def _pending_row(change: Change, attempts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    found = change.object
    return {
        "video_id": change.video_id,
        "uri": found.uri,
        "version": found.version,
        "size_bytes": found.size_bytes,
        "modified_at": found.modified_at,
        "attempts": attempts.get((change.video_id, found.version), 0) + 1,
    }


def _failed_attempts(root: str, batch: Sequence[Change]) -> dict[tuple[str, str], int]:
    ids = pa.array([change.video_id for change in batch], pa.string())
    where = pc.field("video_id").isin(ids) & (pc.field("stage") == "probe")
    rows = tables.read(root, "failures", ["video_id", "version", "attempts"], where).to_pylist()
    attempts: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row["video_id"], row["version"])
        attempts[key] = max(attempts.get(key, 0), row["attempts"])
    return attempts


def _commit_probed(root: str, rows: pa.Table, *, run_key: str, ds: date) -> None:
    now = datetime.now(UTC)
    failures, videos, ignored = [], [], []
    for row in rows.to_pylist():
        if row["outcome"] == "ignored":
            ignored.append({**row, "cataloged_at": now})
            continue
        is_video = row["outcome"] == "video"
        videos.append({**row, "status": "ok" if is_video else "failed", "cataloged_at": now})
        if not is_video:
            stamps = {"decoder_version": DECODER_VERSION, "run_key": run_key, "ds": ds, "failed_at": now}
            failures.append({**row, **stamps, "stage": "probe", "message": row["reason"]})
    tables.append_rows(root, "failures", failures)
    tables.append_rows(root, "ignored", ignored)
    _put_videos(root, videos)


def _put_videos(root: str, rows: Sequence[dict[str, Any]]) -> None:
    """Append new versions; of those in the table already (they had vanished or failed) the preview stays."""
    if not rows:
        return
    ids = pa.array([row["video_id"] for row in rows], pa.string())
    there = tables.read(root, "videos", ["video_id", "version"], pc.field("video_id").isin(ids)).to_pylist()
    keys = {(row["video_id"], row["version"]) for row in there}
    tables.append_rows(root, "videos", [row for row in rows if (row["video_id"], row["version"]) not in keys])
    columns = [name for name in schema.VIDEOS.names if name not in PREVIEW_COLUMNS]
    again = {(row["video_id"], row["version"]): {name: row[name] for name in columns} for row in rows}
    tables.set_columns(root, "videos", {key: again[key] for key in keys & again.keys()})


def _set_status(root: str, versions: Mapping[str, str], status: str) -> None:
    tables.set_columns(root, "videos", {version: {"status": status} for version in versions.items()})


def _videos_below(root: str, corpus: str) -> list[str]:
    rows = tables.read(root, "videos", ["uri"], pc.field("status").isin(["ok", "failed"]))
    return [uri for uri in rows["uri"].to_pylist() if is_below(uri, corpus)]
