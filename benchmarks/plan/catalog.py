"""A synthetic catalog of millions of videos, most of them done, in the real tables and through the real commit.

num_videos, seed --> videos, features (SLICES_A_VIDEO rows a done video), failures
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import datafiles, schema, tables
from pipeline.datafiles import DataFile

MODEL_VERSION, SAMPLING_DIGEST = "1", "9f86d081884c7d65"
SLICES_A_VIDEO = 4
DUE_AGAIN_ATTEMPTS = 2
_VIDEOS_A_FILE = 250_000  # of `features`, SLICES_A_VIDEO times as many rows: what compaction makes of a night
_NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)
_FIRST_DS = date(2026, 1, 1)


@dataclass(frozen=True)
class Shares:
    """How many of the videos are what, decided by index % 200: 1 % failed, 90 % done, the rest new.

    Of the failed, one half is due again (`timeout` at the second attempt), the other given up (`corrupt`).
    """

    videos: int
    done: int
    given_up: int
    due_again: int

    @property
    def pending(self) -> int:
        return self.videos - self.done - self.given_up


def shares(num_videos: int) -> Shares:
    """What a catalog of so many videos holds."""
    kinds = np.arange(num_videos) % 200
    return Shares(num_videos, int(_is_done(kinds).sum()), int((kinds == 0).sum()), int((kinds == 100).sum()))


def write_catalog(root: str, *, num_videos: int, seed: int = 0) -> None:
    """Create the tables of a root and fill them, a commit a table.

    Args:
        root: The root's URI; it has no tables yet.
        num_videos: Rows of `videos`, all of them live.
        seed: Of the versions and the durations; the uris are the same for every seed.
    """
    tables.create_missing(root)
    generator = np.random.default_rng(seed)
    files: dict[str, list[DataFile]] = {"videos": [], "features": [], "failures": []}
    for start in range(0, num_videos, _VIDEOS_A_FILE):
        indices = np.arange(start, min(start + _VIDEOS_A_FILE, num_videos))
        videos = _videos(indices, generator)
        ds = _FIRST_DS + timedelta(days=start // _VIDEOS_A_FILE)
        done = videos.filter(pa.array(_is_done(indices % 200)))
        for name, rows in (
            ("videos", videos),
            ("features", _features(done, ds, generator)),
            ("failures", pa.concat_tables(_failures(videos, indices, ds))),
        ):
            files[name] += datafiles.write(root, name, rows)
    for name, written in files.items():
        tables.TableWriter(root, name, seen_transaction=0).commit(written)


def _is_done(kinds: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (kinds % 100 >= 1) & (kinds % 100 <= 90)


def _videos(indices: NDArray[np.int64], generator: np.random.Generator) -> pa.Table:
    uris = [f"s3://footage/site-{i % 97:03d}/2026-{i % 12 + 1:02d}/camera-{i % 16:02d}/{i:09d}.mp4" for i in indices]
    return complete(
        "videos",
        len(indices),
        video_id=pa.array([schema.video_id(uri) for uri in uris]),
        uri=pa.array(uris),
        version=hex32(len(indices), generator),
        size_bytes=pa.array(generator.integers(1 << 20, 1 << 28, len(indices))),
        duration_s=pa.array(generator.gamma(2.0, 15.0, len(indices))),
        codec="h264",
        status="ok",
        cataloged_at=_NOW,
    )


def _features(done: pa.Table, ds: date, generator: np.random.Generator) -> pa.Table:
    num_rows = done.num_rows * SLICES_A_VIDEO
    video = pa.array(np.repeat(np.arange(done.num_rows), SLICES_A_VIDEO))
    clip_index = np.tile(np.arange(SLICES_A_VIDEO, dtype=np.int32), done.num_rows)
    embedding = pa.ListArray.from_arrays(  # two numbers: a plan never reads them
        pa.array(np.arange(0, 2 * num_rows + 1, 2, dtype=np.int32)), pa.array(np.ones(2 * num_rows, np.float32))
    )
    return complete(
        "features",
        num_rows,
        **{name: done[name].take(video) for name in ("video_id", "uri", "version")},
        clip_id=hex32(num_rows, generator),
        clip_index=pa.array(clip_index),
        start_s=pa.array(clip_index.astype(np.float64)),
        end_s=pa.array(clip_index + 1.0),
        num_frames=16,
        embedding=embedding,
        model_name="sora_xs",
        model_version=MODEL_VERSION,
        model_digest="d" * 32,
        sampling_digest=SAMPLING_DIGEST,
        run_key=f"{ds:%Y%m%d}",
        ds=ds,
        produced_at=_NOW,
    )


def _failures(videos: pa.Table, indices: NDArray[np.int64], ds: date) -> Iterator[pa.Table]:
    for kind, error_class, attempts in ((0, "corrupt", 1), (100, "timeout", 1), (100, "timeout", DUE_AGAIN_ATTEMPTS)):
        failed = videos.filter(pa.array(indices % 200 == kind))
        yield complete(
            "failures",
            failed.num_rows,
            **{name: failed[name] for name in ("video_id", "uri", "version")},
            stage="decode",
            error_class=error_class,
            message="what: a packet of the first video stream cannot be read, where: frame 17 of the third slice",
            attempts=attempts,
            run_key=f"{ds:%Y%m%d}",
            ds=ds,
            failed_at=_NOW,
        )


def complete(name: str, num_rows: int, **values: object) -> pa.Table:
    """Rows of a table: arrays as given, other values in every row, columns left out null."""
    columns = schema.TABLES[name]
    arrays = [
        (pa.array(value) if isinstance(value, np.ndarray) else value).cast(field.type)
        if isinstance(value := values.get(field.name), (np.ndarray, pa.Array, pa.ChunkedArray))
        else pa.repeat(pa.scalar(value, field.type), num_rows)
        for field in columns
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def hex32(num_rows: int, generator: np.random.Generator) -> pa.Array:
    """Random strings of 32 hex digits, as ids and etags are."""
    digits = generator.bytes(16 * num_rows).hex().encode()
    offsets = np.arange(0, 32 * num_rows + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(num_rows, pa.py_buffer(offsets), pa.py_buffer(digits))
