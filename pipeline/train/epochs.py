"""Steps and epochs of one worker, alone or beside others. Needs torch and numpy alone."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from pipeline.train.batch import Batch
from pipeline.train.chance import Chance, clip_keys
from pipeline.train.config import Precision, TrainConfig
from pipeline.train.divergence import remembered, require_convergence
from pipeline.train.standing import Progress, Standing
from pipeline.train.step import learning_rate_at, set_learning_rate, train_step


def take_step(
    standing: Standing,
    model: nn.Module,
    batch: Batch,
    *,
    config: TrainConfig,
    total_steps: int,
    device: torch.device,
    precision: Precision,
) -> dict[str, float]:
    """One step at its rate and with its chance, counted and averaged; returns its numbers.

    Args:
        standing: Where the run stands; one step further afterwards.
        model: The standing's network, or its DistributedDataParallel wrapper.
        batch: Of this worker.
        config: Of the run.
        total_steps: Steps of the run; further ones, where a stream is longer than expected, take the last rate.
        device: Of the network.
        precision: What the network computes with.
    """
    rate = learning_rate_at(config, min(standing.step, total_steps - 1), total_steps)
    set_learning_rate(standing.optimizer, rate)
    chance = Chance(clip_keys(batch.clip_ids, seed=config.seed, epoch=standing.epoch), device)
    numbers = train_step(
        model,
        batch.frames,
        batch.labels,
        optimizer=standing.optimizer,
        config=config,
        chance=chance,
        precision=precision,
    )
    standing.after_step(numbers)
    return numbers


def judge_loss(standing: Standing, loss: float) -> None:
    """Remember the loss of the step just taken, over the clips of all workers, and stop where it has run away."""
    standing.history = remembered(standing.history, loss)
    rate = standing.optimizer.param_groups[0]["lr"]
    require_convergence(standing.history, step=standing.step, learning_rate=rate)


def train_alone(
    standing: Standing,
    batches: Callable[[int], Iterable[Batch]],
    config: TrainConfig,
    *,
    total_steps: int,
    device: torch.device,
    precision: Precision,
) -> Iterator[dict[str, float]]:
    """All epochs that are left, on one worker; gives the means over the steps of each when it is over.

    Args:
        standing: Where the run stands.
        batches: From an epoch to its batches.
        config: Of the run.
        total_steps: Steps of the run.
        device: Of the network.
        precision: What the network computes with.
    """
    while standing.epoch < config.epochs:
        for batch in batches(standing.epoch):
            numbers = take_step(
                standing,
                standing.network,
                batch,
                config=config,
                total_steps=total_steps,
                device=device,
                precision=precision,
            )
            judge_loss(standing, numbers["loss"])
        standing.epoch += 1
        means, standing.progress = standing.progress.means(), Progress()
        yield means
