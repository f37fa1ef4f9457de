"""What the network is asked for: one function a term, and their weighted sum.

Every term is a mean, so that its weight means the same for any batch and clip size.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.model.autoencoder import Output
from pipeline.model.descriptors import CELLS, describe
from pipeline.model.haar import HAAR_FACTORS, haar, pad_to_multiple
from pipeline.train import contrast
from pipeline.train.config import TrainConfig

UNLABELLED = -1


def reconstruction_l1(reconstruction: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of two clips; L1 blurs less than L2 (Zhao et al. 2017, arXiv:1511.08861)."""
    return F.l1_loss(reconstruction, clean)


def haar_l1(reconstruction: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of the 8 Haar bands of two clips (B, C, T, H, W).

    7 of the 8 bands are edges and frame differences, which pixels underrate (Wavelet-SRNet: Huang et al. 2017).
    """
    difference = pad_to_multiple(reconstruction - clean, HAAR_FACTORS)
    return haar(difference).abs().mean()


def classification(logits: Tensor, labels: Tensor, *, label_smoothing: float) -> Tensor:
    """Cross-entropy over the labelled rows (label smoothing: Szegedy et al. 2016, arXiv:1512.00567).

    Args:
        logits: float (B, K).
        labels: int64 (B,), in [0, K), or -1 for a clip without label, which contributes nothing.
        label_smoothing: In [0, 1).
    Returns:
        A scalar; exactly 0, with zero gradients, when no row is labelled.
    """
    total = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, label_smoothing=label_smoothing, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp(min=1)


def descriptor(described: Tensor, described_places: Tensor, clean: Tensor) -> Tensor:
    """Mean squared error of what clips and their places tell of edges and motion.

    Predicting motion and appearance statistics: Wang et al. 2019, arXiv:1904.03597; the descriptors are those of
    `pipeline.model.descriptors`.

    Args:
        described: float (B, 40, 2, 3, 3), told by the embedding.
        described_places: float (B, 40, t, h, w), told by the vector of each place.
        clean: The clips as they were, float (B, C, T, H, W) in [-1, 1].
    """
    whole, places = describe(clean, CELLS, described_places.shape[2:])
    return F.mse_loss(described, whole) + F.mse_loss(described_places, places)


class Targets(NamedTuple):
    """What the outputs of a step are held against.

    Args:
        clean: The views as they were, float (N, C, V, H, W) in [-1, 1].
        labels: int64 (N,), -1 for no label.
        sources: int64 (N,), the clip that each view shows.
        frame_times: float (N, V), the place of each frame in its clip.
    """

    clean: Tensor
    labels: Tensor
    sources: Tensor
    frame_times: Tensor


def objective(output: Output, targets: Targets, config: TrainConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Weigh all terms and add them up; terms between clips are computed only where their weight is above 0.

    All workers must call it at once: terms between clips gather those of all workers.

    Args:
        output: What the network made of the corrupted views.
        targets: The views as they were, and what is known of them.
        config: The weights, the label smoothing, the temperature.
    Returns:
        The loss to minimise, and each term before its weight.
    """
    terms = clip_terms(output, targets.clean, targets.labels, config) | _terms_between_clips(output, targets, config)
    # Not every term touches every parameter, and DistributedDataParallel waits for a gradient of each.
    heads = (output.embedding, output.projected, output.projected_steps, output.described, output.described_places)
    untouched = torch.stack([head.sum() for head in heads]).sum()
    return weighted(terms, config) + 0.0 * untouched, terms


def weighted(terms: dict[str, Tensor], config: TrainConfig) -> Tensor:
    """The sum of the terms, each times the weight that the configuration has for it."""
    return torch.stack([getattr(config, f"{name}_weight") * term for name, term in terms.items()]).sum()


def clip_terms(output: Output, clean: Tensor, labels: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """The terms that look at one clip at a time, so that one worker can score clips by itself.

    Args:
        output: What the network made of the clips.
        clean: The clips as they were, float (B, C, T, H, W) in [-1, 1].
        labels: int64 (B,), -1 for no label.
        config: The label smoothing.
    """
    terms = {
        "reconstruction": reconstruction_l1(output.reconstruction, clean),
        "haar": haar_l1(output.reconstruction, clean),
    }
    if config.descriptor_weight > 0:
        terms["descriptor"] = descriptor(output.described, output.described_places, clean)
    if output.logits is not None:
        terms["classification"] = classification(output.logits, labels, label_smoothing=config.label_smoothing)
    return terms


def _terms_between_clips(output: Output, targets: Targets, config: TrainConfig) -> dict[str, Tensor]:
    views, steps, temperature = output.projected, output.projected_steps, config.temperature
    times = F.adaptive_avg_pool1d(targets.frame_times[:, None], steps.shape[1])[:, 0]  # the middle of each step
    terms = {}
    if config.instance_weight > 0:
        terms["instance"] = contrast.instance_contrast(views, targets.sources, temperature=temperature)
    if config.local_weight > 0:
        terms["local"] = contrast.local_contrast(steps, times, temperature=temperature)
    if config.global_local_weight > 0:
        terms["global_local"] = contrast.global_local_contrast(steps, times, temperature=temperature)
    if config.supervised_contrast_weight > 0:
        terms["supervised_contrast"] = contrast.supervised_contrast(views, targets.labels, temperature=temperature)
    if config.variance_weight > 0:
        terms["variance"] = contrast.variance(output.embedding)
    if config.covariance_weight > 0:
        terms["covariance"] = contrast.covariance(output.embedding)
    return terms
