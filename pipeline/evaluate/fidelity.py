"""How close a reconstruction is to its clip."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST_ERROR = 1e-10  # 100 dB: equal to rounding
_WINDOW_PX, _SIGMA_PX, _K1, _K2 = 11, 1.5, 0.01, 0.03


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal to noise ratio of each clip, with a peak to peak of 1.

    Args:
        x, y: float (B, C, T, H, W) in [0, 1].
    Returns:
        float32 (B,) in dB; 100 where they are equal.
    """
    error = (x.float() - y.float()).square().mean(dim=(1, 2, 3, 4)).clamp_min(_LEAST_ERROR)
    return -10.0 * error.log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity over frames and colours (Wang et al. 2004: Gaussian window of 11 px, sigma 1.5).

    Args:
        x, y: float (B, C, T, H, W) in [0, 1], H and W at least 11.
    Returns:
        float32 (B,) in [-1, 1].
    """
    B, C, T, H, W = x.shape
    if min(H, W) < _WINDOW_PX:
        raise ValueError(f"expected H and W of at least {_WINDOW_PX}, got x.shape = {tuple(x.shape)}")
    a, b = (clip.float().reshape(B * C * T, 1, H, W) for clip in (x, y))
    mean_a, mean_b = _blurred(a), _blurred(b)
    var_a, var_b = _blurred(a * a) - mean_a**2, _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    c1, c2 = _K1**2, _K2**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return similarity.mean(dim=(1, 2, 3)).reshape(B, C * T).mean(dim=1)


def to_unit(x: Tensor) -> Tensor:
    """Model pixels, nominally in [-1, 1], as float32 in [0, 1], clipped."""
    return x.float().add(1.0).mul(0.5).clamp(0.0, 1.0)


def _blurred(x: Tensor) -> Tensor:
    offsets = torch.arange(_WINDOW_PX, dtype=x.dtype, device=x.device) - _WINDOW_PX // 2
    weights = (-(offsets**2) / (2 * _SIGMA_PX**2)).exp() / (math.sqrt(2 * math.pi) * _SIGMA_PX)
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(x, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
