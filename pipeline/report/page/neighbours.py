"""Which clips are shown with their neighbours, and which those are: arithmetic on vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.report.page.vectors import Vectors
from pipeline.tasks.retrieval.ann import unit

NUM_NEIGHBOURS = 5
NUM_DRAWN, NUM_CLOSEST = 4, 4
MOST_PAIRED = 3000  # videos compared each with each


@dataclass(frozen=True)
class Neighbour:
    """One slice near a query; `row` is its place among the slices."""

    row: int
    similarity: float


@dataclass(frozen=True)
class Query:
    """A slice and the nearest slices of other videos, one a video, the nearest first."""

    row: int
    is_drawn: bool  # False: chosen because its nearest neighbour is so near
    neighbours: Sequence[Neighbour]


def queries(vectors: Vectors) -> list[Query]:
    """Some videos at random, one a label as long as there are labels, and some of the closest pairs.

    A query is the middle slice of its video. Similarity is the cosine, over all slices of all other videos.
    """
    if vectors.num_videos < 2:
        return []
    drawn = drawn_videos(vectors.labels, NUM_DRAWN)
    close = closest_videos(vectors.means, NUM_CLOSEST, without=drawn)
    videos = [*close, *drawn]
    rows = [int((vectors.first[video] + vectors.first[video + 1] - 1) // 2) for video in videos]
    found = nearest(vectors, rows, videos)
    return [Query(row, video in drawn, near) for row, video, near in zip(rows, videos, found, strict=True)]


def drawn_videos(labels: Sequence[str], number: int) -> list[int]:
    """Random videos, the same for the same corpus; other labels first."""
    order = np.random.default_rng(0).permutation(len(labels)).tolist()
    first_of = {labels[video]: video for video in reversed(order) if labels[video]}
    fresh = [video for video in order if first_of.get(labels[video]) == video]
    rest = [video for video in order if video not in set(fresh[:number])]
    return [*fresh, *rest][:number]


def closest_videos(means: NDArray[np.floating], number: int, *, without: Sequence[int]) -> list[int]:
    """One video of each of the closest groups, by the cosine of their means, among at most 3,000 drawn videos.

    What is near a chosen video is not chosen again: ten copies of one video are one group, not five pairs.
    """
    sample = np.sort(np.random.default_rng(1).permutation(len(means))[:MOST_PAIRED])
    directions = unit(means[sample])
    similarity = directions @ directions.T
    np.fill_diagonal(similarity, -np.inf)
    chosen: list[int] = []
    taken = set(without)
    for index in np.argsort(-similarity.max(axis=1), kind="stable").tolist():
        if len(chosen) == number:
            break
        near = sample[np.argsort(-similarity[index], kind="stable")[:NUM_NEIGHBOURS]].tolist()
        if not {int(sample[index]), near[0]} & taken:
            chosen.append(int(sample[index]))
            taken |= {int(sample[index]), *near}
    return chosen


def nearest(vectors: Vectors, rows: Sequence[int], videos: Sequence[int]) -> Iterator[list[Neighbour]]:
    """For each query row the nearest slice of each of the nearest other videos.

    Args:
        vectors: All of them.
        rows: Places of the queries among the slices.
        videos: The video of each.
    """
    directions = unit(vectors.slices.vectors)
    for row, video in zip(rows, videos, strict=True):
        similarity = directions @ directions[row]  # (N,)
        best = np.maximum.reduceat(similarity, vectors.first[:-1])  # (V,)
        best[video] = -np.inf
        near = np.argsort(-best, kind="stable")[: min(NUM_NEIGHBOURS, vectors.num_videos - 1)]
        yield [_best_slice(vectors, similarity, int(other)) for other in near]


def _best_slice(vectors: Vectors, similarity: NDArray[np.float32], video: int) -> Neighbour:
    start, stop = int(vectors.first[video]), int(vectors.first[video + 1])
    row = start + int(similarity[start:stop].argmax())
    return Neighbour(row, float(similarity[row]))
