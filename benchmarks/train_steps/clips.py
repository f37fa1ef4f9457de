"""A packed clip file: one clip a video, with its label, source and splits.

frames   uint8 (N, T, H, W, C) RGB
labels   int64 (N,), index into metadata `labels`
groups   int64 (N,), videos of one source share a number; metadata `group_column` says which column they come from
split1.. uint8 (N,), 1 where the video may be learned from
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

GROUP_COLUMN = "source_group"


@dataclass(frozen=True)
class PackedClips:
    """A packed clip file in memory."""

    frames: torch.Tensor
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    splits: dict[str, NDArray[np.bool_]]
    names: tuple[str, ...]
    group_column: str

    def is_train(self, split: str) -> NDArray[np.bool_]:
        """bool (N,)."""
        return self.splits[split]


def read_packed(file: Path) -> PackedClips:
    """Read what `pack.pack` wrote."""
    with safe_open(file, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        metadata = stored.metadata()
    splits = {name: tensors[name].numpy().astype(bool) for name in tensors if name.startswith("split")}
    return PackedClips(
        frames=tensors["frames"],
        labels=tensors["labels"].numpy(),
        groups=tensors["groups"].numpy(),
        splits=splits,
        names=tuple(json.loads(metadata["labels"])),
        group_column=metadata.get("group_column", GROUP_COLUMN),
    )
