"""The videos a search may find: those that are in the corpus now and meet the condition."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import tables
from pipeline.tasks.slices import chosen_videos

IDS = ("video_id", "version")  # what names a video; read as dictionaries, since its slices follow each other


@dataclass(frozen=True)
class Gallery:
    """Live videos, numbered from 0, and which of them may be found.

    Args:
        videos: video_id, version, uri; V rows.
        is_wanted: bool (V,).
    """

    videos: pa.Table
    is_wanted: NDArray[np.bool_]

    @property
    def share_wanted(self) -> float:
        """The share of the videos that may be found, in [0, 1]."""
        return float(self.is_wanted.mean()) if len(self.is_wanted) else 0.0

    def without(self, video_id: str | None) -> "Gallery":
        """The same, less one video."""
        if video_id is None:
            return self
        is_other = ~np.asarray(pc.equal(self.videos["video_id"], video_id), np.bool_)
        return Gallery(self.videos, self.is_wanted & is_other)

    def only(self, numbers: NDArray[np.bool_]) -> "Gallery":
        """The same, less the videos that are not among the given ones, bool (V,)."""
        return Gallery(self.videos, self.is_wanted & numbers)

    @cached_property
    def _versions(self) -> tuple[pa.Array, NDArray[np.int32]]:
        """The versions that are live, and which of them each video has."""
        live_versions = pc.unique(self.videos["version"])
        return live_versions, _places(self.videos["version"], live_versions)

    def numbers(self, video_ids: pa.ChunkedArray, versions: pa.ChunkedArray) -> NDArray[np.int32]:
        """The number of each row's video, int32 (N,); -1 for videos that are gone and versions that are not live."""
        if not self.videos.num_rows or not len(video_ids):
            return np.full(len(video_ids), -1, np.int32)
        found = _places(video_ids, self.videos["video_id"])
        live_versions, version_of_video = self._versions
        is_live = (found >= 0) & (version_of_video[found] == _places(versions, live_versions))
        return np.where(is_live, found, -1).astype(np.int32)

    def among(self, numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether each row, by the number of its video, may be found, bool (N,)."""
        return chosen_rows(numbers, self.is_wanted)


def chosen_rows(numbers: NDArray[np.int32], is_chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each row's video is among some, bool (N,).

    Args:
        numbers: int32 (N,), its number; -1: it is gone.
        is_chosen: bool (V,).
    """
    chosen: NDArray[np.bool_] = numbers >= 0
    chosen[chosen] = is_chosen[numbers[chosen]]
    return chosen


def read_gallery(root: str, where: str | None = None) -> Gallery:
    """The live videos of a root.

    Args:
        root: The root's URI, normalized.
        where: SQL condition over the columns of `videos`; None: all.
    Raises:
        ConfigError: DuckDB refuses the condition, or no video meets it.
        TableError: the root has no tables.
    """
    is_live = pc.field("status") == "ok"
    videos = tables.read(root, "videos", ["video_id", "version", "uri"], is_live).combine_chunks()
    if where is None:
        return Gallery(videos, np.ones(videos.num_rows, np.bool_))
    chosen = chosen_videos(root, where)["video_id"]
    is_wanted = pc.is_in(videos["video_id"], chosen.combine_chunks())
    return Gallery(videos, np.asarray(is_wanted, np.bool_))


def _places(values: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
    """Where each value stands in `among`, int32 (N,); -1: nowhere. Of a dictionary, the distinct ones are looked up."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        distinct = _places(values.dictionary, among)
        repeated: NDArray[np.int32] = distinct[np.asarray(values.indices)]
        return repeated
    places = pc.index_in(values, value_set=among)
    return np.asarray(pc.fill_null(places, -1), np.int32)
