"""The slices of the videos below one folder, and why other objects there have none."""

from dataclasses import dataclass

import pyarrow.compute as pc

from pipeline import storage, tables
from pipeline.errors import ConfigError, CorpusError, TableError
from pipeline.tasks.behaviour.video_slices import VideoSlices, by_video
from pipeline.tasks.slices import read_slices

NO_VIDEO = "no video"


@dataclass(frozen=True)
class FolderSlices:
    """Videos with slices, in the order of their uris, and the reason of every object that has none, by uri."""

    videos: list[VideoSlices]
    without: dict[str, str]

    @property
    def num_failed(self) -> int:
        """Videos without vectors; what is no video is no failure."""
        return sum(reason != NO_VIDEO for reason in self.without.values())


def folder_slices(root: str, model: str, folder: str) -> FolderSlices:
    """Read what an extraction has made of a cataloged folder.

    Args:
        root: The root's URI.
        model: Whose vectors.
        folder: Normalized URI.
    Raises:
        CorpusError: not one video of the folder has vectors.
    """
    objects = _objects(root, folder)
    below = storage.join(folder, "").replace("'", "''")
    try:
        slices = read_slices(root, model, where=f"starts_with(uri, '{below}')")
    except (TableError, ConfigError) as e:
        got = sorted(set(objects.values())) or "no object"
        cure = f'see `sora sql --root {root} "SELECT uri, error_class, message FROM failures"`'
        raise CorpusError("Not one video of the folder has vectors.", where=folder, got=got, cure=cure) from e
    videos = sorted(by_video(slices), key=lambda video: video.uri)
    there = {video.uri for video in videos}
    return FolderSlices(videos, {uri: reason for uri, reason in sorted(objects.items()) if uri not in there})


def _objects(root: str, folder: str) -> dict[str, str]:
    """Every object of the folder, by uri, and what would explain that it has no vectors."""
    below = pc.starts_with(pc.field("uri"), storage.join(folder, ""))
    live = pc.field("status").isin(["ok", "failed"])
    found = {row["uri"]: "no vectors" for row in tables.read(root, "videos", ["uri"], below & live).to_pylist()}
    failures = (
        tables.read(root, "failures", ["uri", "error_class", "failed_at"], below).sort_by("failed_at").to_pylist()
    )
    found |= {row["uri"]: row["error_class"] for row in failures if row["uri"] in found}
    ignored = tables.read(root, "ignored", ["uri"], below).to_pylist()
    return {**{row["uri"]: NO_VIDEO for row in ignored}, **found}
