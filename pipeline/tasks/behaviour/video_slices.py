"""The slices of one video in their order, and the time that belongs to each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.tasks.slices import Slices

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class VideoSlices:
    """One video's slices, in the order of time.

    Args:
        video_id: Of the video, as uri and version.
        start_s: float64 (N,), when each slice starts; N >= 1.
        end_s: float64 (N,), when it ends.
        vectors: float64 (N, D), not normalised.
        recon_error: float64 (N,), how badly each was rebuilt.
        motion: float64 (N,), how much neighbouring frames differ.
    """

    video_id: str
    uri: str
    version: str
    start_s: Floats
    end_s: Floats
    vectors: Floats
    recon_error: Floats
    motion: Floats

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def edges_s(self) -> Floats:
        """Where one slice's time ends and the next one's begins: halfway between their middles; float64 (N + 1,).

        Slices may overlap or leave gaps; these times do neither. Without overlap and gaps they are the slices' own.
        """
        middle_s = (self.start_s + self.end_s) / 2
        return np.concatenate([self.start_s[:1], (middle_s[:-1] + middle_s[1:]) / 2, self.end_s[-1:]])


def by_video(slices: Slices) -> list[VideoSlices]:
    """One VideoSlices for each video, in the order of their ids.

    Raises:
        TableError: a vector, a reconstruction error or a motion is missing or not finite.
    """
    ids = np.array(slices.rows["video_id"].to_pylist(), dtype=np.str_)
    numbers = {name: _numbers(slices, name) for name in ("start_s", "end_s", "recon_error", "motion")}
    vectors = slices.vectors.astype(np.float64)
    _require_finite(slices, "embedding", vectors)
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    places = [slice(start, end) for start, end in zip(starts, [*starts[1:], len(ids)], strict=True)]
    uris, versions = slices.rows["uri"].to_pylist(), slices.rows["version"].to_pylist()
    return [
        VideoSlices(
            video_id=str(ids[place.start]),
            uri=uris[place.start],
            version=versions[place.start],
            vectors=vectors[place],
            **{name: values[place] for name, values in numbers.items()},
        )
        for place in places
    ]


def stacked(videos: Sequence[VideoSlices], name: str) -> Floats:
    """One column of several videos, end to end."""
    return np.concatenate([getattr(video, name) for video in videos])


def _numbers(slices: Slices, name: str) -> Floats:
    values: Floats = slices.rows[name].to_numpy().astype(np.float64)  # a null becomes NaN
    _require_finite(slices, name, values)
    return values


def _require_finite(slices: Slices, name: str, values: Floats) -> None:
    if not np.isfinite(values).all():
        cure = "extract with a model that rebuilds clips, or take the run out with `sora rollback`"
        where = f"features, model {slices.model.version}"
        raise TableError(f"Some slices have no finite {name}.", where=where, expected="a number", cure=cure)
