"""What a video, or a group of videos, is doing all day: shares of time, bouts, and what follows what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.behaviour.segment import Segment


@dataclass(frozen=True)
class Profile:
    """Behaviours of some videos.

    Args:
        behaviours: Name of each of K behaviours.
        num_videos: Videos summed up.
        total_s: Seconds of them.
        share: float64 (K,), of the time; adds up to 1.
        bouts: int64 (K,), stretches of one behaviour without a break.
        mean_bout_s: float64 (K,), 0 where there is none.
        transitions: int64 (K, K), how often the row's behaviour was followed by the column's within a video.
    """

    behaviours: list[str]
    num_videos: int
    total_s: float
    share: NDArray[np.float64]
    bouts: NDArray[np.int64]
    mean_bout_s: NDArray[np.float64]
    transitions: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """As plain numbers; `transition_probabilities` are the transitions by row, null where nothing followed."""
        sums = self.transitions.sum(axis=1)
        probabilities = [
            (row / total).tolist() if total else None for row, total in zip(self.transitions, sums, strict=True)
        ]
        columns = ("share", "bouts", "mean_bout_s")
        by_behaviour = {
            name: {column: getattr(self, column)[index].item() for column in columns}
            for index, name in enumerate(self.behaviours)
        }
        return {
            "videos": self.num_videos,
            "total_s": self.total_s,
            "behaviours": by_behaviour,
            "transitions": self.transitions.tolist(),
            "transition_probabilities": probabilities,
        }


def profile(videos: Iterable[Sequence[Segment]], behaviours: Sequence[str]) -> Profile:
    """Sum up the segments of some videos.

    Args:
        videos: Segments of each video, in the order of time; neighbours are of different behaviours.
        behaviours: All there are, in the order of the answer.
    """
    index_of = {name: index for index, name in enumerate(behaviours)}
    time_s, bouts = np.zeros(len(behaviours)), np.zeros(len(behaviours), np.int64)
    transitions = np.zeros((len(behaviours), len(behaviours)), np.int64)
    num_videos = 0
    for segments in videos:
        indices = [index_of[segment.behaviour] for segment in segments]
        np.add.at(time_s, indices, [segment.end_s - segment.start_s for segment in segments])
        np.add.at(bouts, indices, 1)
        np.add.at(transitions, (indices[:-1], indices[1:]), 1)
        num_videos += 1
    total_s = float(time_s.sum())
    share = time_s / total_s if total_s else time_s
    return Profile(list(behaviours), num_videos, total_s, share, bouts, time_s / np.maximum(bouts, 1), transitions)
