"""Behaviours without labels: segments between change points, clustered over the whole corpus.

slices --SignalScale--> signal --change points--> segments --k-means over all videos--> behaviour_00, behaviour_01...
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.changes import change_points
from pipeline.tasks.behaviour.segment import Segment, segments_of
from pipeline.tasks.behaviour.signal import SignalScale, noise_power
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices

MAX_BEHAVIOURS = 12  # tried, where the number is not given
_MAX_JUDGED = 2000  # segments, for the silhouette: it is quadratic
_MAX_CLUSTERED = 100_000  # segments, for k-means


@dataclass(frozen=True)
class Codebook:
    """What was learned of a corpus; new videos get the same behaviours.

    Args:
        scale: Slices to signal.
        noise: Power of the signal's noise.
        strength: Of the penalty on changes.
        centres: float64 (K, D + 2), of the behaviours, that with the largest share of time first.
    """

    scale: SignalScale
    noise: float
    strength: float
    centres: Floats

    @property
    def behaviours(self) -> list[str]:
        """behaviour_00, behaviour_01..., as many as there are centres."""
        return [f"behaviour_{index:02d}" for index in range(len(self.centres))]

    def segments(self, video: VideoSlices) -> list[Segment]:
        """The behaviours of one video.

        Confidence: (b - a) / b, with a and b the distances to the nearest and to the second nearest centre.
        """
        signal = self.scale.signal(video)
        starts = change_points(signal, noise=self.noise, strength=self.strength)
        lengths = np.diff([*starts, len(signal)])
        distances = _distances(_means(signal, starts), self.centres)
        two = np.partition(distances, 1, axis=1)[:, :2]
        confidences = np.divide(two[:, 1] - two[:, 0], two[:, 1], out=np.zeros(len(two)), where=two[:, 1] > 0)
        nearest = distances.argmin(axis=1)
        return segments_of(video, np.repeat(nearest, lengths), np.repeat(confidences, lengths), self.behaviours)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        numbers = {"noise": self.noise, "strength": self.strength, "centres": self.centres.tolist()}
        return {"scale": self.scale.to_json(), **numbers}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Codebook":
        """What to_json gave."""
        scale = SignalScale.from_json(fields["scale"])
        return cls(scale, fields["noise"], fields["strength"], np.array(fields["centres"]))


def fit_codebook(
    videos: Sequence[VideoSlices], *, num_behaviours: int | None, strength: float = 1.0, seed: int = 0
) -> Codebook:
    """Learn the behaviours of a corpus.

    K-means on the mean signal of each segment, weighed by its slices. The number of behaviours is the one in [2, 12]
    with the largest mean silhouette (Rousseeuw 1987), unless told.

    Args:
        videos: At least one.
        num_behaviours: K, at least 2; None: chosen.
        strength: Of the penalty on changes; above 0.
        seed: Of k-means and of the samples.
    Raises:
        ConfigError: there are fewer different segments than behaviours, or fewer than three to choose a number by.
    """
    scale = SignalScale.fitted(videos)
    signals = [scale.signal(video) for video in videos]
    noise = noise_power(signals)
    starts = [change_points(signal, noise=noise, strength=strength) for signal in signals]
    means = np.concatenate([_means(signal, at) for signal, at in zip(signals, starts, strict=True)])
    lengths = np.concatenate([np.diff([*at, len(signal)]) for signal, at in zip(signals, starts, strict=True)])
    num_different = len(np.unique(means, axis=0))
    if num_different < (num_behaviours or 3):
        cure = "choose more or longer videos with --where, or lower --penalty"
        expected = f"at least {num_behaviours or 3}"
        raise ConfigError(
            "There are too few segments.", where="segments", got=num_different, expected=expected, cure=cure
        )
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.permutation(len(means))[:_MAX_CLUSTERED])
    means, lengths = means[sample], lengths[sample]
    if num_behaviours is None:
        num_behaviours = _best_number(means, lengths, num_different, rng, seed)
    clusters = _clustered(means, lengths, num_behaviours, seed)
    time_of = np.bincount(clusters.labels_, weights=lengths, minlength=num_behaviours)
    order = np.argsort(-time_of, kind="stable")
    return Codebook(scale, noise, strength, clusters.cluster_centers_[order])


def _best_number(means: Floats, lengths: Floats, num_different: int, rng: np.random.Generator, seed: int) -> int:
    judged = rng.permutation(len(means))[:_MAX_JUDGED]
    scores = {}
    for number in range(2, min(MAX_BEHAVIOURS, num_different - 1) + 1):
        labels = _clustered(means, lengths, number, seed).labels_[judged]
        if 2 <= len(np.unique(labels)) < len(judged):
            scores[number] = float(silhouette_score(means[judged], labels))
    return max(scores, key=lambda number: scores[number])


def _clustered(means: Floats, lengths: Floats, number: int, seed: int) -> KMeans:
    return KMeans(number, n_init=10, random_state=seed).fit(means, sample_weight=lengths)


def _means(signal: Floats, starts: Sequence[int]) -> Floats:
    """The mean of each segment: float64 (S, D)."""
    lengths = np.diff([*starts, len(signal)])
    means: Floats = np.add.reduceat(signal, starts, axis=0) / lengths[:, None]
    return means


def _distances(points: Floats, centres: Floats) -> Floats:
    distances: Floats = np.linalg.norm(points[:, None] - centres[None], axis=2)
    return distances
