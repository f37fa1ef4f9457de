"""What is looked for: a clip or a video of the table, a new file, or vectors at hand."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.tasks.retrieval.source import Source
from pipeline.tasks.slices import stacked_vectors

_ID = re.compile("[0-9a-f]{32}")
Kind = Literal["clip", "video", "file", "vectors"]


@dataclass(frozen=True)
class Query:
    """A query.

    Args:
        kind: What was named.
        uri: Of its video; None for vectors.
        video_id: Of its video, where that is in the catalog.
        start_s, end_s: The time it covers.
        vectors: float32 (Q, D), not normalised, one a slice.
        note: What should be known of it: damage of a file.
    """

    kind: Kind
    uri: str | None
    video_id: str | None
    start_s: float
    end_s: float
    vectors: NDArray[np.float32]
    note: str | None = None


def find_query(source: Source, text: str) -> Query:
    """The query a text stands for: a clip_id, a video_id, a video's uri, or the path of a file.

    Args:
        source: Where its vectors may be.
        text: As it was typed.
    Raises:
        ConfigError: it is none of these.
        DecodeError: the file is no video that decodes.
    """
    uri = _as_uri(text)
    if _ID.fullmatch(text):
        found = _clip(source, text) or _video(source, "video_id", text)
    else:
        found = _video(source, "uri", text) or _video(source, "uri", uri)
    if found is not None:
        return found
    if storage.is_local(uri) and not storage.local_path(uri).is_file():
        raise ConfigError(
            "The query is nothing to search by.",
            where=source.where,
            got=text,
            expected="a clip_id or video_id of the table (32 hex digits), a video's uri, or the path of a video",
            cure=f'sora sql --root {source.root} "SELECT clip_id, video_id, uri FROM features LIMIT 5" shows some',
        )
    return file_query(source, uri)


def file_query(source: Source, path: str | Path) -> Query:
    """A new file, embedded now.

    Raises:
        DecodeError: it is no video that decodes.
    """
    from pipeline.tasks.retrieval.embed import embed_file  # torch takes seconds to import, and no other query needs it

    embedded = embed_file(source.root, path, source.model.version if _is_own(source) else source.model.uri)
    start_s, end_s = float(embedded.start_s[0]), float(embedded.end_s[-1])
    return Query("file", embedded.uri, None, start_s, end_s, embedded.vectors, embedded.damage)


def _is_own(source: Source) -> bool:
    return source.model.uri == storage.join(source.root, "models", source.model.version)


def _as_uri(text: str) -> str:
    """A path or URI as the catalog would write it."""
    try:
        return storage.normalize(text)
    except ConfigError:
        return text


def _clip(source: Source, clip_id: str) -> Query | None:
    number = source.number_of_clip(clip_id)
    if number is None or np.concatenate(source.videos)[number] < 0:
        return None
    return _of_rows(source, "clip", int(np.concatenate(source.videos)[number]), np.array([number]))


def _video(source: Source, column: str, value: str) -> Query | None:
    video = pc.index(source.gallery.videos[column], value).as_py()
    numbers = source.numbers_of_video(video) if video >= 0 else np.empty(0, np.int64)
    return _of_rows(source, "video", video, numbers) if len(numbers) else None


def _of_rows(source: Source, kind: Kind, video: int, numbers: NDArray[np.int64]) -> Query:
    rows = source.rows_at(numbers, ("start_s", "end_s", "embedding")).sort_by("start_s")
    return Query(
        kind,
        source.gallery.videos["uri"][video].as_py(),
        source.gallery.videos["video_id"][video].as_py(),
        pc.min(rows["start_s"]).as_py(),
        pc.max(rows["end_s"]).as_py(),
        stacked_vectors(rows["embedding"], where=source.where),
    )
