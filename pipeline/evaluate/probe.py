"""What a frozen vector knows about the class: a linear probe and its nearest neighbours.

Nothing here sees a label of a test row; what is chosen is chosen on whole source groups of the training rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipeline.errors import ConfigError

C_SWEEP: tuple[float, ...] = tuple(10.0**power for power in range(-4, 3))  # inverse strength of the L2 penalty
VALIDATION_SHARE = 0.25
NUM_NEIGHBOURS = 10
_TEMPERATURE = 0.07
_MAX_ITERATIONS = 2000
ClassWeights = Literal["balanced"]


class Classifier(Protocol):
    """What scikit-learn fits."""

    def score(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> float:
        """The share of rows of x, float64 (N, D), whose class y, int64 (N,), is found."""


def linear_probe(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: Sequence[str] | NDArray[np.generic],
    is_train: NDArray[np.bool_],
    *,
    seed: int,
) -> NDArray[np.int64]:
    """Predict the classes of the test rows with a multinomial logistic regression on frozen vectors.

    Standardised by the training rows; C out of C_SWEEP by the accuracy on about a quarter of the training rows, whole
    source groups at a time, then fitted again on all of them. Of equally good C the smallest is taken.

    Args:
        vectors: float (N, D), finite.
        labels: int (N,); those of the test rows are not looked at.
        groups: (N,) source of each row; rows of one source never stand on both sides of the validation draw.
        is_train: bool (N,).
        seed: Another seed draws other validation groups.
    Returns:
        int64 (N_test,), in the order of the rows.
    Raises:
        ConfigError: fewer than two classes or two groups to learn from.
        ValueError: shapes do not fit, or a value is not finite.
    """
    x, labels, is_train = checked(vectors, labels, is_train)
    groups = np.asarray(groups)
    if groups.shape != labels.shape:
        raise ValueError(f"expected groups (N,) = {labels.shape}, got groups.shape = {groups.shape}")
    mean, deviation = standardisation(x[is_train])
    x = (x - mean) / deviation
    train_x, train_y = x[is_train], labels[is_train]
    best = chosen_strength(fit_logistic, C_SWEEP, train_x, train_y, groups[is_train], seed=seed)
    predictions: NDArray[np.int64] = fit_logistic(train_x, train_y, best).predict(x[~is_train]).astype(np.int64)
    return predictions


def standardisation(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, float64 (D,); a constant column has deviation 1."""
    deviation = x.std(axis=0)
    return x.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def chosen_strength(
    fit: Callable[[NDArray[np.float64], NDArray[np.int64], float], Classifier],
    sweep: Sequence[float],
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    groups: NDArray[np.generic],
    *,
    seed: int,
) -> float:
    """The strength of a penalty under which whole source groups are classified best; of equally good ones the first.

    Args:
        fit: (x, y, strength) -> a fitted classifier.
        sweep: The strengths to try.
        x: float64 (N, D), the rows to learn from, standardised.
        y: int64 (N,), their classes.
        groups: (N,), their sources.
        seed: Another seed draws other validation groups.
    Raises:
        ConfigError: fewer than two classes or two groups to learn from.
    """
    is_fit = ~validation_rows(groups, y, seed=seed)
    scores = [fit(x[is_fit], y[is_fit], strength).score(x[~is_fit], y[~is_fit]) for strength in sweep]
    return sweep[int(np.argmax(scores))]


def fit_logistic(
    x: NDArray[np.float64], y: NDArray[np.int64], c: float, *, class_weights: ClassWeights | None = None
) -> LogisticRegression:
    """A multinomial logistic regression.

    Args:
        x: float64 (N, D), standardised.
        y: int64 (N,).
        c: Inverse strength of the L2 penalty.
        class_weights: balanced: every class weighs the same in the loss, however many rows it has.
    """
    regression = LogisticRegression(C=c, solver="lbfgs", max_iter=_MAX_ITERATIONS, class_weight=class_weights)
    return regression.fit(x, y)


