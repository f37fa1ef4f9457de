"""How good a segmentation is: slice by slice, and segment by segment, so that flicker and lost bouts both cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.behaviour.segment import runs_of
from pipeline.tasks.behaviour.timed_labels import UNLABELLED

OVERLAPS = (0.10, 0.25, 0.50)


@dataclass(frozen=True)
class SegmentationFigures:
    """Slice accuracy in [0, 1], and F1@10, F1@25, F1@50 in [0, 1] by name, over all labelled slices of all videos."""

    accuracy: float
    f1: dict[str, float]


def segmentation_figures(
    truth: Sequence[NDArray[np.int64]], predicted: Sequence[NDArray[np.int64]]
) -> SegmentationFigures:
    """Accuracy and segmental F1 of some videos' behaviours.

    F1@k (Lea et al. 2017, Temporal Convolutional Networks for Action Segmentation and Detection): a predicted segment
    is right when its intersection over union with a true segment of its behaviour is at least k percent and no other
    predicted segment has hit that one before. Right and wrong ones are counted over all videos.

    Args:
        truth: For each video int64 (N,), UNLABELLED where nothing is known: such slices count nowhere.
        predicted: For each video int64 (N,).
    """
    pairs = [(t, np.where(t == UNLABELLED, UNLABELLED, p)) for t, p in zip(truth, predicted, strict=True)]
    right = sum(int(((t == p) & (t != UNLABELLED)).sum()) for t, p in pairs)
    labelled = sum(int((t != UNLABELLED).sum()) for t, _ in pairs)
    f1 = {f"f1@{round(100 * overlap)}": _segmental_f1(pairs, overlap) for overlap in OVERLAPS}
    return SegmentationFigures(right / max(labelled, 1), f1)


def _segmental_f1(pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], overlap: float) -> float:
    num_hit = num_true = num_predicted = 0
    for truth, predicted in pairs:
        true_runs, predicted_runs = _labelled_runs(truth), _labelled_runs(predicted)
        hit: set[tuple[int, int]] = set()
        for run in predicted_runs:
            same = [other for other in true_runs if truth[other[0]] == predicted[run[0]]]
            best = max(same, key=lambda other: _iou(run, other), default=None)
            if best is not None and _iou(run, best) >= overlap:
                hit.add(best)
        num_hit, num_true = num_hit + len(hit), num_true + len(true_runs)
        num_predicted += len(predicted_runs)
    return 2 * num_hit / max(num_true + num_predicted, 1)


def _labelled_runs(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    return [(start, end) for start, end in runs_of(values) if values[start] != UNLABELLED]


def _iou(one: tuple[int, int], other: tuple[int, int]) -> float:
    shared = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / (one[1] - one[0] + other[1] - other[0] - shared)
