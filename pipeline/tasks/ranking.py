"""Which rows are the best, at most so many of one video. Pure."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


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
    order = np.argsort(-similarity, kind="stable")
    if max_per_video is not None:
        order = order[_places_in_group(videos[order]) < max_per_video]
    return order[:k]


def _places_in_group(groups: NDArray[np.int32]) -> NDArray[np.intp]:
    """How many members of its own group stand before each place."""
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    places = np.empty(len(groups), np.intp)
    places[order] = np.arange(len(groups)) - np.repeat(starts, counts)
    return places


@dataclass(frozen=True)
class Hits:
    """Rows with their similarity, the best first.

    Args:
        similarity: float32 (N,).
        videos: int32 (N,), into the gallery's videos.
        rows: clip_id, start_s, end_s; N rows.
    """

    similarity: NDArray[np.float32]
    videos: NDArray[np.int32]
    rows: pa.Table

    def best(self, k: int, max_per_video: int | None) -> "Hits":
        """The k best of them."""
        chosen = best_rows(self.similarity, self.videos, k, max_per_video)
        return Hits(self.similarity[chosen], self.videos[chosen], self.rows.take(pa.array(chosen)))

    def with_others(self, others: "Hits") -> "Hits":
        """Both, in no order."""
        return Hits(
            np.concatenate([self.similarity, others.similarity]),
            np.concatenate([self.videos, others.videos]),
            pa.concat_tables([self.rows, others.rows]),
        )


ROWS = pa.schema([pa.field("clip_id", pa.string()), pa.field("start_s", pa.float64()), pa.field("end_s", pa.float64())])


def no_hits() -> Hits:
    """Nothing found yet."""
    return Hits(np.empty(0, np.float32), np.empty(0, np.int32), ROWS.empty_table())
