"""A stretch of a video in which one behaviour goes on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices


@dataclass(frozen=True)
class Segment:
    """One behaviour during [start_s, end_s) of a video; confidence in [0, 1]."""

    start_s: float
    end_s: float
    behaviour: str
    confidence: float


def runs_of(values: NDArray[np.integer]) -> list[tuple[int, int]]:
    """Stretches [start, end) of equal values, in order; values int (N,), N >= 1."""
    starts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(values)], strict=True))


def segments_of(
    video: VideoSlices, behaviours: NDArray[np.integer], confidences: Floats, names: Sequence[str]
) -> list[Segment]:
    """Neighbouring slices of one behaviour together.

    Args:
        video: N slices.
        behaviours: int (N,), into names.
        confidences: float64 (N,) in [0, 1]; a segment has the mean of its slices.
        names: Of the behaviours.
    """
    edges_s = video.edges_s
    return [
        Segment(
            float(edges_s[start]),
            float(edges_s[end]),
            names[int(behaviours[start])],
            float(confidences[start:end].mean()),
        )
        for start, end in runs_of(behaviours)
    ]
