"""Frames to model input and back: the only place that changes the layout of an array."""

import torch


def to_model_input(frames: torch.Tensor) -> torch.Tensor:
    """Frames as the model takes them; 0 becomes -1 and 255 becomes 1.

    Args:
        frames: uint8 (B, T, H, W, C) RGB.
    Returns:
        float32 (B, C, T, H, W) in [-1, 1], contiguous.
    """
    if frames.dtype != torch.uint8:
        raise ValueError(f"expected uint8 frames, got frames.dtype = {frames.dtype}")
    if frames.ndim != 5 or frames.shape[-1] != 3:
        raise ValueError(f"expected (B, T, H, W, 3), got frames.shape = {tuple(frames.shape)}")
    channels_first = frames.permute(0, 4, 1, 2, 3)  # (B, C, T, H, W)
    return channels_first.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1.0)


def to_frames(x: torch.Tensor) -> torch.Tensor:
    """Model output as frames; values outside [-1, 1] are clipped.

    Args:
        x: float (B, C, T, H, W), nominally in [-1, 1].
    Returns:
        uint8 (B, T, H, W, C) RGB, contiguous.
    """
    if not x.is_floating_point():
        raise ValueError(f"expected a float tensor, got x.dtype = {x.dtype}")
    if x.ndim != 5 or x.shape[1] != 3:
        raise ValueError(f"expected (B, 3, T, H, W), got x.shape = {tuple(x.shape)}")
    levels = x.to(torch.float32).add(1.0).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 4, 1).contiguous()  # (B, T, H, W, C)
