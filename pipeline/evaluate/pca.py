"""What needs no network: a clip's pixels, changes or descriptors, seen through principal components."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from pipeline.model.descriptors import CELLS, describe

NUM_COMPONENTS = 64
POOLED = (8, 16, 16)  # T, H, W to which clips are averaged down at most


def pooled_pixels(x: Tensor) -> Tensor:
    """Clips averaged down to at most POOLED: float (B, C, T, H, W) -> float32 (B, C * 8 * 16 * 16) or less."""
    T, H, W = (min(wanted, there) for wanted, there in zip(POOLED, x.shape[2:], strict=True))
    return F.adaptive_avg_pool3d(x.float(), (T, H, W)).flatten(1)


def pooled_differences(x: Tensor) -> Tensor:
    """Absolute differences of neighbouring frames, averaged down like pixels; zeros for clips of one frame."""
    if x.shape[2] < 2:
        return pooled_pixels(torch.zeros_like(x))
    return pooled_pixels((x[:, :, 1:] - x[:, :, :-1]).abs())


def pooled_descriptors(x: Tensor) -> Tensor:
    """Histograms of edges and motion, `pipeline.model.descriptors`: float (B, C, T, H, W) -> float32 (B, 720)."""
    return describe(x, CELLS)[0].flatten(1)


def projected(values: NDArray[np.floating], is_train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The first 64 principal components, fitted on the training rows only.

    Args:
        values: float (N, P).
        is_train: bool (N,), at least two of them.
    Returns:
        float64 (N, D), D = 64, or less where there are fewer training rows or values.
    """
    num = min(NUM_COMPONENTS, int(is_train.sum()) - 1, values.shape[1])
    fitted = PCA(num, svd_solver="full", random_state=0).fit(values[is_train].astype(np.float64))
    result: NDArray[np.float64] = fitted.transform(values.astype(np.float64))
    return result
