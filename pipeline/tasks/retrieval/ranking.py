"""Which rows are the best, at most so many of one video. Pure."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ROWS = pa.schema([pa.field("clip_id", pa.string()), pa.field("start_s", pa.float64()), pa.field("end_s", pa.float64())])


@dataclass(frozen=True)
class Ranked:
    """Rows by their number, with their similarity.

    Args:
        similarity: float32 (N,).
        videos: int32 (N,), into the gallery's videos.
        numbers: int64 (N,), which row of its source each is.
    """

    similarity: NDArray[np.float32]
    videos: NDArray[np.int32]
    numbers: NDArray[np.int64]

    def best(self, k: int, max_per_video: int | None) -> "Ranked":
        """The k best of them, the best first."""
        chosen = best_rows(self.similarity, self.videos, k, max_per_video)
        return Ranked(self.similarity[chosen], self.videos[chosen], self.numbers[chosen])

    def with_others(self, others: "Ranked") -> "Ranked":
        """Both, in no order."""
        return Ranked(
            np.concatenate([self.similarity, others.similarity]),
            np.concatenate([self.videos, others.videos]),
            np.concatenate([self.numbers, others.numbers]),
        )


@dataclass(frozen=True)
class Hits:
    """The best rows, the best first.

    Args:
        similarity: float32 (N,).
        videos: int32 (N,), into the gallery's videos.
        rows: clip_id, start_s, end_s; N rows.
    """

    similarity: NDArray[np.float32]
    videos: NDArray[np.int32]
    rows: pa.Table

    def merged(self, others: "Hits", k: int, max_per_video: int | None) -> "Hits":
        """The k best of both."""
        similarity = np.concatenate([self.similarity, others.similarity])
        videos, rows = np.concatenate([self.videos, others.videos]), pa.concat_tables([self.rows, others.rows])
        chosen = best_rows(similarity, videos, k, max_per_video)
        return Hits(similarity[chosen], videos[chosen], rows.take(pa.array(chosen)))


def no_rows() -> Ranked:
    """Nothing found yet."""
    return Ranked(np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int64))


def best_rows(
    similarity: NDArray[np.float32], videos: NDArray[np.int32], k: int, max_per_video: int | None
) -> NDArray[np.intp]:
    """The k most similar rows, the best first; equal ones in the order they come.

    Args:
        similarity: float32 (N,).
        videos: int32 (N,), which video each row is of.
        k: How many rows at most.
        max_per_video: How many rows of one video at most; None: any number.
    Returns:
        Indices, at most k.
    """
    if max_per_video is not None:
        order = np.argsort(-similarity, kind="stable")
        return order[_places_in_group(videos[order]) < max_per_video][:k]
    if len(similarity) <= k:
        return np.argsort(-similarity, kind="stable")
    worst = np.partition(similarity, len(similarity) - k)[len(similarity) - k]
    among = np.flatnonzero(similarity >= worst)  # all that are as good as the k-th, in the order they come
    return among[np.argsort(-similarity[among], kind="stable")][:k]


def _places_in_group(groups: NDArray[np.int32]) -> NDArray[np.intp]:
    """How many members of its own group stand before each place."""
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    places = np.empty(len(groups), np.intp)
    places[order] = np.arange(len(groups)) - np.repeat(starts, counts)
    return places
