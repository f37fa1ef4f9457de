"""Which frames of videos a page shows, and the tiles they become."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.decode.moment import Moment
from pipeline.report.page.content import Tile
from pipeline.report.page.frames import Frame, fitted

GALLERY = 24
_SHOWN_AT = 1 / 3  # of a video's length: past titles and black, before credits
_LIVE = "FROM videos WHERE status = 'ok'"
_LABEL = "SELECT video_id, min(label) AS label FROM labels WHERE start_s IS NULL GROUP BY video_id"


@dataclass(frozen=True)
class Known:
    """What the catalog says of a video; size is that of the upright picture, None where it is not known."""

    size: tuple[int, int] | None
    duration_s: float
    label: str


def gallery(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Uris of some live videos: their ids are hashes, so the first of them are a random sample."""
    found = connection.execute(f"SELECT uri {_LIVE} ORDER BY video_id LIMIT {GALLERY}").fetchall()
    return [str(uri) for (uri,) in found]


def known(connection: duckdb.DuckDBPyConnection, uris: Iterable[str]) -> dict[str, Known]:
    """What is known of live videos, by uri."""
    text = (
        f"SELECT v.uri, v.width, v.height, v.rotation_deg, v.duration_s, l.label FROM (SELECT * {_LIVE}) v "
        f"LEFT JOIN ({_LABEL}) l USING (video_id) WHERE v.uri IN (SELECT unnest(?::VARCHAR[]))"
    )
    found = connection.execute(text, [sorted(set(uris))]).fetchall()
    return {row[0]: Known(_upright(*row[1:4]), float(row[4] or 0.0), row[5] or "") for row in found}


def moment(uri: str, videos: Mapping[str, Known]) -> Moment:
    """The frame that stands for a whole video."""
    return Moment(uri, videos[uri].duration_s * _SHOWN_AT if uri in videos else 0.0)


def tile(wanted: Moment, videos: Mapping[str, Known], frames: Mapping[Moment, Frame]) -> Tile:
    """The tile of a moment; one that was never asked for has neither picture nor reason."""
    of_video = videos.get(wanted.uri, Known(None, 0.0, ""))
    frame = frames.get(wanted, Frame(None))
    source = data_uri(frame.webp) if frame.webp else ""
    width, height = fitted(of_video.size)
    return Tile(wanted.uri, name_of(wanted.uri), wanted.time_s, of_video.label, source, frame.reason, width, height)


def data_uri(webp: bytes) -> str:
    """A picture as part of the page."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def name_of(uri: str) -> str:
    """The folder and the file of a uri, which is what tells videos apart."""
    return "/".join(uri.rstrip("/").split("/")[-2:])


def sizes(videos: Mapping[str, Known]) -> dict[str, tuple[int, int]]:
    """Sizes of the upright pictures, where they are known."""
    return {uri: one.size for uri, one in videos.items() if one.size is not None}


def _upright(width: Any, height: Any, rotation_deg: Any) -> tuple[int, int] | None:
    if not width or not height:
        return None
    return (int(height), int(width)) if rotation_deg in (90, 270) else (int(width), int(height))
