"""How unlike normal footage a slice is: rebuilt worse than such slices are, or far from every normal slice.

normal slices --vector, log motion--> features --whitened, the nearest other one-> log distance ------------> z_d
                                               --ridge regression----------------> log recon_error expected
log recon_error less what was expected of such a slice --------------------------------------------------> z_e
Everything is fitted on normal footage alone, and both z on normal videos that were left out of the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.signal import log_scalars
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices

MAX_FOLDS = 5
MAX_REFERENCE = 50_000  # normal slices that distances are taken to
_MAX_HELD_OUT = 4_000  # of each fold, enough for a mean and a deviation
# Of the largest variance of a direction; what varies less is noise, and whitening would blow it up. Many directions
# matter: see docs/log.md.
_LEAST_VARIANCE = 1e-5
_RIDGE = 10.0  # of standardised features; 1 and 100 changed the frame AUC by 0.003
_NOTHING = 1e-12  # a variance: where normal footage does not vary at all
_NEAR = 1e-3  # in deviations: nearer is the same, and its logarithm would say more than it knows
_LEAST_SLICES = 20
_ONE_DEVIATION = 0.841345  # share of a normal distribution below mean + deviation
_SEED = 0


@dataclass(frozen=True)
class SliceScores:
    """Of each of N slices, float64 (N,), the higher the stranger.

    Args:
        excess: Deviations by which the log reconstruction error exceeds what is expected of such a slice.
        distance: Deviations by which the log distance to normal slices exceeds that of normal ones.
        score: Both together.
    """

    excess: Floats
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
        num_slices = sum(len(video) for video in normal)
        if num_slices < _LEAST_SLICES:
            got, cure = f"{num_slices} slices", "give more normal footage"
            expected = f"at least {_LEAST_SLICES}"
            raise ConfigError(
                "There is too little normal footage.", where="--normal", got=got, expected=expected, cure=cure
            )
        samples = _samples(normal)
        self._raw = _RawScores(samples)
        held_out = _held_out(samples)
        self._excess, self._distance = _spread(held_out[:, 0]), _spread(held_out[:, 1])

    def scores(self, video: VideoSlices) -> SliceScores:
        """How unlike normal footage the slices of a video are.

        The score is the length of the two z together, each counted only above 0: sqrt(max(z_e, 0)^2 + max(z_d, 0)^2).
        """
        raw = self._raw.of(_samples([video])[0])
        excess = (raw[:, 0] - self._excess[0]) / self._excess[1]
        distance = (raw[:, 1] - self._distance[0]) / self._distance[1]
        return SliceScores(excess, distance, np.hypot(np.maximum(excess, 0), np.maximum(distance, 0)))


class _RawScores:
    """Fitted on samples of some videos: float64 (N, D + 2), the vector, log motion, log recon_error of N slices."""

    def __init__(self, samples: Sequence[Floats]):
        together = np.concatenate(samples)
        features, log_error = together[:, :-1], together[:, -1]
        self._manifold = _Manifold(features)
        self._expected = make_pipeline(StandardScaler(), Ridge(_RIDGE)).fit(features, log_error)

    def of(self, sample: Floats) -> Floats:
        """How much worse than expected each slice was rebuilt, and its log distance: float64 (N, 2)."""
        features, log_error = sample[:, :-1], sample[:, -1]
        excess = log_error - self._expected.predict(features)
        return np.stack([excess, np.log(self._manifold.distances(features))], axis=1)


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


def _samples(videos: Sequence[VideoSlices]) -> list[Floats]:
    """Of each video float64 (N, D + 2): the vector, log motion and log recon_error of its slices."""
    return [np.concatenate([video.vectors, log_scalars([video])[:, ::-1]], axis=1) for video in videos]


def _held_out(samples: Sequence[Floats]) -> Floats:
    """Raw scores of normal slices by what the others show: whole videos, or stretches of a single one, are left out.

    By its own video a slice would look nearer, and better rebuilt, than a new normal video does.
    """
    parts = list(samples) if len(samples) > 1 else np.array_split(samples[0], MAX_FOLDS)
    found = []
    for fold in range(min(MAX_FOLDS, len(parts))):
        others = [part for index, part in enumerate(parts) if index % MAX_FOLDS != fold]
        found.append(_RawScores(others).of(_sampled(np.concatenate(parts[fold::MAX_FOLDS]), _MAX_HELD_OUT)))
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
