"""How good a head is on sources it never saw: cross-validation by source, or the test side of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.intervals import grouped_interval
from pipeline.tasks.classify.calibration import calibration_error, fit_temperature, held_out_logits
from pipeline.tasks.classify.fitting import Fitted, Recipe, fit
from pipeline.tasks.classify.folds import grouped_folds
from pipeline.tasks.classify.network import Floats, softmax
from pipeline.train.report import per_class_report


@dataclass(frozen=True)
class Labelled:
    """Rows to learn from, or to test on: one a video.

    Args:
        vectors: float64 (N, D).
        labels: int64 (N,), into classes.
        groups: (N,), the source of each.
        classes: Name of each class; not every one need have a row.
    """

    vectors: Floats
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    classes: Sequence[str]

    def of(self, is_chosen: NDArray[np.bool_]) -> "Labelled":
        """Some of the rows."""
        return Labelled(self.vectors[is_chosen], self.labels[is_chosen], self.groups[is_chosen], self.classes)


@dataclass(frozen=True)
class Calibrated:
    """A head, its temperature, and its probabilities of its own rows, each by a head that saw no row of its source."""

    fitted: Fitted
    temperature: float
    held_out: Floats  # (N, K)

    def probabilities(self, vectors: Floats, num_classes: int) -> Floats:
        """Calibrated probabilities over all classes, float64 (N, num_classes)."""
        return softmax(self.fitted.logits(vectors, num_classes), self.temperature)


def fit_calibrated(rows: Labelled, recipe: Recipe, *, num_folds: int) -> Calibrated:
    """Fit a head on all rows, and its temperature on rows held out by source.

    The temperature is fitted on logits of heads of the same strength, each of which learned from the other sources, as
    scikit-learn's CalibratedClassifierCV does with ensemble=False.

    Raises:
        ConfigError: too few classes or sources.
    """
    fitted = fit(rows.vectors, rows.labels, rows.groups, recipe)
    folds = grouped_folds(rows.labels, rows.groups, num_folds=num_folds, seed=recipe.seed)
    logits = held_out_logits(
        rows.vectors,
        rows.labels,
        rows.groups,
        folds,
        recipe,
        strength=fitted.strength,
        num_classes=len(rows.classes),
    )
    temperature = fit_temperature(logits, rows.labels)
    return Calibrated(fitted, temperature, softmax(logits, temperature))


def cross_validate(rows: Labelled, recipe: Recipe, *, num_folds: int) -> tuple[Floats, list[NDArray[np.bool_]]]:
    """Calibrated probabilities of every row, by a head whose fitting, strength and temperature never saw its source.

    Returns:
        float64 (N, K), and the rows of each fold, bool (N,).
    Raises:
        ConfigError: too few classes or sources.
    """
    folds = grouped_folds(rows.labels, rows.groups, num_folds=num_folds, seed=recipe.seed)
    probabilities = np.zeros((len(rows.labels), len(rows.classes)))
    for is_held in folds:
        head = fit_calibrated(rows.of(~is_held), recipe, num_folds=num_folds)
        probabilities[is_held] = head.probabilities(rows.vectors[is_held], len(rows.classes))
    return probabilities, list(folds)


def score(rows: Labelled, probabilities: Floats, folds: Sequence[NDArray[np.bool_]]) -> dict[str, Any]:
    """The figures of rows that the head did not see.

    Args:
        rows: The rows.
        probabilities: float64 (N, K).
        folds: The rows of each fold, bool (N,); one fold of all rows for a split.
    Returns:
        accuracy: mean and sd over folds, the 95 % interval of a bootstrap by source, each fold's; macro_f1; ece;
        per_class: precision, recall, f1, support by name.
    """
    predicted = probabilities.argmax(axis=1)
    correct = predicted == rows.labels
    of_folds = [float(correct[is_held].mean()) for is_held in folds]
    _, fields = per_class_report(rows.labels.tolist(), predicted.tolist(), rows.classes)
    error, _ = calibration_error(probabilities.max(axis=1), correct)
    return {
        "accuracy": {
            "mean": float(np.mean(of_folds)),
            "sd": float(np.std(of_folds, ddof=1)) if len(of_folds) > 1 else 0.0,
            "ci95": list(grouped_interval(correct, rows.groups, seed=0)),
            "folds": of_folds,
        },
        "macro_f1": float(fields["macro avg"]["f1-score"]),
        "ece": error,
        "per_class": {name: _of_class(fields[name]) for name in rows.classes},
    }


def _of_class(fields: dict[str, float]) -> dict[str, float]:
    return {
        "precision": float(fields["precision"]),
        "recall": float(fields["recall"]),
        "f1": float(fields["f1-score"]),
        "support": int(fields["support"]),
    }
