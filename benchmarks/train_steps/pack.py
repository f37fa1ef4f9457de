"""Make a packed clip file; the one part that needs a decoder."""

import csv
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.train_steps.clips import GROUP_COLUMN
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.reader import read_clips
from pipeline.decode.sampling import SamplingConfig


def pack(table: Path, file: Path, sampling: SamplingConfig) -> int:
    """Decode the first clip of every video of a labels CSV (path, label, source_group, split*); return how many."""
    rows = list(csv.DictReader(table.open()))
    names = sorted({row["label"] for row in rows})
    groups = {group: index for index, group in enumerate(sorted({row[GROUP_COLUMN] for row in rows}))}
    frames = []
    for row in rows:
        with (table.parent / row["path"]).open("rb") as source:
            clip = next(iter(read_clips(source, sampling, DecodeLimits())))
        frames.append(torch.from_numpy(np.array(clip.frames)))
    tensors = {
        "frames": torch.stack(frames),
        "labels": torch.tensor([names.index(row["label"]) for row in rows]),
        "groups": torch.tensor([groups[row[GROUP_COLUMN]] for row in rows]),
    }
    for split in (name for name in rows[0] if name.startswith("split")):
        tensors[split] = torch.tensor([row[split] == "train" for row in rows], dtype=torch.uint8)
    save_file(tensors, file, metadata={"labels": json.dumps(names), "group_column": GROUP_COLUMN})
    return len(rows)
