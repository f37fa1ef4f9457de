"""Roots whose vectors are chosen by the test: no video is decoded and no network runs."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import registry, schema, storage, tables

DS = datetime.date(2026, 11, 1)
SAMPLING_DIGEST = "5" * 16


@dataclass(frozen=True)
class Planted:
    """One video of a planted root: its vectors, float (N, D), one a second, and what is said of it."""

    vectors: NDArray[np.floating]
    label: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    recon_error: Sequence[float] | None = None
    motion: Sequence[float] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)  # of `videos`


def planted_root(root: str, videos: Mapping[str, Planted], *, version: str = "1") -> str:
    """Add the videos, by uri, and their vectors under one model, which becomes the champion; returns the root's URI."""
    root = storage.normalize(root)
    tables.create_missing(root)
    digest = version * 32
    storage.put_if_absent(storage.join(root, "models", version, "model.json"), json.dumps({"digest": digest}).encode())
    registry.promote(root, version)
    ids = {uri: schema.video_id(uri) for uri in videos}
    rows = [
        {"video_id": ids[uri], "uri": uri, "version": "v1", "status": "ok", "duration_s": float(len(video.vectors))}
        | dict(video.columns)
        for uri, video in videos.items()
    ]
    tables.append_rows(root, "videos", rows)
    labels = [
        {"video_id": ids[uri], "uri": uri, "label": video.label, "attributes": video.attributes, "source": "planted"}
        for uri, video in videos.items()
        if video.label is not None
    ]
    if labels:
        tables.append_rows(root, "labels", labels)
    features = [row for uri, video in videos.items() for row in _slices(uri, video, version, digest)]
    tables.append(root, "features", pa.Table.from_pylist(features, schema=schema.FEATURES))
    return root


def _slices(uri: str, video: Planted, version: str, digest: str) -> list[dict[str, Any]]:
    video_id, number = schema.video_id(uri), len(video.vectors)
    errors, motions = video.recon_error or [0.1] * number, video.motion or [0.01] * number
    return [
        {
            "clip_id": schema.clip_id(video_id, "v1", index, SAMPLING_DIGEST, digest),
            "video_id": video_id,
            "uri": uri,
            "version": "v1",
            "clip_index": index,
            "start_s": float(index),
            "end_s": float(index + 1),
            "num_frames": 16,
            "embedding": vector.astype(np.float32).tolist(),
            "recon_error": errors[index],
            "motion": motions[index],
            "model_name": "planted",
            "model_version": version,
            "model_digest": digest,
            "sampling_digest": SAMPLING_DIGEST,
            "run_key": "0" * 16,
            "ds": DS,
        }
        for index, vector in enumerate(video.vectors)
    ]
