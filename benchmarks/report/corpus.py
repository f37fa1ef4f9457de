"""A root of many videos with planted vectors: every table is filled, and every video can be read.

num_videos --> videos (hard links to a few rendered ones), labels, features (SLICES_A_VIDEO each), failures, runs
"""

import os
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.plan.catalog import SAMPLING_DIGEST, complete, hex32
from pipeline import datafiles, registry, schema, storage, tables
from pipeline.decode.sampling import SamplingConfig
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.videos import encode_video

SLICES_A_VIDEO, DIM, NUM_CLASSES = 4, 64, 12
NUM_NIGHTS = 30
_NUM_FILES = 40  # links to one file: 100,000 / 40 is far below what file systems allow
_NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)
_CODECS = np.array(["h264", "hevc", "av1", "vp9", "mpeg4", "prores"])
_SIZES = np.array([(1920, 1080), (1280, 720), (3840, 2160), (640, 480), (1080, 1920)])
_REASONS = np.array(["corrupt", "timeout", "no_video", "partial"])


def write_root(folder: Path, *, num_videos: int) -> str:
    """Make the videos and the root; returns the root's URI."""
    root = storage.normalize(str(folder / "root"))
    tables.create_missing(root)
    model = _publish_model(root, folder / "model")
    generator = np.random.default_rng(0)
    uris = _link_videos(folder / "videos", num_videos)
    videos = _videos(uris, generator)
    classes = generator.integers(0, NUM_CLASSES, num_videos)
    failed = np.arange(num_videos) % 50 == 0
    done = videos.filter(pa.array(~failed))
    rows = {
        "videos": videos,
        "labels": _labels(videos, classes),
        "features": _features(done, classes[~failed], model, generator),
        "failures": _failures(videos.filter(pa.array(failed))),
        "runs": _runs(num_videos),
    }
    for name, table in rows.items():
        tables.TableWriter(root, name, seen_transaction=0).commit(datafiles.write(root, name, table))
    return root


def _publish_model(root: str, folder: Path) -> registry.ModelReference:
    """A network of fresh weights: what it rebuilds is noise, and takes as long as the work of a trained one."""
    network = build_model(sora_xs(), num_classes=0)
    save_checkpoint(folder, network, labels=(), sampling=asdict(SamplingConfig()), metrics={})
    model = registry.publish(root, folder)
    registry.promote(root, model.version)
    return model


def _link_videos(folder: Path, number: int) -> list[str]:
    folder.mkdir(parents=True)
    originals = []
    for index in range(_NUM_FILES):
        path = folder / f"original-{index}.mp4"
        path.write_bytes(encode_video(32 + index, width=320, height=240))
        originals.append(path)
    uris = []
    for index in range(number):
        path = folder / f"site-{index % 97:02d}" / f"{index:06d}.mp4"
        path.parent.mkdir(exist_ok=True)
        os.link(originals[index % _NUM_FILES], path)
        uris.append(f"file://{path}")
    return uris


def _videos(uris: list[str], generator: np.random.Generator) -> pa.Table:
    number = len(uris)
    sizes = _SIZES[generator.integers(0, len(_SIZES), number)]
    return complete(
        "videos",
        number,
        video_id=pa.array([schema.video_id(uri) for uri in uris]),
        uri=pa.array(uris),
        version=hex32(number, generator),
        size_bytes=pa.array(generator.integers(1 << 20, 1 << 28, number)),
        duration_s=pa.array(generator.gamma(2.0, 0.6, number) + 0.1),
        codec=pa.array(_CODECS[generator.integers(0, len(_CODECS), number)]),
        container="mov,mp4,m4a,3gp,3g2,mj2",
        width=pa.array(sizes[:, 0].astype(np.int32)),
        height=pa.array(sizes[:, 1].astype(np.int32)),
        rotation_deg=0,
        has_audio=True,
        status="ok",
        cataloged_at=_NOW,
    )


def _labels(videos: pa.Table, classes: NDArray[np.int64]) -> pa.Table:
    names = pa.array([f"action {index:02d}" for index in classes])
    ids = {name: videos[name] for name in ("video_id", "uri")}
    return complete("labels", videos.num_rows, **ids, label=names, source="planted", labelled_at=_NOW)


def _features(
    done: pa.Table, classes: NDArray[np.int64], model: registry.ModelReference, generator: np.random.Generator
) -> pa.Table:
    """Vectors around a centre for each class."""
    number = done.num_rows * SLICES_A_VIDEO
    video = np.repeat(np.arange(done.num_rows), SLICES_A_VIDEO)
    clip_index = np.tile(np.arange(SLICES_A_VIDEO, dtype=np.int32), done.num_rows)
    centres = generator.normal(size=(NUM_CLASSES, DIM))
    vectors = centres[classes[video]] + generator.normal(size=(number, DIM))
    offsets = pa.array(np.arange(0, DIM * number + 1, DIM, dtype=np.int32))
    nights = np.arange(done.num_rows)[video] % NUM_NIGHTS
    return complete(
        "features",
        number,
        **{name: done[name].take(pa.array(video)) for name in ("video_id", "uri", "version")},
        clip_id=hex32(number, generator),
        clip_index=pa.array(clip_index),
        start_s=pa.array(clip_index * 0.25),
        end_s=pa.array(clip_index * 0.25 + 0.25),
        num_frames=16,
        embedding=pa.ListArray.from_arrays(offsets, pa.array(vectors.astype(np.float32).ravel())),
        recon_error=pa.array(generator.gamma(4.0, 0.03, number).astype(np.float32)),
        motion=0.05,
        model_name="sora_xs",
        model_version=model.version,
        model_digest=model.digest,
        sampling_digest=SAMPLING_DIGEST,
        run_key="0" * 16,
        ds=pa.array([date(2026, 1, 1) + timedelta(days=int(night)) for night in nights]),
        produced_at=_NOW,
    )


def _failures(failed: pa.Table) -> pa.Table:
    reasons = _REASONS[np.arange(failed.num_rows) % len(_REASONS)]
    return complete(
        "failures",
        failed.num_rows,
        **{name: failed[name] for name in ("video_id", "uri", "version")},
        stage="decode",
        error_class=pa.array(reasons),
        message="a packet of the first video stream cannot be read\n  where: frame 17 of the third slice",
        attempts=1,
        run_key="0" * 16,
        ds=date(2026, 1, 1),
        failed_at=_NOW,
    )


def _runs(num_videos: int) -> pa.Table:
    a_night = num_videos // NUM_NIGHTS
    rows = [
        {
            "run_key": f"{night:016d}",
            "job": "extract",
            "status": "succeeded",
            "config": "{}",
            "counts": [("videos", a_night), ("clips", a_night * SLICES_A_VIDEO)],
            "seconds_by_stage": [("total", 3600.0 + 60 * night)],
            "clips_per_second": a_night * SLICES_A_VIDEO / (3600.0 + 60 * night),
            "started_at": _NOW + timedelta(days=night),
            "ended_at": _NOW + timedelta(days=night, hours=1),
        }
        for night in range(NUM_NIGHTS)
    ]
    return pa.Table.from_pylist(rows, schema=schema.RUNS)
