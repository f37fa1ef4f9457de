"""How well behaviours are recognised in sources that nothing was learned from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.behaviour.recogniser import fit_recogniser
from pipeline.tasks.behaviour.segmental import SegmentationFigures, segmentation_figures
from pipeline.tasks.behaviour.timed_labels import UNLABELLED
from pipeline.tasks.behaviour.video_slices import VideoSlices


@dataclass(frozen=True)
class LeftOut:
    """Figures over all sources, each predicted by what was learned from the others.

    Args:
        figures: Of classifier and smoothing.
        unsmoothed: Of the classifier alone.
        baseline: Of the most frequent behaviour of the other sources, everywhere.
        num_sources: How many there are.
        num_slices: Labelled slices.
        num_unseen: Labelled slices of behaviours that no other source shows: they cannot be right.
    """

    figures: SegmentationFigures
    unsmoothed: SegmentationFigures
    baseline: SegmentationFigures
    num_sources: int
    num_slices: int
    num_unseen: int

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return asdict(self)


def leave_sources_out(
    videos: Sequence[VideoSlices],
    labels: Sequence[NDArray[np.int64]],
    groups: Sequence[str],
    behaviours: Sequence[str],
) -> LeftOut:
    """Predict each source by the others; see fit_recogniser for the arguments.

    Raises:
        ConfigError: what is left without some source is too little to learn from.
    """
    smoothed: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(videos)
    alone, constant = list(smoothed), list(smoothed)
    num_unseen = 0
    for group in sorted(set(groups)):
        others = [index for index, other in enumerate(groups) if other != group]
        learned = [labels[index] for index in others]
        recogniser = fit_recogniser([videos[i] for i in others], learned, [groups[i] for i in others], behaviours)
        known = np.array([behaviours.index(name) for name in recogniser.behaviours])
        seen = np.concatenate(learned)
        most_frequent = int(np.bincount(seen[seen != UNLABELLED]).argmax())
        for index in set(range(len(videos))) - set(others):
            video = videos[index]
            smoothed[index] = known[recogniser.path(video)]
            alone[index] = known[recogniser.log_posteriors(video).argmax(axis=1)]
            constant[index] = np.full(len(video), most_frequent)
            num_unseen += int((~np.isin(labels[index], [*known, UNLABELLED])).sum())
    return LeftOut(
        segmentation_figures(labels, smoothed),
        segmentation_figures(labels, alone),
        segmentation_figures(labels, constant),
        num_sources=len(set(groups)),
        num_slices=int(sum((one != UNLABELLED).sum() for one in labels)),
        num_unseen=num_unseen,
    )
