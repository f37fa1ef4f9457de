"""The likeliest sequence of behaviours, where each slice alone is uncertain and behaviours last."""

import numpy as np
from numpy.typing import NDArray

from pipeline.tasks.behaviour.video_slices import Floats


def most_likely_path(log_likelihood: Floats, log_start: Floats, log_transition: Floats) -> NDArray[np.int64]:
    """The Viterbi path of a hidden Markov model (Rabiner 1989, section III-B).

    Args:
        log_likelihood: float64 (N, K), of each slice in each state, up to a constant for each slice; N >= 1.
        log_start: float64 (K,), of the first state.
        log_transition: float64 (K, K), from row to column.
    Returns:
        int64 (N,), in [0, K); of equally likely states the first.
    """
    num_slices, num_states = log_likelihood.shape
    came_from = np.zeros((num_slices, num_states), np.int64)
    best = log_start + log_likelihood[0]
    for index in range(1, num_slices):
        reached = best[:, None] + log_transition  # (from, to)
        came_from[index] = reached.argmax(axis=0)
        best = reached.max(axis=0) + log_likelihood[index]
    path = np.empty(num_slices, np.int64)
    path[-1] = best.argmax()
    for index in range(num_slices - 1, 0, -1):
        path[index - 1] = came_from[index, path[index]]
    return path
