"""What every training worker runs: epochs of steps, an evaluation and a checkpoint after each.

A checkpoint is written within an epoch too. Where clips are kept in memory, a run goes on at the very step; where they
stream, with the clips of the epoch that it has not learned from.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from torch import Tensor, nn

from pipeline import tracking
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import CorpusError, SoraError
from pipeline.model.autoencoder import build_model
from pipeline.model.config import named_config
from pipeline.tracking_spool import TrackedRun
from pipeline.train.average import WeightAverage
from pipeline.train.batch import Batch
from pipeline.train.batches import Share, one_ahead, ordered_batches, steps_of_epoch, streamed_batches
from pipeline.train.clip_table import ClipTable, tensors_of
from pipeline.train.config import TrainConfig
from pipeline.train.epochs import judge_loss, take_step
from pipeline.train.precision import choose
from pipeline.train.pulse import SAVE_EVERY_S, Call, Clock, agree
from pipeline.train.seen import SeenClips, Stream
from pipeline.train.standing import Progress, Standing
from pipeline.train.step import make_optimizer
from pipeline.train.usage import usage
from pipeline.train.validation import reconstructions, validate

REPORT_FILE = "report.json"
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
    stream: Stream | None  # None where clips are cached
    basis: str  # see `SeenClips`
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


class _Worker:
    """The state of one worker: where the run stands, and what it needs to go on."""

    def __init__(self, loop: LoopConfig):
        self._loop, self._config = loop, loop.train
        context = ray.train.get_context()
        self._share = Share(context.get_world_rank(), context.get_world_size())
        self._device = ray.train.torch.get_device()
        if self._device.type == "cpu":  # Ray gives a worker one thread for each CPU it asked for, here less than one
            torch.set_num_threads(max(1, _num_cores() // context.get_local_world_size()))
        self._seen = SeenClips(0 if loop.stream is None else loop.stream.places.num_clips, loop.basis)
        self._standing = self._begun_or_resumed()
        if self._standing.choice is None:
            self._standing.choice = choose(self._standing.network, loop.sampling, self._config, self._device)
        self._precision = self._standing.choice.precision
        self._model: nn.Module = ray.train.torch.prepare_model(self._standing.network)
        self._total_steps = max(1, steps_of_epoch(loop.num_train_clips, self._config)) * self._config.epochs
        self._table = self._clip_table() if loop.stream is None else None
        self._classes: dict[str, Any] = {}  # the newest per-class report, as text and as numbers
        self._clock, self._is_warned = Clock(SAVE_EVERY_S), False
        self._started_s = 0.0  # of the epoch, less what it had taken before a resume
        self._tracker = self._open_tracker()

    def run(self) -> None:
        standing = self._standing
        while standing.epoch < self._config.epochs:
            self._started_s = time.monotonic() - standing.progress.elapsed_s
            metrics = self._train_epoch()
            metrics["epoch_s"] = time.monotonic() - self._started_s
            metrics |= usage(metrics["train_clips"], metrics["epoch_s"], self._device)
            metrics |= self._evaluate(is_last=standing.epoch + 1 == self._config.epochs)
            standing.epoch += 1
            losses, standing.progress = standing.progress.losses, Progress()
            self._seen.clear()
            self._log_losses(losses)  # first: a crash after the report would leave them out
            self._report(metrics)

    def _begun_or_resumed(self) -> Standing:
        torch.manual_seed(self._config.seed)
        network = build_model(named_config(self._config.config), num_classes=len(self._loop.labels)).to(self._device)
        average = WeightAverage(network, decay=self._config.ema_decay)
        standing = Standing(network, average, make_optimizer(network, self._config))
        if (checkpoint := ray.train.get_checkpoint()) is not None:
            with checkpoint.as_directory() as folder:
                standing.load(Path(folder))
                if not self._seen.load(Path(folder)):
                    standing.progress = Progress()  # the epoch it was counted in is another one
        return standing

    def _open_tracker(self) -> tracking.Tracker | None:
        if self._share.rank != 0:
            return None
        tracker = tracking.Tracker(self._loop.root, run_name=self._loop.run_name, run=self._loop.tracked_run)
        choice = self._standing.choice
        assert choice is not None, "decided before the first step"
        tracker.log_text(json.dumps(asdict(choice)), "precision.json")
        there = f"{self._share.world_size} of {self._config.num_workers} workers"
        self._loop.board.put_note.remote(f"{there}, computing in {choice.precision}: {choice.reason}")
        return tracker

    def _train_epoch(self) -> dict[str, float]:
        standing, done = self._standing, self._standing.progress
        asked_s = time.monotonic()
        for batch in self._train_batches():
            done.waited_s += time.monotonic() - asked_s
            numbers = take_step(
                standing,
                self._model,
                batch,
                config=self._config,
                total_steps=self._total_steps,
                device=self._device,
                precision=self._precision,
            )
            self._after_step(numbers["loss"], batch)
            if self._share.rank == 0:
                self._loop.board.put_step.remote(standing.step, max(standing.step, self._total_steps))
            asked_s = time.monotonic()
        if done.num_steps == 0:
            got = f"{self._share.world_size} workers and no clip for each of them"
            cure = "`sora extract` writes into `failures` why videos cannot be decoded; or choose fewer --num-workers"
            raise CorpusError("There is no clip to train on.", where=self._loop.root, got=got, cure=cure)
        means = {f"train_{name}": value for name, value in done.means().items()}
        num_clips = done.num_clips if self._table is None else len(self._table)
        counted = {"train_clips": float(num_clips), "data_wait_s": done.waited_s}
        return {**means, **counted, "learning_rate": standing.optimizer.param_groups[0]["lr"]}

    def _after_step(self, loss: float, batch: Batch) -> None:
        """Agree with the other workers on the loss and on whether to save now."""
        standing, done = self._standing, self._standing.progress
        is_over = self._table is not None and done.num_steps >= steps_of_epoch(len(self._table), self._config)
        call = self._clock.call() if self._share.rank == 0 and not is_over else Call.NOTHING
        loss, num_clips, call = agree(loss, len(batch.frames), call, self._device)
        done.num_clips += num_clips
        done.losses.append((standing.step, loss))
        judge_loss(standing, loss)
        if call is Call.LOOK and not self._is_warned and ray.train.get_preemption_info() is not None:
            self._is_warned, call = True, Call.SAVE
        if self._table is None:
            self._seen.add(batch.places)
            if call is Call.SAVE:
                self._seen.agree(self._device)
        if call is Call.SAVE:
            done.elapsed_s = time.monotonic() - self._started_s
            self._hand_in({"train_loss": loss, "epoch": float(standing.epoch)})

    def _log_losses(self, losses: list[tuple[int, float]]) -> None:
        if self._tracker is not None:
            lines = [json.dumps({"step": step, "loss": loss}) for step, loss in losses]
            self._tracker.log_text("\n".join(lines) + "\n", f"losses/epoch-{self._standing.epoch:04d}.jsonl")

    def _clip_table(self) -> ClipTable:
        """The blocks as they lie in Ray's object store: each worker sees all of them and copies none."""
        shard = ray.train.get_dataset_shard("train")
        return ClipTable(shard.iter_batches(batch_size=None, batch_format="pyarrow"), self._loop.sampling)

    def _train_batches(self) -> Iterator[Batch]:
        """What is left of the epoch."""
        epoch = self._standing.epoch
        stream = self._loop.stream
        if stream is None:
            assert self._table is not None, "read where clips do not stream"
            first_step = self._standing.progress.num_steps
            return ordered_batches(self._table, self._config, epoch=epoch, first_step=first_step, share=self._share)
        if self._share.rank == 0:  # no worker's stream begins before all of them ask for it
            ray.get(stream.board.put.remote(self._seen.packed()))
        shard = ray.train.get_dataset_shard("train")
        rows = shard.iter_batches(batch_size=self._config.batch_size, batch_format="pyarrow")
        batches = streamed_batches(
            rows,
            self._loop.sampling,
            self._config,
            places=stream.places,
            epoch=epoch,
            num_workers=self._share.world_size,
        )
        return one_ahead(batches)

    def _evaluate(self, *, is_last: bool) -> dict[str, float]:
        average, batches = self._standing.average, self._validation_batches(is_last=is_last)
        average.agree()
        validated = validate(average.network, batches, self._config, self._loop.labels)
        if validated.classes is not None:
            self._classes = validated.classes
        return validated.metrics

    def _validation_batches(self, *, is_last: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """This worker's part of them; after the last epoch, some of the first are drawn, as they are and rebuilt."""
        shard = ray.train.get_dataset_shard("validation")
        batches = shard.iter_batches(batch_size=self._config.batch_size, batch_format="pyarrow")
        for index, batch in enumerate(batches):
            if index % self._share.world_size != self._share.rank:
                continue
            frames, labels = tensors_of(batch, self._loop.sampling)
            if is_last and index == 0 and self._tracker is not None:
                self._tracker.log_figure(reconstructions(self._standing.average.network, frames), "reconstructions.png")
            yield frames, labels

    def _report(self, metrics: dict[str, float]) -> None:
        """Tell of an epoch that is over."""
        epoch = self._standing.epoch
        metrics = {**metrics, "epoch": float(epoch)}
        if self._tracker is not None:
            self._tracker.log_metrics(metrics, step=epoch)
            told = ", ".join(f"{name} {metrics[name]:.4f}" for name in _TOLD if name in metrics)
            self._loop.board.put_note.remote(f"epoch {epoch}/{self._config.epochs}: {told}")
        self._hand_in(metrics)

    def _hand_in(self, metrics: dict[str, float]) -> None:
        """Hand metrics to Ray from every worker, and a checkpoint from the first."""
        self._clock.saved()
        if self._share.rank != 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            self._save(Path(folder), metrics)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def _save(self, folder: Path, metrics: dict[str, float]) -> None:
        sampling = {name: getattr(self._loop.sampling, name) for name in self._loop.sampling.__dataclass_fields__}
        self._standing.save(folder, labels=self._loop.labels, sampling=sampling, metrics=metrics)
        self._seen.save(folder)
        written = {"metrics": metrics, **self._classes}
        (folder / REPORT_FILE).write_text(json.dumps(written))


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
