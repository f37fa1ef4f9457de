"""When a loss that is still a number has run away: a pure rule over the losses so far.

loss  │╲            ╱▔▔▔▔▔▔ level: median of the last 50; above both the fresh network's and 3 x the best: stop
      │ ╲__    ╷   ╱
      │    ╲___│__╱         a spike moves no median
      └─ fresh ─────── best ──────

No bound fits every sum of terms, so there is none: what a run has reached itself is the measure. A run that has fallen
far may rise far again without a word, as long as it stays below where it began (other clips, a harder batch).
"""

from dataclasses import dataclass
from statistics import median_low

from pipeline.errors import SoraError

WINDOW = 50  # steps; up to half of them out of line are a spike
FACTOR = 3.0


@dataclass(frozen=True)
class LossHistory:
    """What the rule remembers; kept with a checkpoint, so that a resumed run judges alike.

    Args:
        recent: The last WINDOW losses, the newest last.
        fresh: Median of the first WINDOW losses; None before there are as many.
        best: Lowest median of WINDOW losses in a row so far.
    """

    recent: tuple[float, ...] = ()
    fresh: float | None = None
    best: float | None = None

    @property
    def level(self) -> float:
        """Where the loss is now, spikes left out."""
        return median_low(self.recent)

    @property
    def bound(self) -> float | None:
        """The level above which a run has diverged; None while too little is known."""
        if self.fresh is None or self.best is None:
            return None
        return max(self.fresh, FACTOR * self.best)

    @property
    def is_diverged(self) -> bool:
        """Whether the loss has stayed far above what it was."""
        return self.bound is not None and self.level > self.bound


def remembered(history: LossHistory, loss: float) -> LossHistory:
    """The history after one more step.

    Args:
        history: Of the steps before.
        loss: Of the step, over the clips of all workers, finite and >= 0.
    """
    recent = (*history.recent, loss)[-WINDOW:]
    if len(recent) < WINDOW:
        return LossHistory(recent)
    level = median_low(recent)
    fresh = level if history.fresh is None else history.fresh
    best = level if history.best is None else min(history.best, level)
    return LossHistory(recent, fresh, best)


def require_convergence(history: LossHistory, *, step: int, learning_rate: float) -> None:
    """Raise where the loss has run away.

    Raises:
        SoraError: the level is above the bound; the same on all workers, since they agree on the losses.
    """
    if history.is_diverged:
        raise SoraError(
            f"training diverged: for {WINDOW} steps the loss has been far above what it was",
            where=f"step {step}, learning rate {learning_rate:.2e}",
            got=f"a median of {history.level:.4g}",
            expected=f"at most {history.bound:.4g}; fresh network {history.fresh:.4g}, best level {history.best:.4g}",
            cure="use another --name and a smaller --learning-rate, or a smaller weight on the term that grows",
        )
