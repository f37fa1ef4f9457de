"""Clips that are learned from together, and what names a clip. Needs torch and numpy alone."""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Batch(NamedTuple):
    """Clips that are learned from together.

    Args:
        frames: uint8 (B, T, H, W, C) RGB.
        labels: int64 (B,), -1 for no label.
        clip_ids: uint64 (B,), a digest of video and place; what the chance of a clip follows from.
        places: int64 (B,), where clips stream the place of each (`pipeline.train.seen`), -1 for none; else its row.
    """

    frames: Tensor
    labels: Tensor
    clip_ids: NDArray[np.uint64]
    places: NDArray[np.int64]


def clip_id_number(video_id: str, clip_index: int) -> int:
    """64 bits that name a clip, the same in any table and any stream."""
    return int.from_bytes(hashlib.blake2b(f"{video_id}\0{clip_index}".encode(), digest_size=8).digest(), "big")
