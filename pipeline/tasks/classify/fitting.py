"""Vectors and classes in, a fitted network out; the penalty's strength is chosen as `sora evaluate` chooses it."""

import functools
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.utils.class_weight import compute_sample_weight

from pipeline.evaluate.probe import C_SWEEP, ClassWeights, chosen_strength, fit_logistic, standardisation
from pipeline.tasks.classify.config import Kind
from pipeline.tasks.classify.network import Floats, Network, two_logits

ALPHA_SWEEP = (1e-2, 1.0, 1e2)  # strength of the MLP's L2 penalty
HIDDEN = 128
_MAX_EPOCHS, _RATE = (
    60,
    5e-3,
)  # as right as 300 epochs at 0.001 on 660 planted videos of 21 classes, in a fifth of the time


@dataclass(frozen=True)
class Recipe:
    """How a head is fitted."""

    kind: Kind
    class_weights: ClassWeights | None
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A network, the classes of its logits (int64 (K,), increasing), and the strength it was fitted with."""

    network: Network
    classes: NDArray[np.int64]
    strength: float

    def logits(self, vectors: NDArray[np.floating], num_classes: int) -> Floats:
        """Logits over all classes, float64 (N, num_classes); -inf for those it never saw."""
        wide = np.full((len(vectors), num_classes), -np.inf)
        wide[:, self.classes] = self.network.logits(vectors)
        return wide


def fit(
    vectors: Floats,
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    recipe: Recipe,
    *,
    strength: float | None = None,
) -> Fitted:
    """Fit a head.

    Args:
        vectors: float64 (N, D), finite.
        labels: int64 (N,), two classes at least.
        groups: (N,), the source of each row.
        recipe: What kind of head.
        strength: Of the penalty; None: chosen on whole source groups of these rows.
    Raises:
        ConfigError: fewer than two classes or two groups to choose the strength on.
    """
    mean, deviation = standardisation(vectors)
    x = (vectors - mean) / deviation
    if recipe.kind == "logistic":
        fitted = functools.partial(fit_logistic, class_weights=recipe.class_weights)
        chosen = chosen_strength(fitted, C_SWEEP, x, labels, groups, seed=recipe.seed) if strength is None else strength
        return _of_logistic(fitted(x, labels, chosen), mean, deviation, chosen)
    perceptron = functools.partial(_fit_mlp, recipe=recipe)
    chosen = (
        chosen_strength(perceptron, ALPHA_SWEEP, x, labels, groups, seed=recipe.seed) if strength is None else strength
    )
    return _of_mlp(perceptron(x, labels, chosen), mean, deviation, chosen)


def _fit_mlp(x: Floats, y: NDArray[np.int64], alpha: float, *, recipe: Recipe) -> MLPClassifier:
    mlp = MLPClassifier(
        (HIDDEN,), alpha=alpha, max_iter=_MAX_EPOCHS, learning_rate_init=_RATE, random_state=recipe.seed
    )
    weights = compute_sample_weight("balanced", y) if recipe.class_weights else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs is meant
        return mlp.fit(x, y, sample_weight=weights)


def _of_logistic(regression: LogisticRegression, mean: Floats, deviation: Floats, strength: float) -> Fitted:
    weights, biases = (np.ascontiguousarray(regression.coef_.T),), (regression.intercept_,)
    return _fitted(weights, biases, regression.classes_, mean, deviation, strength)


def _of_mlp(mlp: MLPClassifier, mean: Floats, deviation: Floats, strength: float) -> Fitted:
    return _fitted(tuple(mlp.coefs_), tuple(mlp.intercepts_), mlp.classes_, mean, deviation, strength)


def _fitted(
    weights: tuple[Floats, ...],
    biases: tuple[Floats, ...],
    classes: NDArray[np.int64],
    mean: Floats,
    deviation: Floats,
    strength: float,
) -> Fitted:
    if len(biases[-1]) == 1:  # scikit-learn has one output for two classes
        weights, biases = two_logits(weights, biases)
    return Fitted(Network(mean, deviation, weights, biases), classes.astype(np.int64), strength)
