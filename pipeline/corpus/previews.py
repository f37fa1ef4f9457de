"""Which videos of the catalog lack a preview, and how previews get into their rows.

The table is the checkpoint: a live video without a `content_digest` lacks its preview, be it new, changed, or known
since before anybody asked for one. One whose preview failed has a row of `failures` instead, and is left alone.
"""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, tables
from pipeline.corpus.listing import are_below
from pipeline.corpus.previewer import PREVIEW_COLUMNS
from pipeline.datafiles import Key
from pipeline.decode.clips import DECODER_VERSION

_STAGE = "preview"
_VERSION_KEY = list(schema.KEYS["videos"])
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
    videos = tables.read(root, "videos", [*_VERSION_KEY, "uri"], live)
    here = videos.filter(are_below(videos["uri"], corpus))
    found = here.join(_failed_attempts(root), _VERSION_KEY, join_type="left outer")
    num_failed = pc.fill_null(found["num_failed"], 0)
    found = found.set_column(
        found.column_names.index("num_failed"), "attempts", pc.add(num_failed, pa.scalar(1, num_failed.type))
    )
    wanted = (found if retry_failed else found.filter(pc.equal(num_failed, 0))).sort_by("uri")
    columns = [
        pa.nulls(wanted.num_rows, f.type) if f.name not in wanted.column_names else wanted[f.name] for f in PREVIEWED
    ]
    return pa.table(columns, schema=PREVIEWED)


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


def _failed_attempts(root: str) -> pa.Table:
    """How often the preview of each version has failed: video_id, version, num_failed."""
    failures = tables.read(root, "failures", [*_VERSION_KEY, "attempts"], pc.field("stage") == _STAGE)
    return (
        failures.group_by(_VERSION_KEY).aggregate([("attempts", "max")]).rename_columns([*_VERSION_KEY, "num_failed"])
    )
