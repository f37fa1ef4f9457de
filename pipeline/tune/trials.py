"""One trial: a training on one CPU or GPU, scored at each rung; and which of several trials is the best."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import SoraError
from pipeline.model.autoencoder import build_model
from pipeline.model.config import named_config
from pipeline.train.average import WeightAverage
from pipeline.train.batches import Share, ordered_batches, steps_of_epoch
from pipeline.train.clip_table import ClipTable
from pipeline.train.config import TrainConfig
from pipeline.train.epochs import train_alone
from pipeline.train.precision import choose
from pipeline.train.standing import Standing
from pipeline.train.step import make_optimizer
from pipeline.tune.job import Metric
from pipeline.tune.scores import HIGHER_IS_BETTER, score
from pipeline.tune.space import Setting


@dataclass(frozen=True)
class Task:
    """What all trials share.

    Args:
        train: What is not varied; its epochs are those of a trial that is never stopped.
        sampling: How clips are cut.
        num_classes: Classes of the labels.
        groups: Source of each video, by video_id.
        metric: What trials are scored by.
        rungs: Epochs after which a trial is scored.
    """

    train: TrainConfig
    sampling: SamplingConfig
    num_classes: int
    groups: Mapping[str, str]
    metric: Metric
    rungs: Sequence[int]


@dataclass(frozen=True)
class Scored:
    """A trial as far as it has come.

    Args:
        number: Of the trial.
        setting: What it varies.
        scores: By epoch.
        elapsed_s: Seconds so far.
        error: Why it ended, where it diverged.
    """

    number: int
    setting: Setting
    scores: Mapping[int, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    error: str | None = None

    @property
    def epoch(self) -> int:
        """The last epoch with a score; 0 without one."""
        return max(self.scores, default=0)

    @property
    def score(self) -> float:
        """The newest score; not a number where the trial has diverged, or has none."""
        return self.scores[self.epoch] if self.scores and self.error is None else math.nan


def run_trial(
    number: int, setting: Setting, task: Task, train: ClipTable, validation: ClipTable, device: torch.device
) -> Iterator[Scored]:
    """Train, and give the trial's state after each rung; the last one where training diverges carries the error.

    Args:
        number: Of the trial.
        setting: Fields of the training configuration.
        task: What all trials share.
        train: Clips to learn from.
        validation: Clips to score on.
        device: What to train on.
    """
    config = replace(task.train, **setting)  # type: ignore[arg-type]  # fields and types of TrainConfig, by name
    torch.manual_seed(config.seed)
    network = build_model(named_config(config.config), num_classes=task.num_classes).to(device)
    standing = Standing(network, WeightAverage(network, decay=config.ema_decay), make_optimizer(network, config))
    precision = choose(network, task.sampling, config, device).precision
    total_steps = steps_of_epoch(len(train), config) * config.epochs

    def batches(epoch: int) -> Iterator[Any]:
        return ordered_batches(train, config, epoch=epoch, first_step=0, share=Share(0, 1))

    reached, started_s = Scored(number, setting), time.monotonic()
    try:
        for _ in train_alone(standing, batches, config, total_steps=total_steps, device=device, precision=precision):
            if standing.epoch in task.rungs:
                found = score(
                    standing.average.network,
                    train,
                    validation,
                    groups=task.groups,
                    metric=task.metric,
                    seed=config.seed,
                )
                scores = {**reached.scores, standing.epoch: found}
                reached = replace(reached, scores=scores, elapsed_s=time.monotonic() - started_s)
                yield reached
    except SoraError as e:  # settings that diverge are a result like any other
        yield replace(reached, error=str(e), elapsed_s=time.monotonic() - started_s)


def best_of(trials: Sequence[Scored], metric: Metric) -> Scored:
    """The best among those that have come furthest; of equal ones the first.

    Raises:
        SoraError: no trial has a score.
    """
    finished = [trial for trial in trials if not math.isnan(trial.score)]
    if not finished:
        cure = "lower --learning-rate: the first trial has it unchanged"
        got = next((trial.error for trial in trials if trial.error), None)
        raise SoraError("Not one trial has a score.", where=f"{len(trials)} trials", got=got, cure=cure)
    furthest = max(trial.epoch for trial in finished)
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    return max((t for t in finished if t.epoch == furthest), key=lambda t: (sign * t.score, -t.number))
