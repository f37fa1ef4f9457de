"""The pure figures, where the right answer is known."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.evaluate.intervals import grouped_interval
from pipeline.evaluate.judge import Rows, judge
from pipeline.evaluate.pca import projected
from pipeline.evaluate.probe import knn, linear_probe, validation_rows
from pipeline.evaluate.retrieval import retrieval
from pipeline.model.spectrum import effective_rank

NUM, DIM, CLASSES = 240, 16, 4
RNG = np.random.default_rng(0)
LABELS = np.arange(NUM) % CLASSES
GROUPS = np.arange(NUM) // 8  # two of every class in a group
IS_TRAIN = GROUPS < 20
PLANTED = (6.0 * np.eye(CLASSES, DIM)[LABELS] + RNG.normal(size=(NUM, DIM))).astype(np.float32)
NOISE = RNG.normal(size=(NUM, DIM)).astype(np.float32)


def accuracy(predictions: NDArray[np.int64]) -> float:
    return float((predictions == LABELS[~IS_TRAIN]).mean())


def test_planted_clusters_are_found() -> None:
    assert accuracy(linear_probe(PLANTED, LABELS, GROUPS, IS_TRAIN, seed=0)) == 1.0
    assert accuracy(knn(PLANTED, LABELS, IS_TRAIN)) == 1.0
    assert retrieval(PLANTED, LABELS, IS_TRAIN)["r1"] == 1.0


def test_noise_is_near_chance() -> None:
    assert abs(accuracy(linear_probe(NOISE, LABELS, GROUPS, IS_TRAIN, seed=0)) - 1 / CLASSES) < 0.15
    assert abs(accuracy(knn(NOISE, LABELS, IS_TRAIN)) - 1 / CLASSES) < 0.15


def test_labels_of_test_rows_change_no_prediction() -> None:
    others = LABELS.copy()
    others[~IS_TRAIN] = RNG.permutation(others[~IS_TRAIN])
    vectors = PLANTED + 3 * NOISE
    for predict in (
        lambda labels: linear_probe(vectors, labels, GROUPS, IS_TRAIN, seed=0),
        lambda labels: knn(vectors, labels, IS_TRAIN),
    ):
        assert (predict(LABELS) == predict(others)).all()


def test_a_test_row_changes_no_prediction_of_another() -> None:
    vectors = PLANTED + 3 * NOISE
    moved = vectors.copy()
    moved[-1] = 1000.0
    for predict in (
        lambda x: linear_probe(x, LABELS, GROUPS, IS_TRAIN, seed=0),
        lambda x: knn(x, LABELS, IS_TRAIN),
    ):
        assert (predict(vectors)[:-1] == predict(moved)[:-1]).all()
    assert np.allclose(projected(vectors, IS_TRAIN)[:-1], projected(moved, IS_TRAIN)[:-1])


@pytest.mark.parametrize("seed", range(5))
def test_validation_draws_whole_groups_of_about_a_quarter(seed: int) -> None:
    chosen = validation_rows(GROUPS, LABELS, seed=seed)
    assert set(GROUPS[chosen]).isdisjoint(GROUPS[~chosen])
    assert 0.2 <= chosen.mean() <= 0.3


@pytest.mark.parametrize(("labels", "groups"), [([0, 0, 0, 0], [1, 2, 3, 4]), ([0, 1, 0, 1], [1, 1, 1, 1])])
def test_too_little_to_learn_from_is_said(labels: list[int], groups: list[int]) -> None:
    with pytest.raises(ConfigError, match="too little"):
        validation_rows(np.array(groups), np.array(labels), seed=0)


def test_retrieval_by_hand() -> None:
    # The training mean is 0, so that angles stay: gallery at 0, 90, 180, 270 degrees of classes 0, 1, 0, 1.
    gallery = [[1, 0], [0, 1], [-1, 0], [0, -1]]
    queries = [[1.0, 0.1], [1.0, 0.1]]  # nearest first: 0, 90, 270, 180 degrees = classes 0, 1, 1, 0
    vectors = np.array([*gallery, *queries], dtype=np.float32)
    labels, is_train = np.array([0, 1, 0, 1, 0, 1]), np.array([True] * 4 + [False] * 2)
    found = retrieval(vectors, labels, is_train)
    assert (found["r1"], found["r5"], found["r10"], found["r20"]) == (0.5, 1.0, 1.0, 1.0)
    precisions = [(1 / 1 + 2 / 4) / 2, (1 / 2 + 2 / 3) / 2]
    assert found["map"] == pytest.approx(np.mean(precisions))


def test_a_class_that_the_gallery_lacks_is_never_found() -> None:
    vectors, labels = np.eye(3, dtype=np.float32), np.array([0, 1, 2])
    assert set(retrieval(vectors, labels, np.array([True, True, False])).values()) == {0.0}


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        (np.vstack([np.eye(8), -np.eye(8)]), 8.0),
        (np.outer(np.arange(10.0), np.ones(5)), 1.0),
        (np.full((10, 5), 0.1), 0.0),
        (np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]]), math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))),
    ],
    ids=["isotropic", "rank 1", "constant", "3 to 1"],
)
def test_effective_rank_is_the_known_one(vectors: NDArray[np.float64], expected: float) -> None:
    assert effective_rank(vectors) == pytest.approx(expected)
    assert effective_rank(100 * vectors) == pytest.approx(expected)


def test_intervals_are_wider_where_rows_of_a_source_are_alike() -> None:
    correct = np.repeat([True, False], 50)
    low, high = grouped_interval(correct, np.arange(100), seed=0)
    of_groups = grouped_interval(correct, np.arange(100) // 10, seed=0)
    assert 0.39 < low < 0.42
    assert 0.58 < high < 0.61
    assert of_groups[0] < low < high < of_groups[1]


@pytest.mark.parametrize(
    ("vectors", "labels", "is_train"),
    [
        (PLANTED[:, 0], LABELS, IS_TRAIN),
        (PLANTED, LABELS[:-1], IS_TRAIN),
        (PLANTED.astype(int), LABELS, IS_TRAIN),
        (PLANTED, LABELS, np.ones(NUM, dtype=bool)),
        (np.where(np.arange(DIM) == 3, np.nan, PLANTED), LABELS, IS_TRAIN),
    ],
    ids=["one dimension", "lengths", "integers", "no test row", "nan"],
)
def test_bad_arrays_are_named(vectors: Any, labels: Any, is_train: Any) -> None:
    for call in (lambda: knn(vectors, labels, is_train), lambda: retrieval(vectors, labels, is_train)):
        with pytest.raises(ValueError, match="expected"):
            call()


def test_a_judgement_is_the_mean_over_splits_and_leaves_other_rows_out() -> None:
    sides = np.where(IS_TRAIN, "train", "test")
    without = np.where(GROUPS == 0, "unused", sides)
    rows = Rows([str(i) for i in range(NUM)], LABELS, GROUPS.astype(str), {"a": sides, "b": without}, list("wxyz"))
    judged = judge(lambda is_train, seed: PLANTED if is_train.sum() == IS_TRAIN.sum() else NOISE, rows, num_seeds=2)
    mean = judged.linear_probe["mean"]
    assert isinstance(mean, float)
    assert 0.5 < mean < 0.75, "1 on the one split, near chance on the other"
    assert len(judged.predicted) == 2 * 2 * (~IS_TRAIN).sum()
