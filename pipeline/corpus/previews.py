"""Which videos of the catalog lack a preview, and how previews get into their rows.

The table is the checkpoint: a live video without a `content_digest` lacks its preview, be it new, changed, or known
since before anybody asked for one. One whose preview failed has a row of `failures` instead, and is left alone.
"""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, tables
from pipeline.corpus.listing import is_below
from pipeline.corpus.previewer import PREVIEW_COLUMNS
from pipeline.datafiles import Key
from pipeline.decode.clips import DECODER_VERSION

_STAGE = "preview"
PREVIEWED = pa.schema(
    [
        *(schema.VIDEOS.field(name) for name in ("video_id", "uri", "version")),
        *(schema.VIDEOS.field(name) for name in PREVIEW_COLUMNS),
        *(schema.FAILURES.field(name).with_nullable(True) for name in ("error_class", "attempts")),
        pa.field("reason", pa.string()),
        pa.field("bytes_read", pa.int64()),
    ]
)


def lacking(root: str, corpus: str, *, retry_failed: bool) -> pa.Table:
    """The live videos below the corpus without a preview, as rows of PREVIEWED with the number of the coming attempt.

    Args:
        retry_failed: Take those too whose preview failed before.
    """
    live = (pc.field("status") == "ok") & pc.field("content_digest").is_null()
    videos = tables.read(root, "videos", ["video_id", "uri", "version"], live).to_pylist()
    attempts = _failed_attempts(root)
    rows = []
    for video in videos:
        num_failed = attempts.get((video["video_id"], video["version"]), 0)
        if is_below(video["uri"], corpus) and (retry_failed or not num_failed):
            rows.append({**video, "attempts": num_failed + 1})
    return pa.Table.from_pylist(rows, schema=PREVIEWED)


def commit(root: str, previewed: pa.Table, *, run_key: str, ds: date) -> int:
    """Write previews into the rows of their videos, and a row of `failures` for each that failed.

    Returns:
        The number of those that failed.
    """
    rows = previewed.to_pylist()
    failed = [row for row in rows if row["error_class"] is not None]
    now = datetime.now(UTC)
    stamps = {"stage": _STAGE, "decoder_version": DECODER_VERSION, "run_key": run_key, "ds": ds, "failed_at": now}
    tables.append_rows(root, "failures", [{**row, **stamps, "message": row["reason"]} for row in failed])
    found: dict[Key, dict[str, Any]] = {
        (row["video_id"], row["version"]): {name: row[name] for name in PREVIEW_COLUMNS}
        for row in rows
        if row["error_class"] is None
    }
    tables.set_columns(root, "videos", found)
    return len(failed)


def _failed_attempts(root: str) -> dict[tuple[str, str], int]:
    """How often the preview of each version has failed."""
    columns = ["video_id", "version", "attempts"]
    attempts: dict[tuple[str, str], int] = {}
    for row in tables.read(root, "failures", columns, pc.field("stage") == _STAGE).to_pylist():
        key = (row["video_id"], row["version"])
        attempts[key] = max(attempts.get(key, 0), row["attempts"])
    return attempts
