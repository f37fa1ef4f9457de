"""What every training worker runs: epochs of steps, an evaluation and a checkpoint after each.

Where clips are kept in memory, a checkpoint is written within an epoch too, and a run goes on at the very step.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed
from torch import Tensor, nn

from pipeline import tracking
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import SoraError
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import load_checkpoint, load_training_state, save_checkpoint, save_training_state
from pipeline.model.config import named_config
from pipeline.tracking_spool import TrackedRun
from pipeline.train import order
from pipeline.train.clip_table import ClipTable, tensors_of
from pipeline.train.config import TrainConfig
from pipeline.train.pulse import SAVE_EVERY_S, Call, Clock, agree
from pipeline.train.shuffle import shuffled
from pipeline.train.step import (
    learning_rate_at,
    make_optimizer,
    set_learning_rate,
    step_generator,
    train_step,
    unwrap,
)
from pipeline.train.validation import reconstructions, validate

REPORT_FILE = "report.json"
PROGRESS_FILE = "progress.json"
_SHUFFLED_CLIPS = 512  # 100 MB of 16x64x64 clips
_TOLD = ("train_loss", "validation_loss", "validation_recon_error", "validation_accuracy")


@dataclass(frozen=True)
class LoopConfig:
    """Everything a worker needs; the same on all of them."""

    root: str
    run_name: str
    train: TrainConfig
    sampling: SamplingConfig
    labels: tuple[str, ...]
    num_train_clips: int  # known where clips are cached, estimated from the catalog where they stream
    is_cached: bool
    tracked_run: TrackedRun
    board: Any  # handle of a train.board.Board


def train_loop(loop: LoopConfig) -> None:
    """Train in one worker; reports metrics and a checkpoint after every epoch.

    An error of ours would come again at the same step. Ray restarts a run after any error; so it is told to the board,
    and a restarted run that finds one there ends without a step, whereupon the driver raises it.
    """
    if ray.get(loop.board.error.remote()) is not None:
        return
    try:
        _Worker(loop).run()
    except SoraError as e:
        ray.get(loop.board.put_error.remote(e))
        raise


@dataclass
class _Progress:
    """The part of an epoch that is done; kept with a checkpoint."""

    num_steps: int = 0
    num_clips: int = 0
    waited_s: float = 0.0
    elapsed_s: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)  # (step, mean over the clips of all workers)


class _Worker:
    """The state of one worker: network, optimizer, and how far it has come."""

    def __init__(self, loop: LoopConfig):
        self._loop, self._config = loop, loop.train
        context = ray.train.get_context()
        self._rank, self._world_size = context.get_world_rank(), context.get_world_size()
        self._device = ray.train.torch.get_device()
        if self._device.type == "cpu":  # Ray gives a worker one thread for each CPU it asked for, here less than one
            torch.set_num_threads(max(1, _num_cores() // context.get_local_world_size()))
        torch.manual_seed(self._config.seed)
        network = build_model(named_config(self._config.config), num_classes=len(loop.labels)).to(self._device)
        self._optimizer = make_optimizer(network, self._config)
        self._epoch, self._step, self._progress = 0, 0, _Progress()
        self._global_batch = self._config.batch_size * self._config.num_workers  # whatever the workers at the moment
        self._classes: dict[str, Any] = {}  # the newest per-class report, as text and as numbers
        self._resume(network)
        self._model: nn.Module = ray.train.torch.prepare_model(network)
        steps_per_epoch = max(1, order.num_steps(loop.num_train_clips, global_batch=self._global_batch))
        self._total_steps = steps_per_epoch * self._config.epochs
        self._table = self._clip_table() if loop.is_cached else None
        self._clock, self._is_warned = Clock(SAVE_EVERY_S), False
        self._started_s = 0.0  # of the epoch, less what it had taken before a resume
        self._tracker = self._open_tracker()

    def run(self) -> None:
        while self._epoch < self._config.epochs:
            self._started_s = time.monotonic() - self._progress.elapsed_s
            metrics = self._train_epoch()
            metrics["epoch_s"] = time.monotonic() - self._started_s
            metrics |= self._evaluate(is_last=self._epoch + 1 == self._config.epochs)
            self._epoch += 1
            losses, self._progress = self._progress.losses, _Progress()
            self._log_losses(losses)  # first: a crash after the report would leave them out
            self._report(metrics)

    def _resume(self, network: nn.Module) -> None:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return
        with checkpoint.as_directory() as folder:
            network.load_state_dict(load_checkpoint(Path(folder)).model.state_dict())
            state = load_training_state(Path(folder), self._optimizer)
            self._progress = _Progress(**json.loads((Path(folder) / PROGRESS_FILE).read_text()))
        self._epoch, self._step = state.epoch, state.step

    def _open_tracker(self) -> tracking.Tracker | None:
        if self._rank != 0:
            return None
        return tracking.Tracker(self._loop.root, run_name=self._loop.run_name, run=self._loop.tracked_run)

    def _train_epoch(self) -> dict[str, float]:
        done = self._progress
        asked_s = time.monotonic()
        for frames, labels in self._train_batches():
            done.waited_s += time.monotonic() - asked_s
            rate = learning_rate_at(self._config, min(self._step, self._total_steps - 1), self._total_steps)
            set_learning_rate(self._optimizer, rate)
            generator = step_generator(self._config.seed, self._step, self._rank, self._device)
            torch.manual_seed(generator.initial_seed())  # whatever draws without a generator is repeated too
            numbers = train_step(
                self._model, frames, labels, optimizer=self._optimizer, config=self._config, generator=generator
            )
            for name, value in numbers.items():
                done.sums[name] = done.sums.get(name, 0.0) + value
            done.num_clips, done.num_steps = done.num_clips + len(frames), done.num_steps + 1
            self._step += 1
            self._after_step(numbers["loss"], len(frames))
            if self._rank == 0:
                self._loop.board.put_step.remote(self._step, max(self._step, self._total_steps))
            asked_s = time.monotonic()
        means = {f"train_{name}": value / max(1, done.num_steps) for name, value in done.sums.items()}
        num_clips = done.num_clips * self._world_size if self._table is None else len(self._table)
        counted = {"train_clips": float(num_clips), "data_wait_s": done.waited_s}
        return {**means, **counted, "learning_rate": self._optimizer.param_groups[0]["lr"]}

    def _after_step(self, loss: float, num_clips: int) -> None:
        """Agree with the other workers on the loss and on whether to save now."""
        is_over = self._table is None or self._progress.num_steps >= self._steps_of(self._table)
        call = self._clock.call() if self._rank == 0 and not is_over else Call.NOTHING
        loss, call = agree(loss, num_clips, call, self._device)
        self._progress.losses.append((self._step, loss))
        if call is Call.LOOK and not self._is_warned and ray.train.get_preemption_info() is not None:
            self._is_warned, call = True, Call.SAVE
        if call is Call.SAVE:
            self._progress.elapsed_s = time.monotonic() - self._started_s
            self._hand_in({"train_loss": loss, "epoch": float(self._epoch)})

    def _log_losses(self, losses: list[tuple[int, float]]) -> None:
        if self._tracker is not None:
            lines = [json.dumps({"step": step, "loss": loss}) for step, loss in losses]
            self._tracker.log_text("\n".join(lines) + "\n", f"losses/epoch-{self._epoch:04d}.jsonl")

    def _clip_table(self) -> ClipTable:
        """The blocks as they lie in Ray's object store: each worker sees all of them and copies none."""
        shard = ray.train.get_dataset_shard("train")
        return ClipTable(shard.iter_batches(batch_size=None, batch_format="pyarrow"), self._loop.sampling)

    def _steps_of(self, table: ClipTable) -> int:
        return order.num_steps(len(table), global_batch=self._global_batch)

    def _train_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._streamed_batches() if self._table is None else self._ordered_batches(self._table)

    def _ordered_batches(self, table: ClipTable) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the epoch."""
        clips = order.epoch_order(len(table), seed=self._config.seed, epoch=self._epoch)
        for step in range(self._progress.num_steps, self._steps_of(table)):
            yield table.batch(
                order.batch_of(
                    clips,
                    global_batch=self._global_batch,
                    step_in_epoch=step,
                    rank=self._rank,
                    world_size=self._world_size,
                )
            )

    def _streamed_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Not Ray's own shuffle: also where clips are decoded meanwhile, it gives nothing before its buffer is full."""
        shard = ray.train.get_dataset_shard("train")
        size = self._config.batch_size
        batches = shard.iter_batches(batch_size=size, batch_format="pyarrow")
        clips = (clip for batch in batches for clip in _single_clips(batch, self._loop.sampling))
        seed = self._config.seed + self._epoch
        mixed = shuffled(clips, num_pooled=_SHUFFLED_CLIPS, num_first=2, seed=seed)
        while batch := list(islice(mixed, size)):
            frames, labels = zip(*batch, strict=True)
            yield torch.stack(frames), torch.stack(labels)

    def _evaluate(self, *, is_last: bool) -> dict[str, float]:
        validated = validate(self._model, self._validation_batches(is_last=is_last), self._config, self._loop.labels)
        if validated.classes is not None:
            self._classes = validated.classes
        return validated.metrics

    def _validation_batches(self, *, is_last: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """This worker's part of them; after the last epoch, some of the first are drawn, as they are and rebuilt."""
        shard = ray.train.get_dataset_shard("validation")
        batches = shard.iter_batches(batch_size=self._config.batch_size, batch_format="pyarrow")
        for index, batch in enumerate(batches):
            if index % self._world_size != self._rank:
                continue
            frames, labels = tensors_of(batch, self._loop.sampling)
            if is_last and index == 0 and self._tracker is not None:
                self._tracker.log_figure(reconstructions(unwrap(self._model), frames), "reconstructions.png")
            yield frames, labels

    def _report(self, metrics: dict[str, float]) -> None:
        """Tell of an epoch that is over."""
        metrics = {**metrics, "epoch": float(self._epoch)}
        if self._tracker is not None:
            self._tracker.log_metrics(metrics, step=self._epoch)
            told = ", ".join(f"{name} {metrics[name]:.4f}" for name in _TOLD if name in metrics)
            self._loop.board.put_note.remote(f"epoch {self._epoch}/{self._config.epochs}: {told}")
        self._hand_in(metrics)

    def _hand_in(self, metrics: dict[str, float]) -> None:
        """Hand metrics to Ray from every worker, and a checkpoint from the first."""
        self._clock.saved()
        if self._rank != 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            self._save(Path(folder), metrics)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def _save(self, folder: Path, metrics: dict[str, float]) -> None:
        sampling = {name: getattr(self._loop.sampling, name) for name in self._loop.sampling.__dataclass_fields__}
        network = unwrap(self._model)
        save_checkpoint(folder, network, labels=self._loop.labels, sampling=sampling, metrics=metrics)
        save_training_state(folder, self._optimizer, epoch=self._epoch, step=self._step)
        (folder / PROGRESS_FILE).write_text(json.dumps(asdict(self._progress)))
        written = {"metrics": metrics, **self._classes}
        (folder / REPORT_FILE).write_text(json.dumps(written))


def _single_clips(batch: pa.Table, sampling: SamplingConfig) -> Iterator[tuple[Tensor, Tensor]]:
    frames, labels = tensors_of(batch, sampling)
    for place in range(len(labels)):
        yield frames[place].clone(), labels[place]  # a view would keep all of the batch in memory


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
