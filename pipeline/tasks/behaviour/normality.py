"""How unlike normal footage a slice is: badly rebuilt, or far from every normal slice.

normal slices --log recon_error---------------------------> median, deviation ---------> z of the error
              --vector, log motion, whitened, nearest-----> held-out distances' log ---> z of the distance
Everything is fitted on normal footage alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.signal import log_scalars
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices

MAX_FOLDS = 5
MAX_REFERENCE = 50_000  # normal slices that distances are taken to
_MAX_HELD_OUT = 4_000  # of each fold, enough for a mean and a deviation
# Of the largest variance of a direction; what varies less is noise, and whitening would blow it up. Many directions
# matter: with those that hold 99.9 % of the variance alone, a spin on the spot was missed (docs/behaviour.md).
_LEAST_VARIANCE = 1e-5
_NOTHING = 1e-12  # a variance: where normal footage does not vary at all
_NEAR = 1e-3  # in deviations: nearer is the same, and its logarithm would say more than it knows
_LEAST_SLICES = 20
_ONE_DEVIATION = 0.841345  # share of a normal distribution below mean + deviation
_SEED = 0


@dataclass(frozen=True)
class SliceScores:
    """Of each of N slices, float64 (N,), the higher the stranger.

    Args:
        recon_error: Deviations above the median of the log reconstruction error of normal slices.
        distance: The same of the log distance to normal slices.
        score: Both together.
    """

    recon_error: Floats
    distance: Floats
    score: Floats


class Normality:
    """What normal footage looks like.

    Args:
        normal: Videos with nothing but normal footage.
    Raises:
        ConfigError: fewer than 20 slices.
    """

    def __init__(self, normal: Sequence[VideoSlices]):
        features = [_features(video) for video in normal]
        num_slices = sum(len(one) for one in features)
        if num_slices < _LEAST_SLICES:
            cure = "give more normal footage"
            raise ConfigError("There is too little normal footage.", where="--normal", got=f"{num_slices} slices",
                              expected=f"at least {_LEAST_SLICES}", cure=cure)  # fmt: skip
        self._manifold = _Manifold(np.concatenate(features))
        self._distance = _spread(np.log(_held_out_distances(features)))
        self._error = _spread(log_scalars(normal)[:, 0])

    def scores(self, video: VideoSlices) -> SliceScores:
        """How unlike normal footage the slices of a video are.

        The score is the length of the two z together, each counted only above 0: sqrt(max(z_e, 0)^2 + max(z_d, 0)^2).
        """
        error = (log_scalars([video])[:, 0] - self._error[0]) / self._error[1]
        distance = (np.log(self._manifold.distances(_features(video))) - self._distance[0]) / self._distance[1]
        return SliceScores(error, distance, np.hypot(np.maximum(error, 0), np.maximum(distance, 0)))


class _Manifold:
    """Normal slices in whitened coordinates: principal components, each divided by its deviation."""

    def __init__(self, features: Floats):
        components = PCA(svd_solver="covariance_eigh").fit(features)
        variances = components.explained_variance_
        is_kept = variances > _LEAST_VARIANCE * variances[0]
        is_kept[0] = True  # of footage that never varies too
        self._mean = components.mean_
        self._whitening = components.components_[is_kept].T / np.sqrt(np.maximum(variances[is_kept], _NOTHING))
        self._nearest = NearestNeighbors(n_neighbors=1).fit(self._whitened(_sampled(features, MAX_REFERENCE)))

    def distances(self, features: Floats) -> Floats:
        """Distance to the nearest normal slice, at least _NEAR: float64 (N,)."""
        distances, _ = self._nearest.kneighbors(self._whitened(features))
        nearest: Floats = np.maximum(distances[:, 0], _NEAR)
        return nearest

    def _whitened(self, features: Floats) -> Floats:
        whitened: Floats = (features - self._mean) @ self._whitening
        return whitened


def _features(video: VideoSlices) -> Floats:
    """The vector and the log motion of each slice: float64 (N, D + 1)."""
    return np.concatenate([video.vectors, log_scalars([video])[:, 1:]], axis=1)


def _held_out_distances(features: Sequence[Floats]) -> Floats:
    """Distances of normal slices to the others: those of videos, or of stretches of a single one, that were left out.

    A slice's own video would make it look nearer than a new normal video is.
    """
    parts = list(features) if len(features) > 1 else np.array_split(features[0], MAX_FOLDS)
    found = []
    for fold in range(min(MAX_FOLDS, len(parts))):
        others = np.concatenate([part for index, part in enumerate(parts) if index % MAX_FOLDS != fold])
        found.append(_Manifold(others).distances(_sampled(np.concatenate(parts[fold::MAX_FOLDS]), _MAX_HELD_OUT)))
    return np.concatenate(found)


def _sampled(features: Floats, most: int) -> Floats:
    return (
        features if len(features) <= most else features[np.random.default_rng(_SEED).permutation(len(features))[:most]]
    )


def _spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """The median, and how far above it the 84th percentile lies: mean and deviation of a normal distribution.

    Copies among the normal videos lie at no distance at all; mean and deviation would follow them.
    """
    median, upper = np.quantile(values, [0.5, _ONE_DEVIATION])
    return float(median), float(upper - median) if upper > median else 1.0
