"""A head as arithmetic: standardise, dense layers with ReLU between them, one logit a class. Arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """What was fitted; logistic regression is the network of one layer.

    Args:
        mean: float64 (D,) of the vectors it was fitted on.
        deviation: float64 (D,), positive.
        weights: float64 (in, out) of each layer; the last gives K logits.
        biases: float64 (out,) of each layer.
    """

    mean: Floats
    deviation: Floats
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    @property
    def dim(self) -> int:
        """D, the length of a vector."""
        return len(self.mean)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.biases[-1])

    def logits(self, vectors: NDArray[np.floating]) -> Floats:
        """Unnormalised log-probabilities, float64 (N, K), of vectors, float (N, D)."""
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(f"expected vectors (N, {self.dim}), got vectors.shape = {vectors.shape}")
        x: Floats = (vectors.astype(np.float64) - self.mean) / self.deviation
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = (np.maximum(x, 0.0) if index else x) @ weight + bias
        return x


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities, float64 (N, K), rows summing to 1, of logits divided by a temperature; -inf gives 0."""
    scaled = logits / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def top(probabilities: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """The k likeliest classes of each row and their probabilities, (N, k) both; of equal ones the first comes first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return order.astype(np.int64), np.take_along_axis(probabilities, order, axis=1)


def two_logits(weights: Sequence[Floats], biases: Sequence[Floats]) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """A network whose only output is the logit of the second of two classes, as one with a logit for each: 0 and it."""
    last, bias = weights[-1], biases[-1]
    assert last.shape[1] == 1, f"expected one output, got {last.shape[1]}"
    return (*weights[:-1], np.hstack([np.zeros_like(last), last])), (*biases[:-1], np.concatenate([[0.0], bias]))
