"""Which clips of an epoch have been learned from, where they stream: kept with a checkpoint, left out after a resume.

A stream comes in another order each time, so a resumed epoch cannot be counted forward to a step. Every clip that the
catalog promises has a place instead, and a flag there:

videos   a, 3 clips   b, 2 clips   c, 4 clips
places   0  1  2      3  4         5  6  7  8
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray

SEEN_FILE = "seen.npz"


class ClipPlaces:
    """Where the clips of each video stand among all clips of a run.

    Args:
        video_ids: Each once.
        counts: How many clips each is expected to have, from the catalog. Clips beyond have no place.
    """

    def __init__(self, video_ids: Sequence[str], counts: Sequence[int]):
        ends = np.cumsum(np.asarray(counts, np.int64))
        self._slices = {
            video_id: (int(end) - count, int(end)) for video_id, count, end in zip(video_ids, counts, ends, strict=True)
        }
        self.num_clips = int(ends[-1]) if len(ends) else 0

    def of_video(self, video_id: str) -> slice:
        """The places of a video's clips."""
        return slice(*self._slices[video_id])

    def of_clip(self, video_id: str, clip_index: int) -> int:
        """The place of a clip; -1 for one beyond those expected."""
        start, end = self._slices[video_id]
        return start + clip_index if clip_index < end - start else -1


class SeenClips:
    """The flags of an epoch, of this worker's clips and of those that a resumed run had seen.

    Args:
        num_clips: Of the whole run, as `ClipPlaces` counts them.
        basis: Names what an epoch consists of: the videos, and whether their clips stream. With another basis, what a
            checkpoint knows of a begun epoch means nothing.
    """

    def __init__(self, num_clips: int, basis: str):
        self._flags, self._basis = np.zeros(num_clips, np.uint8), basis

    def add(self, places: NDArray[np.int64]) -> None:
        """Remember clips by their places; -1 is nobody's."""
        self._flags[places[places >= 0]] = 1

    def clear(self) -> None:
        """Begin an epoch."""
        self._flags[:] = 0

    def agree(self, device: torch.device) -> None:
        """Take over what the other workers have seen; all of them must call it."""
        if torch.distributed.is_initialized():
            told = torch.from_numpy(self._flags).to(device)
            torch.distributed.all_reduce(told, op=torch.distributed.ReduceOp.MAX)
            self._flags = told.cpu().numpy()

    def packed(self) -> NDArray[np.uint8]:
        """The flags, eight a byte."""
        return np.packbits(self._flags)

    def save(self, folder: Path) -> None:
        """Write the flags, and their basis, into a checkpoint folder."""
        np.savez(folder / SEEN_FILE, flags=self.packed(), basis=np.array(self._basis))

    def load(self, folder: Path) -> bool:
        """Take over the flags of a checkpoint folder; where its basis is another one, none, and give False."""
        self.clear()
        with np.load(folder / SEEN_FILE, allow_pickle=False) as there:
            if str(there["basis"]) != self._basis:
                return False
            self._flags = np.unpackbits(there["flags"], count=len(self._flags))
        return True


class SeenBoard:
    """What decoders are to leave out in this epoch; an actor, told by the first worker before a stream begins.

    Args:
        places: Of the clips of the run.
    """

    def __init__(self, places: ClipPlaces):
        self._places = places
        self._flags = np.zeros(places.num_clips, np.uint8)

    def put(self, packed: NDArray[np.uint8]) -> None:
        """The flags of an epoch that begins or goes on."""
        self._flags = np.unpackbits(packed, count=self._places.num_clips)

    def of_videos(self, video_ids: Sequence[str]) -> list[NDArray[np.bool_]]:
        """For each video a flag a clip: whether it has been seen."""
        return [self._flags[self._places.of_video(video_id)].astype(bool) for video_id in video_ids]


@dataclass(frozen=True)
class Stream:
    """What workers need to know of clips that stream: their places, and the handle of the `SeenBoard`."""

    places: ClipPlaces
    board: Any
