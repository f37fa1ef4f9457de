"""What a learned vector, and a learned code, must beat: fits of a line to the same clips, learned from train alone."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.decode.transform import to_model_input
from pipeline.evaluate.pca import projected

BLOCK = (4, 8, 8)  # frames, px, px: what one position of z covers
KEPT = 16  # numbers a block of 768 is coded with: as many as z has channels, 48:1
_POOLED_AT_ONCE = 64


def pca_vectors(frames: Tensor, is_train: NDArray[np.bool_], pool: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
    """PCA-64 of what `pool` makes of clips; uint8 (N, T, H, W, C) -> (N, 64)."""
    pooled = [pool(to_model_input(part)).cpu() for part in frames.split(_POOLED_AT_ONCE)]
    return projected(torch.cat(pooled).numpy(), is_train)


def blockwise_psnr(train: Tensor, test: Tensor) -> dict[str, float]:
    """PSNR of blocks coded with KEPT numbers: the first of a 3-D DCT by variance, and of a PCA; uint8 clips, dB."""
    learned, shown = _blocks(train), _blocks(test)
    mean = learned.mean(dim=(0, 1))
    centred = (learned - mean).flatten(0, 1)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # in rising order
    cosines = _dct_basis(train.device)
    strongest = (learned.flatten(0, 1) @ cosines.T).square().mean(dim=0).topk(KEPT).indices
    return {
        "psnr_pca": _psnr_behind(shown - mean, directions[:, -KEPT:].T),
        "psnr_dct": _psnr_behind(shown, cosines[strongest]),
    }


def _psnr_behind(blocks: Tensor, basis: Tensor) -> float:
    """Mean over clips; the basis is orthonormal, (KEPT, 768)."""
    error = blocks - (blocks @ basis.T) @ basis
    return float((-10 * torch.log10(error.square().mean(dim=(1, 2)))).mean())


def _blocks(frames: Tensor) -> Tensor:
    """uint8 (N, T, H, W, C) -> float (N, blocks, 768) in [0, 1]; whole blocks only."""
    ft, fh, fw = BLOCK
    N, T, H, W, C = frames.shape
    t, h, w = T // ft, H // fh, W // fw
    x = frames[:, : t * ft, : h * fh, : w * fw].reshape(N, t, ft, h, fh, w, fw, C)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(N, t * h * w, ft * fh * fw * C).float() / 255


def _dct_basis(device: torch.device) -> Tensor:
    """Orthonormal (768, 768): the products of DCT-II in time, height and width, and of one over colours."""
    t, h, w, c = (_dct(size, device) for size in (*BLOCK, 3))
    return torch.kron(torch.kron(torch.kron(t, h), w), c)


def _dct(size: int, device: torch.device) -> Tensor:
    places = torch.arange(size, device=device, dtype=torch.float32)
    basis = torch.cos(math.pi / size * (places[None] + 0.5) * places[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis
