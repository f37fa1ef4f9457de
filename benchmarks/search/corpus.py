"""Vectors with the structure of footage, in the real tables through the real commit, and queries nobody stored.

kind of scene (a centre in LATENT_DIM directions) --> video (near its centre) --> slices (near each other)
query: a stored slice of another draw of the noise, as a second look at the same moment would give
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.plan.catalog import complete, hex32
from pipeline import registry, schema, storage, tables

MODEL_VERSION, MODEL_DIGEST, SAMPLING_DIGEST = "1", "d" * 32, "9f86d081884c7d65"
DIM, LATENT_DIM = 64, 24
SLICES_A_VIDEO = 8
VIDEOS_A_KIND = 60  # 480 slices of one kind of scene: the ten nearest of a query are a choice among many alike
VIDEO_SPREAD, SLICE_SPREAD, NOISE = 0.6, 0.3, 0.1  # standard deviations, of centres' 1
_ROWS_A_FILE = 250_000
_NOW, _DS = datetime(2026, 1, 2, 3, tzinfo=UTC), date(2026, 1, 1)


@dataclass(frozen=True)
class Drawn:
    """The vectors of some videos, float32 (N, DIM), SLICES_A_VIDEO a video, and which video each belongs to."""

    vectors: NDArray[np.float32]
    videos: NDArray[np.int64]


class Scenes:
    """What all vectors are drawn from.

    Args:
        num_rows: Vectors of the whole corpus.
        seed: Of everything.
    """

    def __init__(self, num_rows: int, seed: int = 0):
        self._generator = np.random.default_rng(seed)
        self._num_kinds = max(1, num_rows // (SLICES_A_VIDEO * VIDEOS_A_KIND))
        self._centres = self._normal(self._num_kinds, LATENT_DIM)
        directions, _ = np.linalg.qr(self._normal(DIM, LATENT_DIM))
        self._directions = directions.T.astype(np.float32)  # (LATENT_DIM, DIM)

    def draw(self, first_video: int, num_videos: int) -> Drawn:
        """The next videos."""
        kinds = self._generator.integers(self._num_kinds, size=num_videos)
        videos = self._centres[kinds] + VIDEO_SPREAD * self._normal(num_videos, LATENT_DIM)
        latent = np.repeat(videos, SLICES_A_VIDEO, axis=0)
        latent = latent + SLICE_SPREAD * self._normal(len(latent), LATENT_DIM)
        vectors = latent @ self._directions + NOISE * self._normal(len(latent), DIM)
        owners = np.repeat(np.arange(first_video, first_video + num_videos), SLICES_A_VIDEO)
        return Drawn(vectors.astype(np.float32), owners)

    def queries(self, drawn: Drawn, number: int) -> NDArray[np.float32]:
        """Second looks at some of the slices: float32 (number, DIM), none of them stored."""
        chosen = drawn.vectors[self._generator.choice(len(drawn.vectors), number, replace=False)]
        moved = SLICE_SPREAD * self._normal(number, LATENT_DIM) @ self._directions
        return (chosen + moved + NOISE * self._normal(number, DIM)).astype(np.float32)

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self._generator.standard_normal(shape, dtype=np.float32)


def write_corpus(root: str, *, num_rows: int, num_queries: int, seed: int = 0) -> NDArray[np.float32]:
    """Make a root with the tables and a model of which there is only the name; gives the queries.

    Args:
        root: The root's URI; it has no tables yet.
        num_rows: Vectors, SLICES_A_VIDEO a video.
        num_queries: Held-out queries.
        seed: Of everything.
    Returns:
        float32 (num_queries, DIM).
    """
    root = storage.normalize(root)
    tables.create_missing(root)
    model = storage.join(root, "models", MODEL_VERSION, "model.json")
    storage.put_if_absent(model, json.dumps({"digest": MODEL_DIGEST}).encode())
    registry.promote(root, MODEL_VERSION)
    scenes, generator, queries = Scenes(num_rows, seed), np.random.default_rng(seed), []
    for first, number in _parts(num_rows // SLICES_A_VIDEO):
        drawn = scenes.draw(first, number)
        uris = np.array([f"s3://footage/camera-{i % 16:02d}/{i:09d}.mp4" for i in range(first, first + number)])
        ids = np.array([schema.video_id(uri) for uri in uris])
        tables.append(root, "videos", _videos(ids, uris))
        tables.append(root, "features", _features(drawn, first, ids, uris, generator))
        queries.append(scenes.queries(drawn, num_queries * number // (num_rows // SLICES_A_VIDEO) + 1))
    return np.concatenate(queries)[:num_queries]


def _parts(num_videos: int) -> Iterator[tuple[int, int]]:
    step = _ROWS_A_FILE // SLICES_A_VIDEO
    for first in range(0, num_videos, step):
        yield first, min(step, num_videos - first)


def _videos(ids: NDArray[np.str_], uris: NDArray[np.str_]) -> pa.Table:
    return complete("videos", len(ids), video_id=ids, uri=uris, version="v1", status="ok", cataloged_at=_NOW)


def _features(
    drawn: Drawn, first: int, ids: NDArray[np.str_], uris: NDArray[np.str_], generator: np.random.Generator
) -> pa.Table:
    number, place = len(drawn.vectors), drawn.videos - first
    index = np.tile(np.arange(SLICES_A_VIDEO, dtype=np.int32), number // SLICES_A_VIDEO)
    offsets = pa.array(np.arange(0, DIM * number + 1, DIM, dtype=np.int32))
    return complete(
        "features",
        number,
        clip_id=hex32(number, generator),
        video_id=ids[place],
        uri=uris[place],
        version="v1",
        clip_index=index,
        start_s=index.astype(np.float64),
        end_s=index + 1.0,
        num_frames=16,
        embedding=pa.ListArray.from_arrays(offsets, pa.array(drawn.vectors.reshape(-1))),
        recon_error=0.1,
        motion=0.01,
        model_name="drawn",
        model_version=MODEL_VERSION,
        model_digest=MODEL_DIGEST,
        sampling_digest=SAMPLING_DIGEST,
        run_key="0" * 16,
        ds=_DS,
        produced_at=_NOW,
    )
