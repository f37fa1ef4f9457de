"""Labels with times, and which of them each slice has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import tables
from pipeline.tasks.behaviour.video_slices import VideoSlices

UNLABELLED = -1


@dataclass(frozen=True)
class TimedLabel:
    """A behaviour that goes on during [start_s, end_s) of a video."""

    label: str
    start_s: float
    end_s: float


def read_timed_labels(root: str) -> dict[str, list[TimedLabel]]:
    """The labels on intervals, by video_id.

    Raises:
        TableError: the root has no tables.
    """
    is_timed = pc.field("start_s").is_valid() & pc.field("end_s").is_valid()
    rows = tables.read(root, "labels", ["video_id", "label", "start_s", "end_s"], is_timed).to_pylist()
    found: dict[str, list[TimedLabel]] = {}
    for row in sorted(rows, key=lambda row: (row["start_s"], row["end_s"], row["label"])):
        found.setdefault(row["video_id"], []).append(TimedLabel(row["label"], row["start_s"], row["end_s"]))
    return found


def group_of_videos(root: str, column: str) -> dict[str, str]:
    """The value of a label attribute, by video_id; videos without it are left out.

    Raises:
        TableError: the root has no tables.
    """
    rows = tables.read(root, "labels", ["video_id", "attributes"]).to_pylist()
    values = {row["video_id"]: dict(row["attributes"] or {}).get(column) for row in rows}
    return {video_id: value for video_id, value in values.items() if value}


def slice_labels(video: VideoSlices, labels: Sequence[TimedLabel], index_of: Mapping[str, int]) -> NDArray[np.int64]:
    """The label of each slice: that of the shortest interval around the slice's middle.

    Of labels that overlap, as `sitting` and `eating`, the shorter says more.

    Args:
        video: N slices.
        labels: Of the video.
        index_of: Number of each behaviour.
    Returns:
        int64 (N,), UNLABELLED where no interval is.
    """
    found = np.full(len(video), UNLABELLED, np.int64)
    middle_s = (video.start_s + video.end_s) / 2
    for label in sorted(labels, key=lambda label: label.start_s - label.end_s):  # the shortest is written last
        found[(label.start_s <= middle_s) & (middle_s < label.end_s)] = index_of[label.label]
    return found
