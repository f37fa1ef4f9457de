"""Which clips a run may look at: settings are chosen on sources of the training side, the test side is for the end."""

from dataclasses import replace

import numpy as np
import torch

from benchmarks.train_steps.clips import PackedClips
from pipeline.errors import ConfigError
from pipeline.evaluate.probe import validation_rows

SHARE = 0.25  # of the training side's clips


def to_choose_on(clips: PackedClips, split: str, *, group_column: str, seed: int) -> PackedClips:
    """The training side alone, some of its sources in the part of the test side: no test clip is left to be seen.

    Args:
        clips: Everything.
        split: Whose training side.
        group_column: The column that the file's groups come from; named, so that nobody is wrong about it.
        seed: Draws the sources; the same for all runs of a ladder.
    Returns:
        Fewer clips, with the one split.
    Raises:
        ConfigError: the groups come from another column, or too few sources or classes are there.
    """
    if group_column != clips.group_column:
        what = "The clips are grouped by another column."
        raise ConfigError(what, where="--validate", got=group_column, expected=clips.group_column)
    rows = np.flatnonzero(clips.is_train(split))
    labels, groups = clips.labels[rows], clips.groups[rows]
    is_held_out = validation_rows(groups, labels, seed=seed, share=SHARE)
    frames = clips.frames[torch.from_numpy(rows)]
    return replace(clips, frames=frames, labels=labels, groups=groups, splits={split: ~is_held_out})
