"""The same work in other frameworks, each written as its documentation shows.

The imports stand inside: each function runs in the environment that has its framework and none of the others.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.extract.network import Network
from benchmarks.extract.task import CLIPS_A_BATCH, SAMPLING, Task, shown
from pipeline.decode.sampling import TIME_TOLERANCE_S, clip_timestamps, num_clips

_SIZE_PX, _FRAMES = int(SAMPLING["size_px"]), int(SAMPLING["frames_per_clip"])
_WHOLE_VIDEO_BYTES = 1 << 30  # 10 minutes of frames of 64x64 at 25 fps are 184 MB; the default is 128 MiB
_FRAMES_A_CALL = 8  # of torchcodec; more of 1280x720 at once do not fit the caches
_CALLS = range(0, _FRAMES, _FRAMES_A_CALL)


def read_videos(task: Task) -> None:
    """Ray Data: read_videos, scaled while it decodes, then map_batches over whole videos, then write_parquet.

    Its `fps` option keeps every n-th frame, n whole: of 25 fps it makes 12.5, other clips than ours. So every frame
    becomes a row, and the clips are chosen by timestamp. Blocks may be large, or a long video would lie in two of them.
    A function that keeps its model in the process, not an actor: so frames stay in the task that read them, and every
    core has such tasks; a pool of actors would hold CPUs that then do not read.
    """
    import ray

    ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=task.num_workers)
    ray.data.DataContext.get_current().target_max_block_size = _WHOLE_VIDEO_BYTES
    frames = ray.data.read_videos(task.videos, resize=(_SIZE_PX, _SIZE_PX), include_paths=True, include_timestamps=True)
    frames.map_batches(_embed_videos, fn_args=[task], batch_size=None).write_parquet(task.output)
    ray.shutdown()


_network: list[Network] = []  # of a Ray worker


def _embed_videos(batch: dict[str, NDArray[Any]], task: Task) -> dict[str, Any]:
    if not _network:
        _network.append(Network(task.model, num_threads=1))
    parts: list[dict[str, Any]] = []
    for path in dict.fromkeys(batch["path"].tolist()):
        (rows,) = np.nonzero(batch["path"] == path)
        times_s = batch["frame_timestamp"][rows][:, 0]
        clips = shown(times_s - times_s[0], task.sampling)
        for start in range(0, len(clips), CLIPS_A_BATCH):
            values = _network[0].encoded(batch["frame"][rows[clips[start : start + CLIPS_A_BATCH]]])
            indices = np.arange(start, start + len(values["motion"]))
            parts.append({"name": np.full(len(indices), Path(path).name), "clip_index": indices, **values})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def read_video_frames(task: Task) -> None:
    """Daft: read_video_frames at 16 frames a second, grouped by second, a class that embeds batches, write_parquet.

    sample_interval_seconds takes the first frame at or after each time, ours the one on screen: up to a frame apart.
    One file is read at a time: with more, 0.7.26 stood still on two cores, in 4 of 4 tries of 40 to 190 s, its threads
    waiting for the one event loop that reads all files, one after another in any case (Daft's pull request 7265).
    """
    import daft

    daft.set_execution_config(scantask_max_parallel=1)
    struct = daft.DataType.struct(
        {
            "embedding": daft.DataType.list(daft.DataType.float32()),
            "recon_error": daft.DataType.float32(),
            "motion": daft.DataType.float32(),
        }
    )

    @daft.cls(max_concurrency=task.num_workers)
    class Embedder:
        def __init__(self) -> None:
            self.network = Network(task.model, num_threads=1)

        @daft.method.batch(return_dtype=struct, unnest=True, batch_size=CLIPS_A_BATCH)
        def embed(self, times_s: Any, frames: Any) -> list[dict[str, Any]]:
            clips = [_in_order(*clip) for clip in zip(times_s.to_pylist(), frames.to_pylist(), strict=True)]
            values = self.network.encoded(np.stack(clips))
            columns = [value.tolist() for value in values.values()]
            return [dict(zip(values, row, strict=True)) for row in zip(*columns, strict=True)]

    time_s = daft.col("frame_time")
    second = (time_s + TIME_TOLERANCE_S).floor().cast(daft.DataType.int64())
    interval_s = 1 / SAMPLING["sample_fps"]
    frames = daft.read_video_frames(task.videos, _SIZE_PX, _SIZE_PX, sample_interval_seconds=interval_s)
    clips = (
        frames.select("path", "frame_time", "data")
        .with_column("clip_index", second)
        .groupby("path", "clip_index")
        .agg(time_s.list_agg().alias("times_s"), daft.col("data").list_agg().alias("frames"))
    )
    kept = clips.where((daft.col("clip_index") == 0) | (daft.col("times_s").list_count() >= _FRAMES // 2))
    embedder = Embedder()
    rows = kept.select("path", "clip_index", embedder.embed(daft.col("times_s"), daft.col("frames")))
    rows.write_parquet(task.output)


def _in_order(times_s: list[float], frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The frames of one clip by time; the last stands where the video has ended. (T, H, W, C)."""
    order = np.argsort(times_s)[:_FRAMES]
    places = np.minimum(np.arange(_FRAMES), len(order) - 1)
    return np.stack([frames[order[place]] for place in places])


def data_loader(task: Task) -> None:
    """PyTorch: an IterableDataset whose workers decode with torchcodec, a process a core; this process encodes."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Clips(IterableDataset):
        def __iter__(self) -> Iterator[tuple[str, int, "torch.Tensor"]]:
            worker = get_worker_info()
            for video in task.videos[worker.id :: worker.num_workers]:
                for index, frames in enumerate(_clips(video, task)):
                    yield Path(video).name, index, frames

    network = Network(task.model, num_threads=task.num_workers)
    parts = []
    for names, indices, frames in DataLoader(Clips(), batch_size=CLIPS_A_BATCH, num_workers=task.num_workers):
        values = network.encoded(frames.numpy())
        columns = {**values, "embedding": list(values["embedding"])}
        parts.append(pa.table({"name": list(names), "clip_index": indices.numpy(), **columns}))
    pq.write_table(pa.concat_tables(parts), f"{task.output}/clips.parquet")


def _clips(video: str, task: Task) -> Iterator[Any]:
    """torchcodec, a few frames in a call, in order, scaled by torch: `benchmarks.decode` found nothing faster."""
    import torch
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)
    decoder = VideoDecoder(video, num_ffmpeg_threads=1)
    begin_s, end_s = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
    for index in range(num_clips(task.sampling, end_s - begin_s)):
        wanted_s = begin_s + clip_timestamps(task.sampling, index) + TIME_TOLERANCE_S
        played_s = np.minimum(wanted_s, end_s - TIME_TOLERANCE_S).tolist()
        parts = [decoder.get_frames_played_at(played_s[at : at + _FRAMES_A_CALL]).data for at in _CALLS]
        size = (_SIZE_PX, _SIZE_PX)
        small = [torch.nn.functional.interpolate(part, size=size, mode="bilinear", antialias=True) for part in parts]
        yield torch.cat(small).permute(0, 2, 3, 1)  # (T, C, H, W) to (T, H, W, C)
