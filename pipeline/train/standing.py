"""Where a run stands, and the folder it resumes from: networks, optimizer, what is done of the epoch. No Ray.

model.safetensors, model.json   the averaged weights: what is measured, and published
state.safetensors, state.json   the trained weights and AdamW's moments, epoch, step
progress.json                   the part of the epoch that is done, the losses that divergence is judged by, the
                                precision: decided once, by a stopwatch, and not again after a resume
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.model.checkpoint import load_checkpoint, load_training_state, save_checkpoint, save_training_state
from pipeline.train.average import WeightAverage
from pipeline.train.divergence import LossHistory
from pipeline.train.precision import Choice

PROGRESS_FILE = "progress.json"


@dataclass
class Progress:
    """The part of an epoch that is done."""

    num_steps: int = 0
    num_clips: int = 0  # of all workers
    waited_s: float = 0.0
    elapsed_s: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)  # (step, mean over the clips of all workers)

    def add(self, numbers: Mapping[str, float]) -> None:
        """Count a step."""
        for name, value in numbers.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.num_steps += 1

    def means(self) -> dict[str, float]:
        """The mean over steps of everything counted."""
        return {name: value / max(1, self.num_steps) for name, value in self.sums.items()}


@dataclass
class Standing:
    """Everything of a run that changes from step to step.

    Args:
        network: The network that is trained, not its DistributedDataParallel wrapper.
        average: Its averaged weights.
        optimizer: Of the network.
        epoch, step: Epochs and steps done.
        progress: Of the epoch that is not over yet.
        history: Of the losses.
        choice: What is computed with; None before it is decided.
    """

    network: VideoAutoencoder
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    progress: Progress = field(default_factory=Progress)
    history: LossHistory = field(default_factory=LossHistory)
    choice: Choice | None = None

    def after_step(self, numbers: Mapping[str, float]) -> None:
        """Average the weights that a step has left, and count it."""
        self.average.update(self.network, step=self.step)
        self.step += 1
        self.progress.add(numbers)

    def save(
        self, folder: Path, *, labels: Sequence[str], sampling: Mapping[str, object], metrics: Mapping[str, float]
    ) -> None:
        """Write everything; the folder is a checkpoint of the averaged weights that anybody can load."""
        save_checkpoint(folder, self.average.network, labels=labels, sampling=sampling, metrics=metrics)
        save_training_state(folder, self.network, self.optimizer, epoch=self.epoch, step=self.step)
        choice = None if self.choice is None else asdict(self.choice)
        rest = {"progress": vars(self.progress), "history": asdict(self.history), "choice": choice}
        (folder / PROGRESS_FILE).write_text(json.dumps(rest))

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            CheckpointError: a file is missing or damaged, or belongs to another network.
        """
        self.average.network.load_state_dict(load_checkpoint(folder).model.state_dict())
        state = load_training_state(folder, self.network, self.optimizer)
        self.epoch, self.step = state.epoch, state.step
        rest = json.loads((folder / PROGRESS_FILE).read_text())
        self.progress = Progress(**rest["progress"])
        history = rest["history"]
        self.history = LossHistory(tuple(history["recent"]), history["fresh"], history["best"])
        self.choice = None if rest["choice"] is None else Choice(**rest["choice"])
