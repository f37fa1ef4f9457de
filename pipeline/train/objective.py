"""What the network is asked for: one function a term, and their weighted sum.

Every term is a mean, so that its weight means the same for any batch and clip size.
"""

import torch.nn.functional as F
from torch import Tensor

from pipeline.model.autoencoder import Output
from pipeline.model.haar import HAAR_FACTORS, haar, pad_to_multiple
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


def objective(output: Output, clean: Tensor, labels: Tensor, config: TrainConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Weigh the terms and add them up.

    Args:
        output: What the network made of the corrupted clips.
        clean: The clips as they were, float (B, C, T, H, W) in [-1, 1].
        labels: int64 (B,), -1 for no label.
        config: The weights and the label smoothing.
    Returns:
        The loss to minimise, and each term before its weight.
    """
    terms = {
        "reconstruction_l1": reconstruction_l1(output.reconstruction, clean),
        "haar_l1": haar_l1(output.reconstruction, clean),
    }
    total = config.reconstruction_weight * terms["reconstruction_l1"] + config.haar_weight * terms["haar_l1"]
    if output.logits is not None:
        terms["classification"] = classification(output.logits, labels, label_smoothing=config.label_smoothing)
        total = total + config.classification_weight * terms["classification"]
    # The article's e_t touches no pixel: without a head its layer would get no gradient, and DistributedDataParallel
    # waits for one from every parameter.
    return total + 0.0 * output.embedding.sum(), terms
