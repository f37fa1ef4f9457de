"""The data order is a function of seed, epoch and clip id, of nothing else."""

import numpy as np
import pytest

from pipeline.train.order import batch_of, epoch_order, num_steps


def batches(num_clips: int, global_batch: int, world_size: int, *, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    clips = epoch_order(num_clips, seed=seed, epoch=epoch)
    return [
        [
            int(index)
            for rank in range(world_size)
            for index in batch_of(
                clips, global_batch=global_batch, step_in_epoch=step, rank=rank, world_size=world_size
            )
        ]
        for step in range(num_steps(num_clips, global_batch=global_batch))
    ]


@pytest.mark.parametrize(("num_clips", "global_batch"), [(8, 8), (9, 8), (100, 8), (101, 16), (7, 100), (33, 8)])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_each_clip_comes_once_an_epoch_in_the_same_batches_for_any_world_size(
    num_clips: int, global_batch: int, world_size: int
) -> None:
    seen = batches(num_clips, global_batch, world_size)
    assert sorted(clip for batch in seen for clip in batch) == list(range(num_clips))
    assert seen == batches(num_clips, global_batch, 1)
    assert max(map(len, seen)) <= global_batch
    assert max(map(len, seen)) - min(map(len, seen)) <= 1


def test_no_worker_is_without_a_clip_where_there_are_fewer_than_workers() -> None:
    assert batches(1, 4, 4) == [[0, 0, 0, 0]]
    assert [len(batch) for batch in batches(5, 4, 4)] == [4, 4], "two and three clips for four workers"


def test_another_seed_or_epoch_is_another_order() -> None:
    orders = [epoch_order(50, seed=seed, epoch=epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] == epoch_order(50, seed=0, epoch=0).tolist()


def test_a_step_past_the_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="step_in_epoch"):
        batch_of(np.arange(8), global_batch=4, step_in_epoch=2, rank=0, world_size=1)
