"""The corpus as points in a plane: t-SNE where that is affordable, two principal components beyond."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

MOST_EMBEDDED = 1500  # videos; t-SNE of so many takes some 9 s of one core
MOST_POINTS = 3000
MOST_CLASSES = 23  # eight colours times three shapes, less the one for all others
OTHERS = "others"
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class Plane:
    """Where the drawn videos lie.

    Args:
        videos: int64 (P,), which of the V videos are drawn.
        points: float64 (P, 2) in [0, 1], x to the right, y up.
        method: What was done, in words.
        classes: The names that have a colour and shape of their own, the most frequent first.
        class_of: (P,), into classes; len(classes): all others; -1: without a label.
    """

    videos: NDArray[np.int64]
    points: NDArray[np.float64]
    method: str
    classes: Sequence[str]
    class_of: Sequence[int]


def plane(means: NDArray[np.floating], labels: Sequence[str]) -> Plane:
    """Lay the videos out by the directions of their mean vectors.

    Args:
        means: float (V, D), one a video.
        labels: (V,), empty: none.
    """
    directions = _directions(means)
    shown = np.sort(np.random.default_rng(2).permutation(len(means))[:MOST_POINTS])
    is_embedded = 3 < len(means) <= MOST_EMBEDDED
    points = _tsne(directions) if is_embedded else _components(directions)[shown]
    method = "t-SNE (van der Maaten & Hinton 2008)" if is_embedded else "the first two principal components"
    classes = frequent([label for label in labels if label])
    place = {name: index for index, name in enumerate(classes)}
    class_of = [place.get(labels[video], len(classes)) if labels[video] else -1 for video in shown]
    return Plane(shown, _scaled(points), method, classes, class_of)


def frequent(labels: Sequence[str]) -> list[str]:
    """The names that are drawn apart, the most frequent first."""
    names, counts = np.unique(np.array(labels, dtype=np.str_), return_counts=True)
    return [str(names[index]) for index in np.argsort(-counts, kind="stable")[:MOST_CLASSES]]


def _directions(means: NDArray[np.floating]) -> NDArray[np.float64]:
    x = means.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    directions: NDArray[np.float64] = x / np.maximum(lengths, np.finfo(np.float64).tiny)
    return directions


def _tsne(x: NDArray[np.float64]) -> NDArray[np.float64]:
    perplexity = min(_PERPLEXITY, (len(x) - 1) / 3)
    # On busy cores its threads wait for each other, spinning: 140 points took 46 s with two threads, 1.6 s with one.
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="random", random_state=0).fit_transform(x)
    found: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    return found


def _components(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first two principal components, (V, 2); missing ones are 0."""
    centred = x - x.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    found = centred @ axes[:, ::-1][:, :2]  # (V, 1 or 2)
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _scaled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Into [0, 1]; a few points far out are set on the edge, so that they do not squeeze the others."""
    low, high = np.percentile(points, [0.5, 99.5], axis=0) if len(points) > 200 else (points.min(0), points.max(0))
    span = np.where(high > low, high - low, 1.0)
    scaled: NDArray[np.float64] = np.clip((points - low) / span, 0.0, 1.0)
    scaled[:, high <= low] = 0.5
    return scaled
