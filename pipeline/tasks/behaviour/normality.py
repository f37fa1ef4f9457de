"""How unlike normal footage a slice is: badly rebuilt, or far from every normal slice.

normal slices --log recon_error---------------------------> mean, deviation -----------> z of the error
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
_LEAST_SLICES = 20
_SEED = 0


@dataclass(frozen=True)
class SliceScores:
    """Of each of N slices, float64 (N,), the higher the stranger.

    Args:
        recon_error: Standard deviations above the mean of the log reconstruction error of normal slices.
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
        is_kept = variances > _LEAST_VARIANCE * max(float(variances[0]), np.finfo(np.float64).tiny)
        self._mean = components.mean_
        self._whitening = components.components_[is_kept].T / np.sqrt(variances[is_kept])  # (D + 1, kept)
        self._nearest = NearestNeighbors(n_neighbors=1).fit(self._whitened(_sampled(features, MAX_REFERENCE)))

    def distances(self, features: Floats) -> Floats:
        """Distance to the nearest normal slice: float64 (N,), above 0."""
        distances, _ = self._nearest.kneighbors(self._whitened(features))
        nearest: Floats = np.maximum(distances[:, 0], np.finfo(np.float64).tiny)
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
    deviation = float(values.std())
    return float(values.mean()), deviation if deviation > 0 else 1.0
