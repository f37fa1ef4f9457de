"""Behaviours with labels: a linear classifier on slices, smoothed over time by a hidden Markov model.

slices --StandardScaler, logistic regression--> p(behaviour | slice) --/ p(behaviour)--> likelihoods --Viterbi--> path
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipeline.errors import ConfigError
from pipeline.evaluate.probe import C_SWEEP, validation_rows
from pipeline.tasks.behaviour.segment import Segment, segments_of
from pipeline.tasks.behaviour.signal import SignalScale
from pipeline.tasks.behaviour.timed_labels import UNLABELLED
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices
from pipeline.tasks.behaviour.viterbi import most_likely_path

_MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Recogniser:
    """What was learned of labelled slices.

    Args:
        behaviours: Name of each of K behaviours.
        scale: Slices to signal.
        deviation: float64 (D + 2,), of the signal's dimensions.
        coefficients: float64 (K, D + 2)
        intercepts: float64 (K,)
        log_prior: float64 (K,), of the behaviours among the labelled slices.
        log_transition: float64 (K, K), from row to column, from slice to slice.
    """

    behaviours: list[str]
    scale: SignalScale
    deviation: Floats
    coefficients: Floats
    intercepts: Floats
    log_prior: Floats
    log_transition: Floats

    def log_posteriors(self, video: VideoSlices) -> Floats:
        """log p(behaviour | slice), each slice by itself: float64 (N, K)."""
        logits = self.scale.signal(video) / self.deviation @ self.coefficients.T + self.intercepts
        logits -= logits.max(axis=1, keepdims=True)
        posteriors: Floats = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return posteriors

    def path(self, video: VideoSlices) -> NDArray[np.int64]:
        """The behaviour of each slice, as its neighbours make it likely: int64 (N,).

        Posteriors over priors stand in for likelihoods, as in Bourlard and Morgan 1994 (Connectionist Speech
        Recognition).
        """
        return most_likely_path(self.log_posteriors(video) - self.log_prior, self.log_prior, self.log_transition)

    def segments(self, video: VideoSlices) -> list[Segment]:
        """The behaviours of one video. Confidence: the mean posterior of the behaviour over the segment's slices."""
        path = self.path(video)
        confidences = np.exp(self.log_posteriors(video)[np.arange(len(path)), path])
        return segments_of(video, path, confidences, self.behaviours)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"behaviours": self.behaviours, "scale": self.scale.to_json(), **arrays}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Recogniser":
        """What to_json gave."""
        arrays = {name: np.array(fields[name]) for name in _ARRAYS}
        return cls(behaviours=fields["behaviours"], scale=SignalScale.from_json(fields["scale"]), **arrays)


_ARRAYS = ("deviation", "coefficients", "intercepts", "log_prior", "log_transition")


def fit_recogniser(
    videos: Sequence[VideoSlices],
    labels: Sequence[NDArray[np.int64]],
    groups: Sequence[str],
    behaviours: Sequence[str],
    *,
    seed: int = 0,
) -> Recogniser:
    """Learn behaviours from labelled slices.

    The strength C of the classifier is the one out of probe.C_SWEEP with the least log loss on about a quarter of the
    labelled slices, whole sources at a time; then it is fitted again on all of them. Transitions are counted between
    neighbouring labelled slices, each pair of behaviours once more than it was seen.

    Args:
        videos: At least one.
        labels: For each video int64 (N,), into behaviours, UNLABELLED where nothing is known.
        groups: Source of each video.
        behaviours: Name of each behaviour; those without a slice are never predicted.
        seed: Of the validation draw.
    Raises:
        ConfigError: fewer than two behaviours or two sources have a labelled slice.
    """
    scale = SignalScale.fitted(videos)
    y = np.concatenate(labels)
    is_labelled = y != UNLABELLED
    x = np.concatenate([scale.signal(video) for video in videos])[is_labelled]
    deviation = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    of_slice = np.repeat(np.array(groups, dtype=np.str_), [len(video) for video in videos])
    present, targets = np.unique(y[is_labelled], return_inverse=True)
    _require_two(present, of_slice[is_labelled], behaviours)
    classifier = _classifier(x / deviation, targets, of_slice[is_labelled], seed)
    coefficients, intercepts = classifier.coef_, classifier.intercept_
    if len(present) == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercepts = (np.concatenate([np.zeros_like(one), one]) for one in (coefficients, intercepts))
    compact = np.full(len(behaviours) + 1, UNLABELLED)  # the last for UNLABELLED itself
    compact[present] = np.arange(len(present))
    return Recogniser(
        behaviours=[behaviours[index] for index in present],
        scale=scale,
        deviation=deviation,
        coefficients=coefficients,
        intercepts=intercepts,
        log_prior=np.log(np.bincount(targets) / len(targets)),
        log_transition=_log_transition([compact[one] for one in labels], len(present)),
    )


def _require_two(present: NDArray[np.int64], groups: NDArray[np.str_], behaviours: Sequence[str]) -> None:
    num_groups = len(np.unique(groups))
    if len(present) < 2 or num_groups < 2:
        names = [behaviours[index] for index in present]
        cure = "label more videos with start_s and end_s, of other sources"
        got = f"{names} in {num_groups} sources"
        raise ConfigError("There is too little to learn behaviours from.", got=got, expected="2 of each", cure=cure)


def _classifier(x: Floats, targets: NDArray[np.int64], groups: NDArray[np.str_], seed: int) -> LogisticRegression:
    is_fit = ~validation_rows(groups, targets, seed=seed)
    losses = [_loss(_fitted(x[is_fit], targets[is_fit], c), x[~is_fit], targets[~is_fit]) for c in C_SWEEP]
    return _fitted(x, targets, C_SWEEP[int(np.argmin(losses))])


def _loss(classifier: LogisticRegression, x: Floats, targets: NDArray[np.int64]) -> float:
    """Mean -log p of the true behaviour, over the slices of behaviours that the classifier knows.

    Not the accuracy: of equally accurate classifiers the weakest says next to nothing, and smoothing over time then
    believes the transitions alone (0.85 of the slices of a planted corpus right, where all could be).
    """
    is_known = np.isin(targets, classifier.classes_)
    if not is_known.any():
        return 0.0
    places = np.searchsorted(classifier.classes_, targets[is_known])
    log_posteriors = classifier.predict_log_proba(x[is_known])
    return -float(log_posteriors[np.arange(len(places)), places].mean())


def _fitted(x: Floats, targets: NDArray[np.int64], c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=_MAX_ITERATIONS).fit(x, targets)


def _log_transition(labels: Sequence[NDArray[np.int64]], num_behaviours: int) -> Floats:
    counts = np.ones((num_behaviours, num_behaviours))
    for one in labels:
        before, after = one[:-1], one[1:]
        is_pair = (before != UNLABELLED) & (after != UNLABELLED)
        np.add.at(counts, (before[is_pair], after[is_pair]), 1)
    log_transition: Floats = np.log(counts / counts.sum(axis=1, keepdims=True))
    return log_transition
