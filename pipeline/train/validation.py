"""How well a network does on the validation clips, each scored by one worker.

clips of this worker --evaluate_step--> scores --gathered--> the same metrics and per-class report on all workers
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.decode.transform import to_frames, to_model_input
from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.model.spectrum import effective_rank, singular_values
from pipeline.train import report
from pipeline.train.config import TrainConfig
from pipeline.train.step import evaluate_step

_PICTURED_CLIPS = 4
_SPECTRUM_CLIPS = 2048  # of each worker: some thousand vectors say all of a spectrum of 64 or 128
_SHOWN_VALUES = 8


@dataclass(frozen=True)
class Validated:
    """What was found.

    Args:
        metrics: By name; empty where there is no clip.
        classes: The per-class report, as `text` and as numbers in `classes`; None where no clip has a label.
    """

    metrics: dict[str, float]
    classes: dict[str, Any] | None


def validate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], config: TrainConfig, labels: Sequence[str]
) -> Validated:
    """Score this worker's clips; all workers must call it, and all get the same answer.

    Args:
        model: A VideoAutoencoder, or one wrapped in DistributedDataParallel.
        batches: Frames uint8 (B, T, H, W, C) RGB and labels int64 (B,), -1 for no label; of this worker alone.
        config: Weights of the loss.
        labels: Class names, in the order of the logits.
    """
    scores: dict[str, list[Any]] = {"loss": [], "recon_error": [], "predictions": [], "targets": [], "embedding": []}
    for frames, targets in batches:
        scored = evaluate_step(model, frames, targets, config)
        scores["loss"] += [scored["loss"]] * len(frames)
        scores["recon_error"] += scored["recon_error"].tolist()
        if len(scores["embedding"]) < _SPECTRUM_CLIPS:
            scores["embedding"] += list(scored["embedding"].numpy())
        if scored["predictions"] is not None:
            scores["predictions"] += scored["predictions"].tolist()
            scores["targets"] += targets.tolist()
    return _summed_up(_gathered(scores), labels)


def reconstructions(network: VideoAutoencoder, frames: Tensor) -> Any:
    """A matplotlib figure of some clips of a batch, uint8 (B, T, H, W, C), as they are and rebuilt."""
    shown = frames[:: max(1, len(frames) // _PICTURED_CLIPS)][:_PICTURED_CLIPS]  # neighbours are often one video
    device = next(network.parameters()).device
    with torch.inference_mode():
        rebuilt = to_frames(network.eval().reconstruct(to_model_input(shown.to(device))))
    return report.reconstruction_figure(shown.cpu().numpy(), rebuilt.cpu().numpy())


def _summed_up(scores: dict[str, list[Any]], labels: Sequence[str]) -> Validated:
    if not scores["loss"]:
        return Validated({}, None)
    metrics = {"validation_loss": float(np.mean(scores["loss"]))}
    metrics["validation_recon_error"] = float(np.mean(scores["recon_error"]))
    metrics["validation_clips"] = float(len(scores["loss"]))
    metrics |= spectrum_metrics(np.stack(scores["embedding"]))
    pairs = [(t, p) for t, p in zip(scores["targets"], scores["predictions"], strict=True) if t >= 0]
    if not pairs:
        return Validated(metrics, None)
    targets, predictions = zip(*pairs, strict=True)
    text, fields = report.per_class_report(targets, predictions, labels)
    return Validated({**metrics, "validation_accuracy": fields["accuracy"]}, {"text": text, "classes": fields})


def spectrum_metrics(vectors: NDArray[np.floating]) -> dict[str, float]:
    """Effective rank, and how far the vectors spread along each of their strongest directions: a collapse shows here.

    Args:
        vectors: float (N, D).
    """
    deviations = singular_values(vectors)[:_SHOWN_VALUES] / math.sqrt(len(vectors))
    names = {f"validation_spread_{place + 1}": float(value) for place, value in enumerate(deviations)}
    return {"validation_effective_rank": effective_rank(vectors), **names}


def _gathered(scores: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if not torch.distributed.is_initialized():
        return scores
    from_all: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(from_all, scores)
    return {name: [value for part in from_all for value in part[name]] for name in scores}
