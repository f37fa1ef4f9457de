"""What an action looks like to a classic descriptor: oriented histograms of edges and of motion, by place and time.

clip (N, C, T, H, W) --grey, half size--> slopes, optical flow --by direction--> 5 kinds x 8 directions
                     --mean over cells, square root, root mean square 1 of a kind--> (N, 5 * 8, cells)

    edges             gradients of the picture, without sign             (HOG: Dalal and Triggs 2005)
    flow              optical flow less that of the camera               (HOF: Laptev et al. 2008)
    flow boundaries   gradients of the flow across, and of that down     (MBH: Dalal et al. 2006; Wang et al. 2013)
    change            gradients of the difference of frames

A network that tells them of a clip has learned where something moves, and which way, without a label (Wang et al. 2019,
arXiv:1904.03597; Wei et al. 2022, arXiv:2112.09133). No weights: a fixed function, torch alone.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS, _DIRECTIONS = 5, 8
CHANNELS = KINDS * _DIRECTIONS
CELLS = (2, 3, 3)  # of a whole clip: in time, down, across
DESCRIBED = CHANNELS * math.prod(CELLS)

_WINDOW = {-3: 3, -2: 5, -1: 5}  # frames, px, px in which the flow is taken for one (Lucas and Kanade 1981)
_FLAT = 1e-4  # added to the squared slopes, for grey in [-1, 1]: where there is no edge, no flow is seen
_MAX_FLOW_PX = 4.0  # beyond that the slopes of one pixel say nothing
_TINY = 1e-8


@torch.no_grad()
def describe(clips: Tensor, *cells: Sequence[int]) -> list[Tensor]:
    """Describe clips by their edges and their motion, once for each way to cut them into cells.

    Args:
        clips: float (N, C, T, H, W) in [-1, 1].
        cells: How many in time, down and across.
    Returns:
        Of each float32 (N, 40, t, h, w), all >= 0: 8 directions of each of 5 kinds, the mean square of a kind over
        directions and cells 1. A kind of which the clip has nothing, such as the flow of a still one, is 1 everywhere.
    """
    grey = F.avg_pool2d(clips.float().mean(dim=1), 2, ceil_mode=True)
    down, across = _slopes(grey)
    change = F.pad(grey.diff(dim=1), (0, 0, 0, 0, 0, 1))
    flow_down, flow_across = _flow(down, across, change)
    kinds = [
        _by_direction(down, across, is_signed=False),
        _by_direction(flow_down, flow_across),
        _by_direction(*_slopes(flow_across)),
        _by_direction(*_slopes(flow_down)),
        _by_direction(*_slopes(change)),
    ]
    return [torch.cat([_histogram(kind, (t, h, w)) for kind in kinds], dim=1) for t, h, w in cells]


def _histogram(lengths: Tensor, cells: tuple[int, int, int]) -> Tensor:
    """Means over cells under a square root, their mean square 1; (N, 8, T, H, W) -> (N, 8, t, h, w)."""
    roots = (F.adaptive_avg_pool3d(lengths, cells) + _TINY).sqrt()
    return roots / roots.square().mean(dim=(1, 2, 3, 4), keepdim=True).sqrt()


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Down and across, a pixel; (N, T, H, W), the border repeated."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return down / 2, across / 2


def _flow(down: Tensor, across: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Optical flow less its median over the frame, which is the camera's; px a frame, down and across."""
    products = torch.stack([down * down, across * across, down * across, down * change, across * change], dim=1)
    for dim, width in _WINDOW.items():
        products = _mean_around(products, dim, width)
    dd, aa, da, dt, at = products.unbind(dim=1)
    dd, aa = dd + _FLAT, aa + _FLAT
    determinant = dd * aa - da * da
    moved_down, moved_across = (da * at - aa * dt) / determinant, (da * dt - dd * at) / determinant
    return _less_median(moved_down), _less_median(moved_across)


def _mean_around(x: Tensor, dim: int, width: int) -> Tensor:
    """Means over `width` neighbours along one dimension, 0 outside; a matrix product, 5 times as fast as pooling."""
    places = torch.arange(x.shape[dim], device=x.device)
    band = ((places[:, None] - places).abs() <= width // 2).to(x.dtype) / width
    return (x.movedim(dim, -1) @ band).movedim(-1, dim)


def _less_median(flow: Tensor) -> Tensor:
    camera = flow.flatten(2).median(dim=2).values
    return (flow - camera[..., None, None]).clamp(-_MAX_FLOW_PX, _MAX_FLOW_PX)


def _by_direction(down: Tensor, across: Tensor, *, is_signed: bool = True) -> Tensor:
    """Lengths, shared out to the directions they point to; (N, T, H, W) -> (N, 8, T, H, W).

    Without a sign a slope and its opposite are one direction.
    """
    turn = 2 * math.pi if is_signed else math.pi
    angles = torch.arange(_DIRECTIONS, device=down.device) * (turn / _DIRECTIONS)
    sines, cosines = (part[:, None, None, None] for part in (angles.sin(), angles.cos()))
    along = down[:, None] * sines + across[:, None] * cosines
    along = along.relu() if is_signed else along.abs()
    cosine = along / ((down.square() + across.square()).sqrt()[:, None] + _TINY)
    return along * cosine.square() * cosine  # of the fourth power of the cosine, a neighbour 45 degrees away gets 1/4
