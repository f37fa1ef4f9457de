"""What a behaviour is read from: the vector of a slice, and how much moves and how badly it was rebuilt beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices, stacked

# Of the variance of the whole vector; two scalars must be seen beside it and not drown it. Not tuned.
SCALAR_SHARE = 0.25
_SMALLEST = 1e-6  # below any error or motion of real footage, in units of [-1, 1]


@dataclass(frozen=True)
class SignalScale:
    """Centres and scales vectors, log recon_error and log motion so that their variances are 1, 1/4 and 1/4.

    Args:
        centre: float64 (D + 2,)
        scale: float64 (D + 2,), what to divide by; the same for all D.
    """

    centre: Floats
    scale: Floats

    @classmethod
    def fitted(cls, videos: Sequence[VideoSlices]) -> "SignalScale":
        """The scale of the slices of some videos."""
        raw = np.concatenate([_raw(video) for video in videos])
        variances = raw.var(axis=0)
        total = float(variances[:-2].sum())
        spread = np.concatenate([np.full(raw.shape[1] - 2, np.sqrt(total)), np.sqrt(variances[-2:] / SCALAR_SHARE)])
        return cls(raw.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def signal(self, video: VideoSlices) -> Floats:
        """float64 (N, D + 2), one row a slice."""
        scaled: Floats = (_raw(video) - self.centre) / self.scale
        return scaled

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {"centre": self.centre.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "SignalScale":
        """What to_json gave."""
        return cls(np.array(fields["centre"]), np.array(fields["scale"]))


def noise_power(signals: Sequence[Floats]) -> float:
    """How much of a signal is noise: half the median squared step from slice to slice, all dimensions together.

    The median, because the few steps between two behaviours are no noise.
    """
    steps = [(np.diff(signal, axis=0) ** 2).sum(axis=1) for signal in signals]
    together = np.concatenate([*steps, np.zeros(0)])
    return float(np.median(together) / 2) if len(together) else 0.0


def log_scalars(videos: Sequence[VideoSlices]) -> Floats:
    """Logarithms of recon_error and motion: float64 (N, 2)."""
    columns = [stacked(videos, "recon_error"), stacked(videos, "motion")]
    return np.log(np.maximum(np.stack(columns, axis=1), _SMALLEST))


def _raw(video: VideoSlices) -> Floats:
    return np.concatenate([video.vectors, log_scalars([video])], axis=1)
