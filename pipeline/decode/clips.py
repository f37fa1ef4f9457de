"""The Ray Data plan of decoding: rows of videos in, one row a clip out. Frames travel as flat bytes, never as objects.

blocks of videos --actors, one sandbox each--> (clip_id, clip_index, label_index, frames) rows, one clip a yield
"""

import importlib.metadata
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.util.annotations import RayDeprecationWarning

from pipeline import storage
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

DECODER_VERSION = f"av {importlib.metadata.version('av')}"
_log = logging.getLogger(__name__)
# Ray's default is for ever: a video that kills its actor must end. Actors are restarted for ever, since Ray Data never
# replaces one that may not be: its pool would shrink to nothing in a long night, and the run stand still.
_MAX_TASK_RETRIES, _MAX_RESTARTS = 3, -1
_VIDEOS_A_BLOCK = 16


def map_with_actors(
    blocks: Sequence[pa.Table],
    worker: type,
    worker_args: Sequence[object],
    *,
    num_actors: int,
    cpus_per_actor: float = 1,
    num_gpus: int = 0,
    num_threads: int = 1,
    max_tasks_in_flight: int | None = None,
) -> "ray.data.Dataset":
    """Map blocks of Arrow rows with a fixed pool of actors, a block a call, retries finite.

    Args:
        blocks: One task each.
        worker: Callable class, pa.Table -> pa.Table or an iterator of them; built once an actor.
        worker_args: Arguments of its constructor.
        num_actors: Size of the pool; no more actors than blocks are started.
        cpus_per_actor: CPUs an actor holds.
        num_gpus: GPUs an actor holds.
        num_threads: Calls that an actor works on at a time.
        max_tasks_in_flight: Tasks sent to an actor before the first is done; None: twice as many as it works on.
    """
    with warnings.catch_warnings():
        # Announced to go in 2.64, and until then the only way to say how often an actor may die.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return ray.data.from_blocks(list(blocks)).map_batches(
            worker,
            fn_constructor_args=list(worker_args),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=max(1, min(num_actors, len(blocks))),
                max_tasks_in_flight_per_actor=max_tasks_in_flight or 2 * num_threads,
                enable_true_multi_threading=num_threads > 1,
            ),
            num_cpus=cpus_per_actor,
            max_concurrency=num_threads,
            num_gpus=num_gpus or None,
            max_restarts=_MAX_RESTARTS,
            max_task_retries=_MAX_TASK_RETRIES,
        )


def clip_dataset(
    videos: pa.Table, sampling: SamplingConfig, *, num_actors: int, seen: Any = None
) -> "ray.data.Dataset":
    """Every clip of the given videos.

    Args:
        videos: video_id, uri, version, label_index (int32, -1: no label).
        sampling: How to cut and scale.
        num_actors: Decoding actors, one CPU each.
        seen: Handle of an actor whose `of_videos(video_ids)` gives a flag a clip of each: those set are left out, and a
            video with none to give is not opened. It is asked when their block's turn comes. None: nothing is left out.
    Returns:
        Rows with video_id, clip_index int32, label_index int32 and frames: fixed-size binary, uint8 (T, H, W, C) RGB.
        A video that cannot be decoded gives no row and a warning; extraction writes its row of `failures`.
    """
    blocks = [videos.slice(start, _VIDEOS_A_BLOCK) for start in range(0, videos.num_rows, _VIDEOS_A_BLOCK)]
    return map_with_actors(blocks, _ClipReader, (sampling, seen), num_actors=num_actors)


class _ClipReader:
    """The Ray actor around a Sandbox."""

    def __init__(self, sampling: SamplingConfig, seen: Any):
        self._sampling, self._seen = sampling, seen
        self._sandbox = Sandbox()
        num_bytes = sampling.frames_per_clip * sampling.size_px**2 * 3
        self._schema = pa.schema(
            [
                pa.field("video_id", pa.string()),
                pa.field("clip_index", pa.int32()),
                pa.field("label_index", pa.int32()),
                pa.field("frames", pa.binary(num_bytes)),
            ]
        )

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        yield self._schema.empty_table()  # a block of only bad videos still has a schema
        for video, seen in zip(batch.to_pylist(), self._flags(batch), strict=True):
            if len(seen) > 0 and all(seen):
                continue
            try:
                yield from self._clips(video, seen)
            except (DecodeError, OSError) as e:
                _log.warning("No clips for training. where: %s got: %s", video["uri"], e)

    def _flags(self, batch: pa.Table) -> Sequence[Sequence[bool]]:
        if self._seen is None:
            return [()] * batch.num_rows
        return list(ray.get(self._seen.of_videos.remote(batch["video_id"].to_pylist())))

    def _clips(self, video: dict[str, Any], seen: Sequence[bool]) -> Iterator[pa.Table]:
        with storage.open_object(video["uri"]) as source:
            for clip in self._sandbox.read_clips(source, self._sampling):
                if clip.clip_index < len(seen) and seen[clip.clip_index]:
                    continue
                row = {
                    "video_id": video["video_id"],
                    "clip_index": clip.clip_index,
                    "label_index": video["label_index"],
                    "frames": clip.frames.tobytes(),
                }
                yield pa.Table.from_pylist([row], schema=self._schema)
