"""Rows of `segments`: what is there of a segmentation, and what is added, a whole video at a time."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, tables
from pipeline.tasks.behaviour.fitted import Fitted
from pipeline.tasks.behaviour.segment import Segment
from pipeline.tasks.behaviour.video_slices import VideoSlices

VideoKey = tuple[str, str]  # video_id, version


def segmented(root: str, fitted: Fitted) -> set[VideoKey]:
    """The videos that have their segments under this segmentation.

    Raises:
        TableError: the root has no tables.
    """
    rows = tables.read(root, "segments", ["video_id", "version"], _of(fitted))
    return set(zip(rows["video_id"].to_pylist(), rows["version"].to_pylist(), strict=True))


def read_segments(root: str, fitted: Fitted) -> dict[VideoKey, list[Segment]]:
    """The segments of each video under this segmentation, in the order of time."""
    columns = ["video_id", "version", "start_s", "end_s", "behaviour", "confidence"]
    rows = tables.read(root, "segments", columns, _of(fitted))
    found: dict[VideoKey, list[Segment]] = {}
    for row in rows.sort_by([("video_id", "ascending"), ("start_s", "ascending")]).to_pylist():
        segment = Segment(row["start_s"], row["end_s"], row["behaviour"], row["confidence"])
        found.setdefault((row["video_id"], row["version"]), []).append(segment)
    return found


def add_segments(
    root: str,
    fitted: Fitted,
    found: Sequence[tuple[VideoSlices, Sequence[Segment]]],
    *,
    run_key: str,
    ds: date,
) -> int:
    """Commit the segments of some videos; those another job has committed meanwhile are dropped. Returns the rows."""
    lineage = {
        "kind": fitted.kind,
        "segmentation": fitted.segmentation,
        "segmentation_digest": fitted.digest,
        "model_version": fitted.model_version,
        "run_key": run_key,
        "ds": ds,
        "produced_at": datetime.now(UTC),
    }
    rows = [
        {"video_id": video.video_id, "uri": video.uri, "version": video.version, **vars(segment), **lineage}
        for video, segments in found
        for segment in segments
    ]
    return tables.append(root, "segments", pa.Table.from_pylist(rows, schema=schema.SEGMENTS))


def _of(fitted: Fitted) -> pc.Expression:
    return (pc.field("segmentation_digest") == fitted.digest) & (pc.field("model_version") == fitted.model_version)
