"""Which numbers a run computes with: bfloat16 where a self-test says that it is right and faster, float32 elsewhere.

network, some clips --try_out--> loss and gradient in both, seconds of both --decide--> a choice and its reason

bfloat16 convolutions have been wrong on some cuDNN and slower than float32 on many CPUs, so neither is believed unseen.
Each kernel's gradient is looked at by itself, in every round: on a CPU with AVX-512 bf16 and torch 2.13 those of
(3,1,1) over two time steps come out half wrong, or now and then at 1e33, while the loss and most of the gradient agree.
The test has the batch of the run, since the kernels that are used depend on it, and costs as much as seven steps.
Weights, AdamW's moments, losses and everything measured are float32 always.
"""

import copy
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed
from torch import Tensor

from pipeline.decode.sampling import SamplingConfig
from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.train.chance import Chance, clip_keys
from pipeline.train.config import Precision, TrainConfig
from pipeline.train.step import Shown, forward, show

MAX_LOSS_DIFFERENCE = 0.02  # relative; bfloat16 keeps 8 bits, 0.4 % a number
MIN_GRADIENT_COSINE = 0.95  # where it was right 0.989 and more, where it was wrong 0.605 and less
MIN_SPEEDUP = 1.1  # less is noise
_ROUNDS = 2
_NO_GRADIENT = 1e-6  # of the whole gradient's length: a kernel that nothing depends on


@dataclass(frozen=True)
class Trial:
    """What a self-test found of bfloat16 beside float32.

    Args:
        loss_difference: Relative difference of the losses; not a number where bfloat16 gave none.
        gradient_cosine: Lowest cosine of the two gradients of a kernel, over all kernels and rounds.
        speedup: Seconds of float32 over seconds of bfloat16; CPU seconds where there is no GPU, so that other load on
            the machine does not decide.
    """

    loss_difference: float
    gradient_cosine: float
    speedup: float


@dataclass(frozen=True)
class Choice:
    """What a run computes with, and why."""

    precision: Precision
    reason: str


def decide(trial: Trial) -> Choice:
    """bfloat16 where it agrees with float32 and is faster."""
    if not trial.loss_difference <= MAX_LOSS_DIFFERENCE:  # also where it is not a number
        what = f"its loss differs by {trial.loss_difference:.2%}, allowed are {MAX_LOSS_DIFFERENCE:.0%}"
        return Choice("fp32", f"bf16 is not right here: {what}")
    if not trial.gradient_cosine >= MIN_GRADIENT_COSINE:
        what = f"cosine {trial.gradient_cosine:.4f} of a kernel's gradient, at least {MIN_GRADIENT_COSINE} is needed"
        return Choice("fp32", f"bf16 is not right here: {what}")
    if trial.speedup < MIN_SPEEDUP:
        return Choice("fp32", f"bf16 is right but {trial.speedup:.2f} times as fast, {MIN_SPEEDUP} is needed")
    found = f"loss within {trial.loss_difference:.2%}, cosines of the gradients from {trial.gradient_cosine:.4f}"
    return Choice("bf16", f"{trial.speedup:.2f} times as fast as fp32, {found}")


def choose(network: VideoAutoencoder, sampling: SamplingConfig, config: TrainConfig, device: torch.device) -> Choice:
    """What to compute with; all workers must call it, and all get the first one's answer."""
    if config.precision != "auto":
        return Choice(config.precision, "asked for")
    chosen = [decide(try_out(network, sampling, config, device))]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(chosen, src=0)
    return chosen[0]


def try_out(network: VideoAutoencoder, sampling: SamplingConfig, config: TrainConfig, device: torch.device) -> Trial:
    """Forward and backward of both, turn and turn about; the network keeps its weights and statistics."""
    trained = copy.deepcopy(network).train()
    shown = _shown(network.num_classes, sampling, config, device)
    exact, rounds = _once(trained, shown, config, "fp32"), []  # the first warms up
    for _ in range(1 + _ROUNDS):
        rounds.append((_once(trained, shown, config, "fp32"), _once(trained, shown, config, "bf16")))
    cosines = [_lowest_cosine(exact.gradients, other.gradients) for _, other in rounds]
    exact_s, other_s = (min(pass_.elapsed_s for pass_ in passes) for passes in zip(*rounds[1:], strict=True))
    return Trial(
        loss_difference=max(abs(other.loss - exact.loss) / abs(exact.loss) for _, other in rounds),
        gradient_cosine=min(cosines) if all(map(math.isfinite, cosines)) else math.nan,
        speedup=exact_s / other_s,
    )


@dataclass(frozen=True)
class _Pass:
    """One forward and backward: the loss, the gradient of each kernel, seconds."""

    loss: float
    gradients: list[Tensor]
    elapsed_s: float


def _once(network: VideoAutoencoder, shown: Shown, config: TrainConfig, precision: Precision) -> _Pass:
    now_s = time.perf_counter if shown.corrupted.is_cuda else time.process_time
    started_s = now_s()
    network.zero_grad(set_to_none=True)
    _, loss, _ = forward(network, shown, config, precision)
    loss.backward()  # type: ignore[no-untyped-call]
    value = loss.item()  # waits for the device
    if shown.corrupted.is_cuda:
        torch.cuda.synchronize(shown.corrupted.device)
    elapsed_s = now_s() - started_s
    kernels = [p.grad for p in network.parameters() if p.grad is not None and p.ndim > 1]
    return _Pass(value, [gradient.flatten().double() for gradient in kernels], elapsed_s)


def _lowest_cosine(exact: list[Tensor], other: list[Tensor]) -> float:
    """Not a number where a gradient is none."""
    least = _NO_GRADIENT * torch.cat(exact).norm()
    cosines = [
        torch.nn.functional.cosine_similarity(one, two, dim=0)
        for one, two in zip(exact, other, strict=True)
        if one.norm() > least
    ]
    return torch.stack(cosines).min().item()  # of torch, min passes on what is not a number


def _shown(num_classes: int, sampling: SamplingConfig, config: TrainConfig, device: torch.device) -> Shown:
    """A batch of noise in blocks of 8 px and 4 frames: it has edges and motion, as video does."""
    num_clips, T, S = config.batch_size, sampling.frames_per_clip, sampling.size_px
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (num_clips, -(-T // 4), -(-S // 8), -(-S // 8), 3), generator=generator)
    frames = coarse.repeat_interleave(4, 1).repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :T, :S, :S]
    labels = torch.arange(num_clips) % num_classes if num_classes else torch.full((num_clips,), -1)
    chance = Chance(clip_keys(np.arange(num_clips, dtype=np.uint64), seed=0, epoch=0), device)
    return show(frames.to(device, torch.uint8), labels.to(device), config=config, chance=chance)
