"""One training from a packed clip file, and what its frozen vectors are worth."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.train_steps.clips import PackedClips
from benchmarks.train_steps.controls import blockwise_psnr, pca_vectors
from benchmarks.train_steps.r3d18 import R3D18
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.transform import to_model_input
from pipeline.evaluate.fidelity import psnr, to_unit
from pipeline.evaluate.intervals import grouped_interval
from pipeline.evaluate.pca import pooled_descriptors, pooled_differences, pooled_pixels
from pipeline.evaluate.probe import knn, linear_probe
from pipeline.evaluate.retrieval import retrieval
from pipeline.model.autoencoder import VideoAutoencoder, build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import named_config
from pipeline.model.spectrum import effective_rank
from pipeline.train.average import WeightAverage
from pipeline.train.batch import Batch
from pipeline.train.config import TrainConfig
from pipeline.train.epochs import train_alone
from pipeline.train.objective import UNLABELLED
from pipeline.train.precision import Choice, choose
from pipeline.train.standing import Standing
from pipeline.train.step import make_optimizer

_EMBEDDED_AT_ONCE = 64


@dataclass(frozen=True)
class Trained:
    """A network, and what its training took."""

    model: nn.Module
    figures: dict[str, Any]


def train(
    clips: PackedClips, split: str, config: TrainConfig, *, uses_labels: bool, is_r3d18: bool, device: torch.device
) -> Trained:
    """Train on the clips of a split's training side; nothing else is seen."""
    torch.manual_seed(config.seed)
    if is_r3d18:
        config = replace(config, descriptor_weight=0.0)  # it tells of nothing but labels
    num_classes = len(clips.names) if uses_labels else 0
    model: nn.Module = (
        R3D18(num_classes=num_classes)
        if is_r3d18
        else build_model(named_config(config.config), num_classes=num_classes)
    ).to(device)
    network = cast(VideoAutoencoder, model)
    average = WeightAverage(network, decay=config.ema_decay)
    standing = Standing(network, average, make_optimizer(model, config))
    rows = torch.from_numpy(np.flatnonzero(clips.is_train(split)))
    labels = torch.from_numpy(clips.labels) if uses_labels else torch.full((len(clips.labels),), UNLABELLED)
    steps_per_epoch = max(1, len(rows) // config.batch_size)

    def batches(epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng((config.seed, epoch)).permutation(len(rows))
        for chosen in np.array_split(order, steps_per_epoch):
            batch = rows[torch.from_numpy(chosen)]
            frames = clips.frames[batch.to(clips.frames.device)]
            yield Batch(frames, labels[batch], batch.numpy().astype(np.uint64), batch.numpy())

    precision = (
        Choice("fp32", "R3D-18 rebuilds nothing to try") if is_r3d18 else _choice(clips, network, config, device)
    )
    started_s, numbers = time.monotonic(), {}
    for means in train_alone(
        standing,
        batches,
        config,
        total_steps=steps_per_epoch * config.epochs,
        device=device,
        precision=precision.precision,
    ):
        numbers = means
    elapsed_s = time.monotonic() - started_s
    seen = len(rows) * config.epochs * config.num_views
    figures = {
        "steps": standing.step,
        "precision": f"{precision.precision}: {precision.reason}",
        "train_s": round(elapsed_s, 1),
        "views_per_s": round(seen / elapsed_s, 1),
        "last": numbers,
    }
    if device.type == "cuda":
        figures["memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return Trained(average.network, figures)


def _choice(clips: PackedClips, network: VideoAutoencoder, config: TrainConfig, device: torch.device) -> Choice:
    _, T, S, *_ = clips.frames.shape
    return choose(network, SamplingConfig(frames_per_clip=T, size_px=S), config, device)


def macs(model: nn.Module, num_frames: int, size: int) -> dict[str, float]:
    """GMAC of one clip: of the whole network, and of what makes a vector."""
    x = torch.zeros(1, 3, num_frames, size, size, device=next(model.parameters()).device)
    found = {}
    for name, call in (("gmac", model), ("gmac_embed", cast(VideoAutoencoder, model).embed)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call(x)
        found[name] = round(counter.get_total_flops() / 2e9, 3)
    return found


def judge(vectors: NDArray[np.floating[Any]], clips: PackedClips, split: str, *, seed: int) -> dict[str, Any]:
    """Linear probe, kNN and retrieval of frozen vectors (N, D); shares of the test side, in [0, 1]."""
    is_train, labels = clips.is_train(split), clips.labels
    truth, groups = labels[~is_train], clips.groups[~is_train]
    correct = linear_probe(vectors, labels, clips.groups, is_train, seed=seed) == truth
    return {
        "linear_probe": float(correct.mean()),
        "ci95": grouped_interval(correct, groups, seed=seed),
        "knn": float((knn(vectors, labels, is_train) == truth).mean()),
        "retrieval": retrieval(vectors, labels, is_train),
        "effective_rank": effective_rank(vectors[~is_train]),
    }


@torch.inference_mode()
def score(model: nn.Module, clips: PackedClips, split: str, *, seed: int) -> dict[str, Any]:
    """Everything measured of one network on the test side."""
    network = cast(VideoAutoencoder, model.eval())
    device = next(model.parameters()).device
    vectors, right, decibels = [], [], []
    is_test = ~clips.is_train(split)
    for start in range(0, len(clips.labels), _EMBEDDED_AT_ONCE):
        chosen = slice(start, start + _EMBEDDED_AT_ONCE)
        x = to_model_input(clips.frames[chosen].to(device))
        output = network(x)
        vectors.append(output.embedding.float().cpu())
        decibels.append(psnr(to_unit(output.reconstruction), to_unit(x)).cpu())
        if output.logits is not None:
            right.append(output.logits.argmax(1).cpu().numpy() == clips.labels[chosen])
    found = judge(torch.cat(vectors).numpy(), clips, split, seed=seed)
    if not isinstance(model, R3D18):
        found["psnr_z"] = float(torch.cat(decibels)[torch.from_numpy(is_test)].mean())
    if right:
        correct = np.concatenate(right)[is_test]
        found["head_accuracy"] = float(correct.mean())
        found["head_ci95"] = grouped_interval(correct, clips.groups[is_test], seed=seed)
    return found


def controls(clips: PackedClips, split: str, config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """What needs no training: a network with fresh weights, and fits of a line."""
    torch.manual_seed(config.seed)
    fresh = build_model(named_config(config.config), num_classes=0).to(device)
    is_train = clips.is_train(split)
    test: Tensor = clips.frames[torch.from_numpy(~is_train)].to(device)
    return {
        "random_init": score(fresh, clips, split, seed=config.seed),
        "pca64": judge(pca_vectors(clips.frames, is_train, pooled_pixels), clips, split, seed=config.seed),
        "pca64_diff": judge(pca_vectors(clips.frames, is_train, pooled_differences), clips, split, seed=config.seed),
        "pca64_descriptor": judge(
            pca_vectors(clips.frames, is_train, pooled_descriptors), clips, split, seed=config.seed
        ),
        **blockwise_psnr(clips.frames[torch.from_numpy(is_train)].to(device), test),
    }


def save(model: nn.Module, folder: Path, clips: PackedClips, sampling: dict[str, object], *, uses_labels: bool) -> str:
    """Write a checkpoint that the rest of the system loads; return its digest."""
    labels = clips.names if uses_labels else ()
    return save_checkpoint(folder, cast(VideoAutoencoder, model), labels=labels, sampling=sampling, metrics={})
