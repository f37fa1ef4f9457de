"""Voxels to channels and back: the 2x2x2 Haar transform, and the plain folding that it rests on.

    fold 2x2x2:  (B, C, T, H, W) -> (B, 8C, T/2, H/2, W/2)      every cube of 8 voxels becomes 8 channels
    haar      :  the same, then a mean and 7 differences of the 8

Channels 0..C-1 are the means of the colours, 4C..5C-1 are earlier frame minus later frame (the residual frame), the
others are spatial and mixed differences.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Factors = tuple[int, int, int]
HAAR_FACTORS: Factors = (2, 2, 2)


def fold(x: Tensor, factors: Factors) -> Tensor:
    """Move cubes of voxels into channels; (B, C, T, H, W) -> (B, ft*fh*fw*C, T/ft, H/fh, W/fw).

    Channels are last in memory, and the old channel is the fastest index of the new one, so that runs of fw*C numbers
    are copied whole.
    """
    ft, fh, fw = factors
    B, C, T, H, W = x.shape
    x = x.reshape(B, C, T // ft, ft, H // fh, fh, W // fw, fw)
    x = x.permute(0, 2, 4, 6, 3, 5, 7, 1)  # (B, t, h, w, ft, fh, fw, C)
    return x.reshape(B, T // ft, H // fh, W // fw, ft * fh * fw * C).movedim(-1, 1)


def unfold(x: Tensor, factors: Factors) -> Tensor:
    """Undo `fold`; (B, ft*fh*fw*C, t, h, w) -> (B, C, t*ft, h*fh, w*fw), channels last in memory."""
    ft, fh, fw = factors
    B, N, t, h, w = x.shape
    C = N // (ft * fh * fw)
    x = x.movedim(1, -1).reshape(B, t, h, w, ft, fh, fw, C)
    x = x.permute(0, 1, 4, 2, 5, 3, 6, 7)  # (B, t, ft, h, fh, w, fw, C)
    return x.reshape(B, t * ft, h * fh, w * fw, C).movedim(-1, 1)


def pad_to_multiple(x: Tensor, factors: Factors) -> Tensor:
    """Repeat the last frame, row and column until T, H and W are multiples of the factors."""
    missing = [-size % factor for size, factor in zip(x.shape[2:], factors, strict=True)]
    if not any(missing):
        return x
    pad_t, pad_h, pad_w = missing
    return F.pad(x, (0, pad_w, 0, pad_h, 0, pad_t), mode="replicate")


def haar(x: Tensor) -> Tensor:
    """The 2x2x2 Haar transform; (B, C, T, H, W) -> (B, 8C, T/2, H/2, W/2), T, H and W even.

    Scaled by 1/4 and not by the orthonormal 1/sqrt(8): powers of two make the round trip exact, to the bit, for any
    input on a binary grid, and within rounding for the rest. Haar, Math. Ann. 69 (1910).
    """
    return _mix(fold(x, HAAR_FACTORS), scale=1 / 4)


def inverse_haar(x: Tensor) -> Tensor:
    """Undo `haar`; (B, 8C, t, h, w) -> (B, C, 2t, 2h, 2w)."""
    return unfold(_mix(x, scale=1 / 2), HAAR_FACTORS)


def _mix(x: Tensor, *, scale: float) -> Tensor:
    """Multiply the 8 voxels (or bands) of every colour by the scaled signs, as one matrix over all channels."""
    colours = torch.eye(x.shape[1] // 8, dtype=x.dtype, device=x.device)
    return F.linear(x.movedim(1, -1), torch.kron(_signs(x) * scale, colours)).movedim(-1, 1)


def _signs(like: Tensor) -> Tensor:
    """The 8x8 Hadamard matrix, S = S^T and S S = 8 I: rows are mean, dx, dy, dxdy, dt, dtdx, dtdy, dtdxdy."""
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=like.dtype, device=like.device)
    return torch.kron(pair, torch.kron(pair, pair))
