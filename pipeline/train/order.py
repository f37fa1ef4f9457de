"""Which clips a step learns from, a pure function of seed, epoch and clip id: the same after a crash, on any cluster.

clips by id   0 1 2 3 4 5 6 7 8 9       shuffled once an epoch, cut into global batches, each shared out over the ranks
order         7 2 9 0 | 5 1 8 | 3 6 4   num_clips = 10, global_batch = 4: batches differ by one clip at most
rank 0, 1     7 2,9 0 | 5,1 8 | 3,6 4
"""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def num_steps(num_clips: int, *, global_batch: int) -> int:
    """Steps of an epoch.

    Args:
        num_clips: At least 1.
        global_batch: Most clips of a step, over all workers, at least 1.
    """
    return -(-num_clips // global_batch)


def epoch_order(num_clips: int, *, seed: int, epoch: int) -> Indices:
    """The order of an epoch: int64 (num_clips,), each place among the clips sorted by id once."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch)))).permutation(num_clips)


def batch_of(order: Indices, *, global_batch: int, step_in_epoch: int, rank: int, world_size: int) -> Indices:
    """The clips of one worker at one step.

    Batches are of nearly equal size, not full ones and a rest: a rest of fewer clips than workers would leave one of
    them without a gradient, and the others waiting for it. Where even so a batch has fewer clips than workers, those
    without one take a clip that another has too.

    Args:
        order: From `epoch_order`.
        global_batch: Most clips of a step, over all workers; the same whatever their number.
        step_in_epoch: In [0, num_steps).
        rank: In [0, world_size).
        world_size: Workers at this moment.
    Returns:
        Indices of clips sorted by id, int64, at least one.
    """
    steps = num_steps(len(order), global_batch=global_batch)
    if not 0 <= step_in_epoch < steps:
        raise ValueError(f"expected step_in_epoch in [0, {steps}), got {step_in_epoch}")
    batch = order[_share(len(order), step_in_epoch, steps)]
    if len(batch) < world_size:
        return batch[[rank % len(batch)]]
    return batch[_share(len(batch), rank, world_size)]


def _share(size: int, part: int, num_parts: int) -> slice:
    return slice(size * part // num_parts, size * (part + 1) // num_parts)
