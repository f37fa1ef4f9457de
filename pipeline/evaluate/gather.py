"""What is judged, out of the tables: labelled videos with their splits and sources, and one vector for each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import tables
from pipeline.errors import ConfigError, TableError
from pipeline.evaluate.judge import Rows

SIDES = ("train", "test")


def read_rows(
    root: str, *, group_column: str, splits_of: Callable[[list[str]], Sequence[str]]
) -> tuple[Rows, pa.Table]:
    """The labelled videos that stand on a side of some split, or all where there is none, in the order of their ids.

    Args:
        root: The root's URI.
        group_column: Attribute that names a video's source; videos without it are sources of their own.
        splits_of: Chooses the split columns out of the known attributes.
    Returns:
        The rows, and video_id, uri, version of the same videos in the same order.
    Raises:
        ConfigError: no video is labelled as a whole, or no split column is there.
        TableError: the root has no tables.
    """
    whole = pc.field("start_s").is_null() & pc.field("end_s").is_null()
    labels = tables.read(root, "labels", ["video_id", "label", "attributes"], whole).to_pylist()
    if not labels:
        cure = f"run `sora catalog CORPUS --root {root} --labels CSV`"
        raise ConfigError("No video of the root has a label.", where=root, expected="labels on whole videos", cure=cure)
    by_video = {row["video_id"]: row for row in sorted(labels, key=lambda row: str(row["label"]))}
    attributes = {video_id: dict(row["attributes"] or {}) for video_id, row in by_video.items()}
    splits = splits_of(sorted({name for one in attributes.values() for name in one}))
    videos = tables.read(root, "videos", ["video_id", "uri", "version"], pc.field("status") == "ok")
    videos = videos.sort_by("video_id")
    is_wanted = [
        video_id in attributes and (not splits or any(attributes[video_id].get(split) in SIDES for split in splits))
        for video_id in videos["video_id"].to_pylist()
    ]
    videos = videos.filter(pa.array(is_wanted, pa.bool_()))
    ids = videos["video_id"].to_pylist()
    classes = sorted({by_video[video_id]["label"] for video_id in ids})
    index_of = {name: index for index, name in enumerate(classes)}
    rows = Rows(
        ids,
        np.array([index_of[by_video[video_id]["label"]] for video_id in ids], dtype=np.int64),
        np.array([attributes[video_id].get(group_column) or video_id for video_id in ids], dtype=np.str_),
        {split: np.array([attributes[video_id].get(split, "") for video_id in ids], dtype=np.str_) for split in splits},
        classes,
    )
    require_sides(rows)
    return rows, videos


def require_sides(rows: Rows) -> None:
    """Raise a ConfigError where a split has no video on one of its sides."""
    for split, sides in rows.splits.items():
        counts = {side: int((sides == side).sum()) for side in SIDES}
        if not all(counts.values()):
            cure = "see the column in the CSV of the labels, and whether those videos are extracted"
            what = "A split has no video on one side."
            raise ConfigError(what, where=split, got=counts, expected="videos that say train and test", cure=cure)


def video_vectors(root: str, version: str, videos: pa.Table) -> dict[str, NDArray[np.float64]]:
    """The mean vector of each video's slices under one model; videos without any are left out.

    Args:
        root: The root's URI.
        version: Of the model, as `features` has it.
        videos: video_id and version of the videos.
    Returns:
        float64 (D,) by video_id.
    Raises:
        TableError: the table has no vector of this model for these videos.
    """
    columns = ["video_id", "version", "embedding"]
    is_wanted = (pc.field("model_version") == version) & pc.field("video_id").isin(videos["video_id"].unique())
    table = _of_videos(tables.read(root, "features", columns, is_wanted), videos)
    if not table.num_rows:
        cure = f"run `sora extract --root {root} --model {version}`"
        where = f"{root}, model {version}"
        raise TableError("The table has no vector of this model for the labelled videos.", where=where, cure=cure)
    ids, of_row = np.unique(np.array(table["video_id"].to_pylist(), dtype=np.str_), return_inverse=True)
    flat = table["embedding"].combine_chunks().flatten().to_numpy().astype(np.float64)
    vectors = flat.reshape(table.num_rows, -1)
    sums = np.zeros((len(ids), vectors.shape[1]))
    np.add.at(sums, of_row, vectors)
    means = sums / np.bincount(of_row)[:, None]
    return dict(zip(ids.tolist(), means, strict=True))


def _of_videos(table: pa.Table, videos: pa.Table) -> pa.Table:
    """Rows of the wanted versions of the wanted videos."""
    version_of = dict(zip(videos["video_id"].to_pylist(), videos["version"].to_pylist(), strict=True))
    pairs = zip(table["video_id"].to_pylist(), table["version"].to_pylist(), strict=True)
    return table.filter(pa.array([version_of.get(video_id) == version for video_id, version in pairs], pa.bool_()))


def common(rows: Rows, there: Iterable[Mapping[str, object]]) -> Rows:
    """The rows of the videos that every one of the mappings has, so that all are judged on the same videos."""
    found = [set(one) for one in there]
    keep = np.array([all(video_id in one for one in found) for video_id in rows.video_ids], dtype=bool)
    return replace(
        rows,
        video_ids=[video_id for video_id, kept in zip(rows.video_ids, keep, strict=True) if kept],
        labels=rows.labels[keep],
        groups=rows.groups[keep],
        splits={split: sides[keep] for split, sides in rows.splits.items()},
    )


def stacked(rows: Rows, vectors: Mapping[str, NDArray[np.floating]]) -> NDArray[np.floating]:
    """The vectors of the rows, (N, D), in their order."""
    return np.stack([vectors[video_id] for video_id in rows.video_ids])
