"""How sure a head may say it is: a temperature, the error that is left, and what a threshold keeps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from pipeline.tasks.classify.fitting import Fitted, Recipe, fit
from pipeline.tasks.classify.network import Floats, softmax

NUM_BINS = 15
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_TEMPERATURES = (1e-4, 1e2)  # a strong penalty leaves logits a thousandth of what they mean


def held_out_logits(
    vectors: Floats,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    folds: Sequence[NDArray[np.bool_]],
    recipe: Recipe,
    *,
    strength: float,
    num_classes: int,
) -> Floats:
    """Logits of every row by a head that saw no row of its source, float64 (N, num_classes).

    Args:
        vectors: float64 (N, D).
        labels: int64 (N,).
        groups: (N,), the source of each row.
        folds: From grouped_folds.
        recipe: What kind of head.
        strength: Of the penalty: that of the head which is calibrated.
        num_classes: K; classes that a fold's head never saw have -inf.
    """
    logits = np.full((len(labels), num_classes), -np.inf)
    for is_held in folds:
        fitted: Fitted = fit(vectors[~is_held], labels[~is_held], groups[~is_held], recipe, strength=strength)
        logits[is_held] = fitted.logits(vectors[is_held], num_classes)
    return logits


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature under which held-out rows are likeliest (Guo et al. 2017, On Calibration of Modern Networks).

    One row more, of every class alike, is pretended to have been seen, as Platt (1999) does: few rows, all of them
    right, would make any head certain.

    Args:
        logits: float64 (N, K), of a head that did not see the rows; rows whose class has -inf are left out.
        labels: int64 (N,).
    Returns:
        In [1e-4, 100]; 1 where no row is left.
    """
    is_known = np.isfinite(logits[np.arange(len(labels)), labels])
    if not is_known.any():
        return 1.0
    known, targets = logits[is_known], labels[is_known]
    share = 1.0 / (len(targets) + 1)

    def loss(log_temperature: float) -> float:
        probabilities = np.maximum(softmax(known, float(np.exp(log_temperature))), 1e-300)
        logs = np.where(np.isfinite(known), np.log(probabilities), 0.0)
        of_targets = logs[np.arange(len(targets)), targets]
        evenly = logs.sum(axis=1) / np.isfinite(known).sum(axis=1)
        return float(-((1 - share) * of_targets + share * evenly).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def calibration_error(confidences: Floats, correct: NDArray[np.bool_]) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error over 15 bins of equal width (Naeini et al. 2015), and the bins that are not empty.

    Args:
        confidences: float (N,) in [0, 1], probability of the likeliest class.
        correct: bool (N,), whether that class was right.
    Returns:
        The error in [0, 1], and by bin: low, high, num, confidence, accuracy.
    Raises:
        ValueError: shapes do not fit, or there is no row.
    """
    if confidences.ndim != 1 or confidences.shape != correct.shape or not confidences.size:
        raise ValueError(f"expected (n,) and (n,), n > 0, got shapes {confidences.shape} and {correct.shape}")
    of_bin = np.minimum((confidences * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    bins = []
    for index in np.unique(of_bin):
        inside = of_bin == index
        bins.append(
            {
                "low": index / NUM_BINS,
                "high": (index + 1) / NUM_BINS,
                "num": int(inside.sum()),
                "confidence": float(confidences[inside].mean()),
                "accuracy": float(correct[inside].mean()),
            }
        )
    error = sum(one["num"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / len(confidences)
    return float(error), bins


def kept_by_threshold(confidences: Floats, correct: NDArray[np.bool_]) -> list[dict[str, float | None]]:
    """For each of THRESHOLDS as --unknown-below: the share of rows that keep a label, and how many of those are right.

    Args:
        confidences: float (N,) in [0, 1].
        correct: bool (N,).
    """
    found: list[dict[str, float | None]] = []
    for threshold in THRESHOLDS:
        kept = confidences >= threshold
        accuracy = float(correct[kept].mean()) if kept.any() else None
        found.append({"unknown_below": threshold, "kept": float(kept.mean()), "accuracy": accuracy})
    return found
