"""The vectors a page shows: slices of one model, a mean for each video, and what the videos are called.

A root may hold more vectors than memory: then whole videos are drawn by their ids, which are hashes, so that any range
of them is a random sample.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline import registry
from pipeline.tasks.slices import Slices, read_slices

MOST_SLICES = 1_000_000  # 256 MB of 64 numbers each, and as much again while they are compared
_IDS = 16**8
# One label a video: of the whole video rather than of an interval, then the first by name.
_LABELS = "SELECT video_id, arg_min(label, (start_s IS NOT NULL)::INT::VARCHAR || label) FROM labels GROUP BY video_id"


@dataclass(frozen=True)
class Vectors:
    """Slices of V videos, N rows in all.

    Args:
        slices: In the order of video and time; `vectors` are as in the table.
        first: int64 (V + 1,), where the slices of each video begin; the last is N.
        means: float32 (V, D), the mean of each video's slices.
        labels: (V,), empty where a video has none.
        num_slices: How many the root has under this model, of which `slices` may be a sample.
    """

    slices: Slices
    first: NDArray[np.int64]
    means: NDArray[np.float32]
    labels: list[str]
    num_slices: int

    @property
    def num_videos(self) -> int:
        return len(self.means)

    @property
    def is_sample(self) -> bool:
        """Whether some videos were left out."""
        return len(self.slices.vectors) < self.num_slices


def read_vectors(connection: duckdb.DuckDBPyConnection, root: str, model: str) -> Vectors:
    """The live slices of a model, or those of as many whole videos as make about a million.

    Args:
        connection: From `query.connect`.
        root: The root's URI.
        model: As `read_slices` takes it.
    Raises:
        CheckpointError, TableError: as `read_slices`.
    """
    count = "SELECT count(*) FROM features SEMI JOIN (SELECT video_id, version FROM videos WHERE status = 'ok') "
    count += "USING (video_id, version) WHERE model_version = ?"
    num_slices = int(connection.execute(count, [registry.resolve(root, model).version]).fetchall()[0][0])
    where = None if num_slices <= MOST_SLICES else f"video_id < '{id_below(MOST_SLICES / num_slices)}'"
    slices = read_slices(root, model, where=where)
    first = first_rows(slices)
    label_of = dict(connection.execute(_LABELS).fetchall())
    ids = slices.rows["video_id"].take(first[:-1]).to_pylist()
    sums = np.add.reduceat(slices.vectors, first[:-1], axis=0)
    means = (sums / np.diff(first)[:, None]).astype(np.float32)
    return Vectors(slices, first, means, [str(label_of.get(video_id, "")) for video_id in ids], num_slices)


def first_rows(slices: Slices) -> NDArray[np.int64]:
    """Where each video's slices begin, and their number at the end: int64 (V + 1,)."""
    codes = slices.rows["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return np.append(starts, slices.rows.num_rows).astype(np.int64)


def id_below(share: float) -> str:
    """The first 8 hex digits below which this share of all video ids lies."""
    return f"{round(share * _IDS):08x}"


def uris(vectors: Vectors) -> list[str]:
    """The uri of each video, (V,)."""
    return [str(uri) for uri in vectors.slices.rows["uri"].take(vectors.first[:-1]).to_pylist()]
