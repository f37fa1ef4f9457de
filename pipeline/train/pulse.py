"""What all workers agree on after every step: its loss over the whole batch, and what the first one's clock calls for.

A report to Ray, and the question whether a machine will be taken away, wait for every worker. So all of them must do
either at the same step, and no clock but the first worker's decides when.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
import torch.distributed

SAVE_EVERY_S = 60.0  # what a crash costs at most; a checkpoint of sora_xs takes under a second
LOOK_EVERY_S = 5.0  # a machine that is taken away says so 30 to 120 s before; asking waits for the slowest worker


class Call(IntEnum):
    """What is due, the graver the greater."""

    NOTHING = 0
    LOOK = 1  # ask whether a machine will be taken away
    SAVE = 2


@dataclass
class Clock:
    """When the first worker last saved and looked."""

    save_every_s: float
    now_s: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._saved_s = self._looked_s = self.now_s()

    def call(self) -> Call:
        """What is due now; whoever is told a call, follows it."""
        now_s = self.now_s()
        if now_s - self._saved_s >= self.save_every_s:
            self._saved_s = now_s
            return Call.SAVE
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            return Call.LOOK
        return Call.NOTHING

    def saved(self) -> None:
        """A checkpoint was written for another reason."""
        self._saved_s = self.now_s()


def agree(loss: float, num_clips: int, call: Call, device: torch.device) -> tuple[float, int, Call]:
    """The mean loss over the clips of all workers, how many these are, and the gravest call of any."""
    if not torch.distributed.is_initialized():
        return loss, num_clips, call
    told = torch.zeros(torch.distributed.get_world_size(), 3, dtype=torch.float64, device=device)
    own = torch.tensor([loss * num_clips, num_clips, call], dtype=torch.float64, device=device)
    told[torch.distributed.get_rank()] = own
    torch.distributed.all_reduce(told)
    sums = told.sum(dim=0).tolist()
    return sums[0] / sums[1], int(sums[1]), Call(int(told[:, 2].max().item()))
