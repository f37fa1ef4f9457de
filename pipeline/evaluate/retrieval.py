"""Whether the nearest vectors are of the same class: test rows ask, training rows are the gallery."""

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.probe import checked, cosines_to_train

RECALL_AT = (1, 5, 10, 20)


def retrieval(
    vectors: NDArray[np.floating], labels: NDArray[np.integer], is_train: NDArray[np.bool_]
) -> dict[str, float]:
    """Recall at k and mean average precision by cosine, after subtracting the mean of the training rows.

    R@k is the share of queries with at least one gallery row of their class among the k nearest, as in Xu et al. 2019
    (Self-supervised Spatiotemporal Learning via Video Clip Order Prediction). The average precision of a query is taken
    over the whole gallery (Manning et al. 2008, section 8.4). A query whose class the gallery lacks counts as 0.

    Args:
        vectors: float (N, D), finite.
        labels: int (N,).
        is_train: bool (N,); True: gallery, False: query.
    Returns:
        r1, r5, r10, r20 and map, each in [0, 1].
    Raises:
        ValueError: shapes do not fit, a value is not finite, or one side has no row.
    """
    x, labels, is_train = checked(vectors, labels, is_train)
    ranking = np.argsort(-cosines_to_train(x, is_train), axis=1, kind="stable")
    is_hit = labels[is_train][ranking] == labels[~is_train][:, None]  # (queries, gallery), nearest first
    found = {f"r{k}": float(is_hit[:, :k].any(axis=1).mean()) for k in RECALL_AT}
    return {**found, "map": float(_average_precision(is_hit).mean())}


def _average_precision(is_hit: NDArray[np.bool_]) -> NDArray[np.float64]:
    precision = is_hit.cumsum(axis=1) / np.arange(1, is_hit.shape[1] + 1)
    num_hits = is_hit.sum(axis=1)
    average: NDArray[np.float64] = (precision * is_hit).sum(axis=1) / np.maximum(num_hits, 1)
    return average
