"""Vectors and labels in, all figures of one kind of vector out: the same for a model and for its controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.intervals import grouped_interval
from pipeline.evaluate.probe import knn, linear_probe
from pipeline.evaluate.retrieval import retrieval
from pipeline.model.spectrum import effective_rank

# (is_train bool (N,), seed) -> float (N, D); what is fitted may look at the training rows only.
VectorsOf = Callable[[NDArray[np.bool_], int], NDArray[np.floating]]


@dataclass(frozen=True)
class Rows:
    """What is known of the videos that are judged.

    Args:
        video_ids: (N,)
        labels: int64 (N,), into classes.
        groups: (N,) source of each video.
        splits: By name of a split, (N,) of `train`, `test` or something else, which is left out of that split.
        classes: Name of each class.
    """

    video_ids: Sequence[str]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    splits: Mapping[str, NDArray[np.str_]]
    classes: Sequence[str]


@dataclass
class Judgement:
    """The figures of one kind of vector; `predicted` and `targets` are those of the probe, all splits and seeds."""

    linear_probe: dict[str, object]
    knn: float
    retrieval: dict[str, float]
    effective_rank: float
    predicted: NDArray[np.int64] = field(repr=False)
    targets: NDArray[np.int64] = field(repr=False)


def judge(vectors_of: VectorsOf, rows: Rows, *, num_seeds: int) -> Judgement:
    """Probe, kNN, retrieval and effective rank, over all splits and seeds.

    Args:
        vectors_of: The vectors; those that were fitted or drawn depend on split and seed.
        rows: Labels, sources and splits.
        num_seeds: Seeds 0 to num_seeds - 1.
    Returns:
        linear_probe: mean over splits and seeds; sd over seeds of the mean over splits; ci95 from a bootstrap by source
        over the predictions of all splits. The other figures are means over splits and seeds.
    Raises:
        ConfigError: a split leaves too little to learn from.
    """
    accuracies = np.zeros((len(rows.splits), num_seeds))
    neighbours, ranks, found = [], [], []
    correct, sources, predicted, targets = [], [], [], []
    for split, sides in enumerate(rows.splits.values()):
        is_train, is_used = sides == "train", (sides == "train") | (sides == "test")
        labels, groups, train = rows.labels[is_used], rows.groups[is_used], is_train[is_used]
        right = np.zeros((num_seeds, int((~train).sum())))
        for seed in range(num_seeds):
            vectors = np.asarray(vectors_of(is_train, seed))[is_used]
            predictions = linear_probe(vectors, labels, groups, train, seed=seed)
            right[seed] = predictions == labels[~train]
            accuracies[split, seed] = right[seed].mean()
            neighbours.append(float((knn(vectors, labels, train) == labels[~train]).mean()))
            found.append(retrieval(vectors, labels, train))
            ranks.append(effective_rank(vectors))
            predicted.append(predictions)
            targets.append(labels[~train])
        correct.append(right.mean(axis=0))
        sources.append(groups[~train])
    low, high = grouped_interval(np.concatenate(correct), np.concatenate(sources), seed=0)
    of_seeds = accuracies.mean(axis=0)
    sd = float(of_seeds.std(ddof=1)) if num_seeds > 1 else 0.0
    return Judgement(
        {"mean": float(accuracies.mean()), "sd": sd, "ci95": [low, high]},
        float(np.mean(neighbours)),
        {name: float(np.mean([one[name] for one in found])) for name in found[0]},
        float(np.mean(ranks)),
        np.concatenate(predicted),
        np.concatenate(targets),
    )