def knn(
    vectors: NDArray[np.floating], labels: NDArray[np.integer], is_train: NDArray[np.bool_], *, k: int = NUM_NEIGHBOURS
) -> NDArray[np.int64]:
    """Predict the classes of the test rows by the vote of their nearest training rows.

    Nearest by cosine after subtracting the training mean; a vote weighs exp(cosine / 0.07), as in Wu et al. 2018
    (Unsupervised Feature Learning via Non-Parametric Instance Discrimination). Of equal classes the smallest wins.

    Args:
        vectors: float (N, D), finite.
        labels: int (N,); those of the test rows are not looked at.
        is_train: bool (N,).
        k: Neighbours that vote, at least 1; all training rows where there are fewer.
    Returns:
        int64 (N_test,), in the order of the rows.
    Raises:
        ValueError: shapes do not fit, a value is not finite, or k < 1.
    """
    x, labels, is_train = checked(vectors, labels, is_train)
    if k < 1:
        raise ValueError(f"expected k >= 1, got k = {k}")
    classes, of_class = np.unique(labels[is_train], return_inverse=True)
    cosines = cosines_to_train(x, is_train)  # (N_test, N_train)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    weights = np.exp((np.take_along_axis(cosines, nearest, axis=1) - 1.0) / _TEMPERATURE)
    votes = np.zeros((len(cosines), len(classes)))
    np.add.at(votes, (np.arange(len(cosines))[:, None], of_class[nearest]), weights)
    predictions: NDArray[np.int64] = classes[votes.argmax(axis=1)].astype(np.int64)
    return predictions


def cosines_to_train(vectors: NDArray[np.float64], is_train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Cosine of every test row with every training row, after subtracting the mean of the training rows.

    Args:
        vectors: float64 (N, D).
        is_train: bool (N,).
    Returns:
        float64 (N_test, N_train) in [-1, 1]; 0 where a vector is the mean itself.
    """
    centred = vectors - vectors[is_train].mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    units = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    cosines: NDArray[np.float64] = np.clip(units[~is_train] @ units[is_train].T, -1.0, 1.0)
    return cosines


def validation_rows(
    groups: NDArray[np.generic], labels: NDArray[np.integer], *, seed: int, share: float = VALIDATION_SHARE
) -> NDArray[np.bool_]:
    """Draw whole groups until they are the wanted share of the rows; at least one stays on either side.

    A group without which what is left to fit on would have a single class is passed over.

    Args:
        groups: (N,) source of each row.
        labels: int (N,).
        seed: Another seed draws other groups.
        share: In (0, 1); met as closely as whole groups allow.
    Returns:
        bool (N,), True on the rows to validate on.
    Raises:
        ConfigError: fewer than two classes or two groups, or a class too many for any division.
    """
    names, of_row = np.unique(groups, return_inverse=True)
    if len(np.unique(labels)) < 2 or len(names) < 2:
        got = f"{len(np.unique(labels))} classes in {len(names)} source groups"
        cure = "label more videos of other sources, or name another --group-column or --split-columns"
        raise ConfigError("There is too little to learn a probe from.", got=got, expected="2 of each", cure=cure)
    sizes = Counter(of_row.tolist())
    chosen = np.zeros(len(labels), dtype=bool)
    for group in np.random.default_rng(seed).permutation(len(names)):
        if chosen.any() and chosen.sum() + sizes[int(group)] / 2 > share * len(labels):
            break
        wider = chosen | (of_row == group)
        if len(np.unique(labels[~wider])) >= 2:
            chosen = wider
    if not chosen.any():
        cure = "label more videos, of more than one source a class"
        raise ConfigError("No source group can be spared for validation.", got=f"{len(names)} groups", cure=cure)
    return chosen


def checked(
    vectors: NDArray[np.floating], labels: NDArray[np.integer], is_train: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """The three arrays, as float64 (N, D), int64 (N,) and bool (N,).

    Raises:
        ValueError: shapes do not fit, a value is not finite, or one side has no row.
    """
    x, y, train = np.asarray(vectors), np.asarray(labels), np.asarray(is_train)
    if x.ndim != 2 or y.shape != x.shape[:1] or train.shape != x.shape[:1]:
        raise ValueError(f"expected (N, D), (N,), (N,), got shapes {x.shape}, {y.shape}, {train.shape}")
    if not np.issubdtype(x.dtype, np.floating) or not np.issubdtype(y.dtype, np.integer) or train.dtype != np.bool_:
        raise ValueError(f"expected dtypes float, int, bool, got {x.dtype}, {y.dtype}, {train.dtype}")
    if not np.isfinite(x).all():
        raise ValueError(f"expected finite vectors, got {int((~np.isfinite(x)).any(axis=1).sum())} rows that are not")
    if train.all() or not train.any():
        raise ValueError(f"expected rows on both sides, got {int(train.sum())} training rows of {len(train)}")
    return x.astype(np.float64), y.astype(np.int64), train
