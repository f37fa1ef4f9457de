"""One step of training, one of evaluation, and the rate between them. No loop, no files, no Ray."""

import math
from typing import NamedTuple, TypedDict, cast

import torch
from torch import Tensor, nn

from pipeline.decode.transform import to_model_input
from pipeline.errors import SoraError
from pipeline.model.autoencoder import Output, VideoAutoencoder
from pipeline.train.augment import corrupt, recolour
from pipeline.train.chance import Chance
from pipeline.train.config import Precision, TrainConfig
from pipeline.train.objective import UNLABELLED, Targets, clip_terms, objective, weighted
from pipeline.train.views import draw_views


class Evaluation(TypedDict):
    """What one evaluation step gives, on the CPU.

    Args:
        loss: The weighted sum of the terms that look at one clip at a time.
        terms: Each term before its weight, a mean over the batch.
        predictions: int64 (B,), the likeliest class; None for a network without classes.
        embedding: float32 (B, D).
        recon_error: float32 (B,), mean absolute error of each clip, in units of [-1, 1].
    """

    loss: float
    terms: dict[str, float]
    predictions: Tensor | None
    embedding: Tensor
    recon_error: Tensor


class Shown(NamedTuple):
    """What a step shows the network, float (N, C, V, H, W), and what its answer is held against."""

    corrupted: Tensor
    targets: Targets


def train_step(
    model: nn.Module,
    frames: Tensor,
    labels: Tensor,
    *,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    chance: Chance,
    precision: Precision = "fp32",
) -> dict[str, float]:
    """Draw views of a batch, corrupt, rebuild, compare and classify them, and move the weights once.

    Args:
        model: A VideoAutoencoder, or one wrapped in DistributedDataParallel.
        frames: uint8 (B, T, H, W, C) RGB, on any device.
        labels: int64 (B,), in [0, K), -1 for no label.
        optimizer: From `make_optimizer`.
        config: Weights of the loss, augmentation, clipping.
        chance: Of these clips, on the model's device.
        precision: What the network computes with.
    Returns:
        loss, every term, gradient_norm (before clipping), num_labelled and num_correct of this worker's batch.
    Raises:
        SoraError: the loss or its gradient is not finite; the weights are as before the step.
    """
    model.train()
    shown = show(*_to_device(model, frames, labels), config=config, chance=chance)
    output, loss, terms = forward(model, shown, config, precision)
    numbers = {"loss": loss.item(), **{name: term.item() for name, term in terms.items()}}
    _require_finite(numbers, optimizer)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    numbers["gradient_norm"] = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip_norm).item()
    _require_finite(numbers, optimizer)
    optimizer.step()
    return {**numbers, **_count_correct(output.logits, shown.targets.labels)}


def forward(
    model: nn.Module, shown: Shown, config: TrainConfig, precision: Precision
) -> tuple[Output, Tensor, dict[str, Tensor]]:
    """What the network makes of a batch, the loss, and each term before its weight; losses are float32 always."""
    with torch.autocast(shown.corrupted.device.type, torch.bfloat16, enabled=precision == "bf16"):
        output: Output = model(shown.corrupted)
    output = Output._make(None if part is None else part.float() for part in output)
    return output, *objective(output, shown.targets, config)


def show(frames: Tensor, labels: Tensor, *, config: TrainConfig, chance: Chance) -> Shown:
    """Draw views of a batch, recolour them, and spoil what the network is to see of them.

    Args:
        frames: uint8 (B, T, H, W, C) RGB.
        labels: int64 (B,), on the same device.
        config: Augmentation and corruption.
        chance: Of these clips, on the same device.
    """
    views = draw_views(frames, chance=chance, config=config)
    of_views = chance.of_views(config.num_views)
    clean = recolour(views.clean, chance=of_views, config=config)
    targets = Targets(clean, labels[views.sources], views.sources, views.frame_times)
    return Shown(corrupt(clean, chance=of_views, config=config), targets)


@torch.inference_mode()
def evaluate_step(model: nn.Module, frames: Tensor, labels: Tensor, config: TrainConfig) -> Evaluation:
    """Score clean clips; leaves the model in evaluation mode.

    A DistributedDataParallel wrapper is taken off: its forward synchronises buffers, and would wait for ever where one
    worker has a batch more than another.

    Args:
        model: A VideoAutoencoder, wrapped or not.
        frames: uint8 (B, T, H, W, C) RGB.
        labels: int64 (B,), -1 for no label.
        config: Weights of the loss.
    """
    model.eval()
    frames, labels = _to_device(model, frames, labels)
    clean = to_model_input(frames)
    output: Output = unwrap(model)(clean)
    terms = clip_terms(output, clean, labels, config)
    return Evaluation(
        loss=weighted(terms, config).item(),
        terms={name: term.item() for name, term in terms.items()},
        predictions=None if output.logits is None else output.logits.argmax(dim=1).cpu(),
        embedding=output.embedding.cpu(),
        recon_error=(output.reconstruction - clean).abs().mean(dim=(1, 2, 3, 4)).cpu(),
    )


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), decay on matrices and kernels only; its groups know parameters by name."""
    named = list(unwrap(model).named_parameters())
    groups = [
        {"params": [(n, p) for n, p in named if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [(n, p) for n, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate_at(config: TrainConfig, step: int, total_steps: int) -> float:
    """The rate of a step: a straight climb, then half a cosine down towards zero (Loshchilov and Hutter 2017, SGDR).

    Args:
        config: learning_rate is the peak, warmup_fraction the share of steps that climb.
        step: 0-based, in [0, total_steps).
        total_steps: Steps of the whole run.
    """
    warmup_steps = round(config.warmup_fraction * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group of the optimizer this rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def unwrap(model: nn.Module) -> VideoAutoencoder:
    """The network inside a DistributedDataParallel wrapper, or the network itself."""
    return cast(VideoAutoencoder, getattr(model, "module", model))


def _to_device(model: nn.Module, frames: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if labels.shape != frames.shape[:1]:
        raise ValueError(f"expected labels (B,) with B = {frames.shape[0]}, got labels.shape = {tuple(labels.shape)}")
    device = next(model.parameters()).device
    return frames.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _require_finite(numbers: dict[str, float], optimizer: torch.optim.Optimizer) -> None:
    if not all(math.isfinite(numbers[name]) for name in ("loss", "gradient_norm") if name in numbers):
        raise SoraError(
            "training diverged: the loss or its gradient is not a finite number",
            where=f"learning rate {optimizer.param_groups[0]['lr']:.2e}",
            got=numbers,
            expected="finite terms",
            cure="resume from the last checkpoint with a smaller --learning-rate",
        )


def _count_correct(logits: Tensor | None, labels: Tensor) -> dict[str, float]:
    labelled = labels != UNLABELLED
    if logits is None:
        return {"num_labelled": 0.0, "num_correct": 0.0}
    correct = (logits.argmax(dim=1) == labels) & labelled
    return {"num_labelled": float(labelled.sum().item()), "num_correct": float(correct.sum().item())}
