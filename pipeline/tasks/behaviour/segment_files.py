"""Segments as files: JSON for machines, timelines for people."""

import json
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from pipeline import storage
from pipeline.tasks.behaviour.segmentation import Segmented
from pipeline.tasks.behaviour.timeline import Curve, lanes_of, timeline_figure


def segments_json(done: Segmented) -> dict[str, Any]:
    """All segments of the chosen videos, under the user's names."""
    videos = [
        {"uri": video.uri, "version": video.version, "segments": [vars(segment) for segment in segments]}
        for video, segments in zip(done.videos, done.segments, strict=True)
    ]
    fitted = done.fitted
    lineage = {"segmentation": fitted.segmentation, "kind": fitted.kind, "model_version": fitted.model_version}
    return {**lineage, "digest": fitted.digest, "names": dict(done.names), "videos": videos}


def write_segments(folder: str, done: Segmented, *, max_pictures: int) -> int:
    """Write segments.json and a timeline for each of the first videos; returns the number of pictures."""
    folder = storage.normalize(folder)
    storage.put(storage.join(folder, "segments.json"), json.dumps(segments_json(done), indent=1).encode())
    behaviours = list(dict.fromkeys(done.names.values()))
    shown = list(zip(done.videos, done.segments, strict=True))[:max_pictures]
    for video, segments in shown:
        curves = [Curve("recon_error", video.recon_error), Curve("motion", video.motion)]
        figure = timeline_figure(video, lanes_of(segments, behaviours), curves, title=short_name(video.uri))
        put_picture(storage.join(folder, f"{short_name(video.uri).replace('/', '-')}-{video.video_id[:8]}.png"), figure)
    return len(shown)


def short_name(uri: str) -> str:
    """The last two parts of a uri."""
    return "/".join([part for part in PurePosixPath(uri.partition("://")[2]).parts if part != "/"][-2:])


def put_picture(uri: str, figure: Any) -> None:
    """Write a matplotlib figure as PNG."""
    sink = BytesIO()
    figure.savefig(sink, format="png")
    storage.put(uri, sink.getvalue())
