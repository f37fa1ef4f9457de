"""An evaluation in two pictures: which classes are taken for which, and how the vectors lie."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix

_MOST_POINTS = 2000
_PERPLEXITY = 30.0


def confusion_counts(
    targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.int64]:
    """Of each true class (row) how often it was taken for each class (column), int64 (K, K)."""
    counts: NDArray[np.int64] = confusion_matrix(targets, predicted, labels=range(len(classes)))
    return counts


def confusion_figure(targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]) -> Any:
    """A matplotlib figure: of each true class (row) the share that was taken for each class (column)."""
    counts = confusion_counts(targets, predicted, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(3.5, 0.3 * len(classes) + 1.5)
    figure = _figure(side, side)
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
    axis.set_yticks(range(len(classes)), classes, fontsize=7)
    axis.set_xlabel("taken for")
    axis.set_ylabel("is")
    figure.colorbar(image, ax=axis, label="share of test videos", fraction=0.046)
    return figure


def map_figure(vectors: NDArray[np.floating], labels: NDArray[np.int64], classes: Sequence[str]) -> Any:
    """A matplotlib figure: t-SNE (van der Maaten & Hinton 2008) of vectors, coloured by class.

    Args:
        vectors: float (N, D); a sample of 2000 is shown of more.
        labels: int64 (N,), into classes.
        classes: Name of each class.
    """
    shown = np.random.default_rng(0).permutation(len(vectors))[:_MOST_POINTS]
    points = np.zeros((len(shown), 2))
    if len(shown) > 2:
        perplexity = min(_PERPLEXITY, (len(shown) - 1) / 3)
        points = TSNE(perplexity=perplexity, init="random", random_state=0).fit_transform(vectors[shown])
    figure = _figure(7.5, 5.5)
    axis = figure.subplots()
    for index, name in enumerate(classes):
        of_class = labels[shown] == index
        style = {"marker": "osv^D*"[index // 10 % 6], "color": f"C{index % 10}"}
        axis.scatter(points[of_class, 0], points[of_class, 1], s=14, label=name, **style)
    axis.set_axis_off()
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return figure


def _figure(width: float, height: float) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")
