"""From the times of steps to shares of time: pure arithmetic.

epoch  |----first wait----|step|wait|step|wait|step|-end-|
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Epoch:
    """One epoch of one worker, in seconds of one clock.

    started_s, ended_s: Of the loop over the batches.
    steps: When each step began and ended: batch in hand, to weights changed.
    num_clips: Clips it was trained on.
    """

    started_s: float
    ended_s: float
    steps: list[tuple[float, float]]
    num_clips: int

    @property
    def computed_s(self) -> float:
        """Seconds inside steps."""
        return sum(end_s - start_s for start_s, end_s in self.steps)


def busy_share(epochs: Sequence[Epoch]) -> float:
    """Seconds inside steps over all seconds of these epochs: the first wait, and what follows the last step, count."""
    return sum(epoch.computed_s for epoch in epochs) / sum(epoch.ended_s - epoch.started_s for epoch in epochs)


def busy_share_between_steps(epochs: Sequence[Epoch]) -> float:
    """The same from the start of each epoch's first step to the end of its last: what a longer epoch tends to."""
    return sum(epoch.computed_s for epoch in epochs) / sum(e.steps[-1][1] - e.steps[0][0] for e in epochs)


def first_wait_s(epochs: Sequence[Epoch]) -> float:
    """Seconds until the first step, the median of the epochs."""
    return median(epoch.steps[0][0] - epoch.started_s for epoch in epochs)


def step_s(epochs: Sequence[Epoch]) -> float:
    """Seconds of a step, the median of all."""
    return median(end_s - start_s for epoch in epochs for start_s, end_s in epoch.steps)


def clips_per_s(epochs: Sequence[Epoch]) -> float:
    """Clips trained on, a second of epoch."""
    return sum(e.num_clips for e in epochs) / sum(e.ended_s - e.started_s for e in epochs)
