"""Views of clips: which frames, and which part of the picture; the same for all frames of a clip, on the device.

frames uint8 (B, T, H, W, C) --window, speed--> (B, V, H, W, C) --crop, flip--> float (B, C, V, H, W) in [-1, 1]

Two views of one video show other moments, at other speeds, cut otherwise: what they share is what the video is about
(Chen et al. 2020, arXiv:2002.05709; in time: Qian et al. 2021, arXiv:2008.03800).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.decode.transform import to_model_input
from pipeline.train.chance import Chance
from pipeline.train.config import TrainConfig

_ASPECTS = (3 / 4, 4 / 3)  # width to height of a crop, as Szegedy et al. 2015
_BLUR_TAPS = (0.25, 0.5, 0.25)


class Views(NamedTuple):
    """Clean views of a batch.

    Args:
        clean: float32 (N, C, V, H, W) in [-1, 1].
        frame_times: float32 (N, V), the place of each frame in the clip that it comes from, in frames.
        sources: int64 (N,), the clip of the batch that each view shows.
    """

    clean: Tensor
    frame_times: Tensor
    sources: Tensor


def draw_views(frames: Tensor, *, chance: Chance, config: TrainConfig) -> Views:
    """Draw `config.num_views` views of every clip: first one of all, then another of all.

    Args:
        frames: uint8 (B, T, H, W, C) RGB.
        chance: The only source of it, of these clips, on the device of the frames.
        config: view_frames, max_speed, min_crop_area, flip, grey, blur, erase and residual are used.
    """
    drawn = [_draw_one(frames, chance, config) for _ in range(config.num_views)]
    sources = torch.arange(len(frames), device=frames.device).repeat(config.num_views)
    return Views(torch.cat([view for view, _ in drawn]), torch.cat([times for _, times in drawn]), sources)


def _draw_one(frames: Tensor, chance: Chance, config: TrainConfig) -> tuple[Tensor, Tensor]:
    times = _draw_times(frames, chance, config)
    clips = torch.arange(len(frames), device=frames.device)[:, None]
    x = to_model_input(frames[clips, times])
    if config.min_crop_area < 1 or config.flip_probability > 0:
        x = _cropped(x, chance, config)
    if config.grey_probability > 0:
        x = torch.where(_some(chance, config.grey_probability), x.mean(dim=1, keepdim=True), x)
    if config.blur_probability > 0:
        x = torch.where(_some(chance, config.blur_probability), blurred(x), x)
    if config.erase_probability > 0:
        x = torch.where(_some(chance, config.erase_probability) & _boxes(x, chance), 0.0, x)
    if config.residual_probability > 0:
        x = torch.where(_some(chance, config.residual_probability), residual_frames(x), x)
    return x, times.float()


def _draw_times(frames: Tensor, chance: Chance, config: TrainConfig) -> Tensor:
    """int64 (B, V): a window of V frames at a speed of 1, 2, 4... that fits into the clip."""
    T = frames.shape[1]
    V = min(config.view_frames or T, T)
    num_speeds = 1 + int(math.log2(max(1, min(config.max_speed, (T - 1) // max(1, V - 1)))))
    speeds = 2 ** chance.integers(num_speeds)
    free = T - 1 - (V - 1) * speeds  # >= 0
    starts = (chance.uniform() * (free + 1)).long().minimum(free)
    return starts[:, None] + speeds[:, None] * torch.arange(V, device=frames.device)


def _cropped(x: Tensor, chance: Chance, config: TrainConfig) -> Tensor:
    """One box a clip, stretched to the clip's size by bilinear sampling; some mirrored."""
    B, C, V, H, W = x.shape
    draws = chance.uniform(5)
    area = config.min_crop_area + (1 - config.min_crop_area) * draws[:, 0]
    low, high = (math.log(a) for a in _ASPECTS)
    aspect = torch.exp(low + (high - low) * draws[:, 1]) if config.min_crop_area < 1 else torch.ones_like(area)
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    centre_x, centre_y = (1 - width) * (2 * draws[:, 2] - 1), (1 - height) * (2 * draws[:, 3] - 1)
    mirror = torch.where(draws[:, 4] < config.flip_probability, -1.0, 1.0)
    zero = torch.zeros_like(width)
    boxes = torch.stack([torch.stack([width * mirror, zero, centre_x], 1), torch.stack([zero, height, centre_y], 1)], 1)
    grid = F.affine_grid(boxes, [B, 1, H, W], align_corners=False)
    out = F.grid_sample(x.reshape(B, C * V, H, W), grid, padding_mode="border", align_corners=False)
    return out.reshape(B, C, V, H, W)


def blurred(x: Tensor) -> Tensor:
    """Smoothed over 3 x 3 pixels with binomial weights; (B, C, V, H, W), edges repeated."""
    C = x.shape[1]
    taps = torch.tensor(_BLUR_TAPS, dtype=x.dtype, device=x.device)
    kernel = torch.outer(taps, taps).expand(C, 1, 1, 3, 3)
    return F.conv3d(F.pad(x, (1, 1, 1, 1, 0, 0), mode="replicate"), kernel, groups=C)


def residual_frames(x: Tensor) -> Tensor:
    """Each frame less the one before, the first less the second turned round (residual frames: Tao et al. 2020).

    Args:
        x: float (B, C, V, H, W).
    Returns:
        The same shape, in [-1, 1]: a still clip is all 0. A clip of one frame is 0 too.
    """
    if x.shape[2] == 1:
        return torch.zeros_like(x)
    steps = x.diff(dim=2)
    return torch.cat([steps[:, :, :1], steps], dim=2).clamp(-1, 1)


def _boxes(x: Tensor, chance: Chance) -> Tensor:
    """bool (B, 1, 1, H, W): one box a clip of 0.02 to 0.2 of the picture (random erasing: Zhong et al. 2020)."""
    H, W = x.shape[3:]
    draws = chance.uniform(3)
    side = (0.02 + 0.18 * draws[:, 0]).sqrt()
    inside = []
    for size, start in ((H, draws[:, 1]), (W, draws[:, 2])):
        places = (torch.arange(size, device=x.device) + 0.5) / size
        low = start * (1 - side)
        inside.append((places >= low[:, None]) & (places < (low + side)[:, None]))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None, None]


def _some(chance: Chance, probability: float) -> Tensor:
    """bool (B, 1, 1, 1, 1)."""
    return chance.uniform(1, 1, 1, 1) < probability
