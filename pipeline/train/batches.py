"""What one worker learns from in an epoch, batch by batch: out of a table in memory, or out of a stream. No Ray."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.decode.sampling import SamplingConfig
from pipeline.train import order
from pipeline.train.batch import Batch, clip_id_number
from pipeline.train.clip_table import ClipTable, tensors_of
from pipeline.train.config import TrainConfig
from pipeline.train.seen import ClipPlaces
from pipeline.train.shuffle import shuffled

T = TypeVar("T")
_SHUFFLED_CLIPS = 512  # 100 MB of 16x64x64 clips


class Share(NamedTuple):
    """Which worker this is, of how many."""

    rank: int
    world_size: int


def steps_of_epoch(num_clips: int, config: TrainConfig) -> int:
    """Steps of an epoch over this many clips; they depend on the workers asked for, not on those there are."""
    return order.num_steps(num_clips, global_batch=config.batch_size * config.num_workers)


def ordered_batches(
    table: ClipTable, config: TrainConfig, *, epoch: int, first_step: int, share: Share
) -> Iterator[Batch]:
    """The batches of a worker from a step of the epoch on."""
    clips = order.epoch_order(len(table), seed=config.seed, epoch=epoch)
    for step in range(first_step, steps_of_epoch(len(table), config)):
        indices = order.batch_of(
            clips,
            global_batch=config.batch_size * config.num_workers,
            step_in_epoch=step,
            rank=share.rank,
            world_size=share.world_size,
        )
        yield table.batch(indices)


def streamed_batches(
    rows: Iterable[pa.Table],
    sampling: SamplingConfig,
    config: TrainConfig,
    *,
    places: ClipPlaces,
    epoch: int,
    num_workers: int,
) -> Iterator[Batch]:
    """Clips as they come, mixed; fewer workers than asked for take more clips each.

    Not Ray's own shuffle: also where clips are decoded meanwhile, it gives nothing before its buffer is full.
    """
    clips = (clip for batch in rows for clip in _single_clips(batch, sampling, places))
    size = -(-config.batch_size * config.num_workers // num_workers)
    mixed = shuffled(clips, num_pooled=_SHUFFLED_CLIPS, num_first=2, seed=config.seed + epoch)
    while batch := list(islice(mixed, size)):
        frames, labels, ids, taken = zip(*batch, strict=True)
        yield Batch(torch.stack(frames), torch.stack(labels), np.array(ids, np.uint64), np.array(taken, np.int64))


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in the same order; the next is made, by a thread, while the last is worked on."""
    source, nothing = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, nothing)
        while (item := coming.result()) is not nothing:
            coming = thread.submit(next, source, nothing)
            yield item  # type: ignore[misc]  # an object that is not `nothing` is a T


def _single_clips(
    batch: pa.Table, sampling: SamplingConfig, places: ClipPlaces
) -> Iterator[tuple[Tensor, Tensor, int, int]]:
    frames, labels = tensors_of(batch, sampling)
    names = zip(batch["video_id"].to_pylist(), batch["clip_index"].to_pylist(), strict=True)
    for row, name in enumerate(names):
        own = frames[row].clone()  # a view would keep the batch in memory
        yield own, labels[row], clip_id_number(*name), places.of_clip(*name)
