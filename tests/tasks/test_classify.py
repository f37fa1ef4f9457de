"""Heads as arithmetic: what is fitted, how it is calibrated, what is held out."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipeline.errors import ConfigError
from pipeline.evaluate.probe import linear_probe, standardisation
from pipeline.tasks.classify.calibration import calibration_error, fit_temperature, kept_by_threshold
from pipeline.tasks.classify.config import Kind
from pipeline.tasks.classify.fitting import Recipe, _fit_mlp, fit
from pipeline.tasks.classify.folds import grouped_folds
from pipeline.tasks.classify.network import Network, softmax, top
from pipeline.tasks.classify.validation import Labelled, cross_validate, fit_calibrated, score

RNG = np.random.default_rng(0)
NUM, DIM = 120, 6
GROUPS = np.array([f"g{index // 6}" for index in range(NUM)])
LOGISTIC, MLP = Recipe("logistic", None, 0), Recipe("mlp", None, 0)


def planted(num_classes: int, noise: float = 2.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    labels = np.arange(NUM) % num_classes
    centers = 2.0 * np.eye(num_classes, DIM)
    return centers[labels] + noise * np.random.default_rng(num_classes).normal(size=(NUM, DIM)), labels


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_logistic_head_says_what_the_linear_probe_says(num_classes: int, seed: int) -> None:
    vectors, labels = planted(num_classes)
    is_train = np.arange(NUM) < 84
    head = fit(vectors[is_train], labels[is_train], GROUPS[is_train], Recipe("logistic", None, seed))
    expected = linear_probe(vectors, labels, GROUPS, is_train, seed=seed)
    assert (head.network.logits(vectors[~is_train]).argmax(axis=1) == expected).all()
    assert 0 < (expected == labels[~is_train]).mean() < 1, "a task on which heads can differ"


@pytest.mark.parametrize("num_classes", [2, 4])
def test_probabilities_are_those_of_scikit_learn(num_classes: int) -> None:
    vectors, labels = planted(num_classes)
    mean, deviation = standardisation(vectors)
    x = (vectors - mean) / deviation
    logistic = LogisticRegression(C=0.1, max_iter=2000).fit(x, labels)
    ours = softmax(fit(vectors, labels, GROUPS, LOGISTIC, strength=0.1).network.logits(vectors))
    np.testing.assert_allclose(ours, logistic.predict_proba(x), atol=1e-9)
    mlp = _fit_mlp(x, labels, 1.0, recipe=MLP)
    ours = softmax(fit(vectors, labels, GROUPS, MLP, strength=1.0).network.logits(vectors))
    np.testing.assert_allclose(ours, mlp.predict_proba(x), atol=1e-9)


def test_an_mlp_learns_what_no_straight_cut_can() -> None:
    vectors = RNG.normal(size=(NUM, 2)) * 2
    labels = (vectors[:, 0] * vectors[:, 1] > 0).astype(np.int64)
    right = {
        kind: (
            fit(vectors, labels, GROUPS, Recipe(kind, None, 0)).network.logits(vectors).argmax(axis=1) == labels
        ).mean()
        for kind in ("logistic", "mlp")
    }
    assert right["logistic"] < 0.7 < 0.9 < right["mlp"]


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
def test_balanced_weights_find_more_of_a_rare_class(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    labels = (np.arange(NUM) % 12 == 0).astype(np.int64)
    vectors = labels[:, None] + rng.normal(size=(NUM, 2))
    recall = {}
    for weights in (None, "balanced"):
        network = fit(vectors, labels, GROUPS, Recipe(kind, weights, 0), strength=1.0).network
        recall[weights] = (network.logits(vectors).argmax(axis=1)[labels == 1] == 1).mean()
    assert recall["balanced"] > recall[None]


def test_vectors_of_another_length_are_refused() -> None:
    vectors, labels = planted(2)
    with pytest.raises(ValueError, match=r"expected vectors \(N, 6\)"):
        fit(vectors, labels, GROUPS, LOGISTIC).network.logits(vectors[:, :3])


@pytest.mark.parametrize("factor", [0.001, 0.5, 4.0])
def test_the_temperature_undoes_a_wrong_scale(factor: float) -> None:
    logits = 2 * RNG.normal(size=(4000, 3))
    labels = np.array([RNG.choice(3, p=row) for row in softmax(logits)])
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.1)


def test_few_rows_all_of_them_right_make_no_head_certain() -> None:
    logits, labels = 5 * np.eye(2)[np.arange(10) % 2], np.arange(10) % 2
    best = softmax(logits, fit_temperature(logits, labels)).max()
    assert 0.9 < best < 0.99


def test_a_class_that_a_fold_lacks_is_left_out_of_the_temperature() -> None:
    logits = np.array([[2.0, 0.0, -np.inf], [0.0, 1.0, -np.inf], [1.0, 0.0, -np.inf]])
    labels = np.array([0, 0, 2])
    assert fit_temperature(logits, labels) == fit_temperature(logits[:2], labels[:2])
    assert fit_temperature(logits[2:], labels[2:]) == 1.0


def test_calibration_error_by_hand() -> None:
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    correct = np.array([True, True, True, False, True, False])
    error, bins = calibration_error(confidences, correct)
    assert error == pytest.approx((4 * abs(0.9 - 0.75) + 2 * 0.0) / 6)
    assert [one["num"] for one in bins] == [2, 4]
    assert calibration_error(np.ones(3), np.ones(3, dtype=bool))[0] == 0.0
    with pytest.raises(ValueError, match="n > 0"):
        calibration_error(np.ones(0), np.ones(0, dtype=bool))


def test_a_threshold_keeps_what_is_not_below_it() -> None:
    kept = kept_by_threshold(np.array([0.5, 0.65, 0.92]), np.array([False, True, True]))
    by_threshold = {one["unknown_below"]: (one["kept"], one["accuracy"]) for one in kept}
    assert by_threshold[0.5] == (1.0, pytest.approx(2 / 3))
    assert by_threshold[0.6] == (pytest.approx(2 / 3), 1.0)
    assert by_threshold[0.95] == (0.0, None)


@pytest.mark.parametrize("num_folds", [2, 5, 50])
def test_folds_hold_whole_sources_and_every_row_once(num_folds: int) -> None:
    labels = np.arange(NUM) % 3
    folds = grouped_folds(labels, GROUPS, num_folds=num_folds, seed=0)
    assert len(folds) == min(num_folds, len(set(GROUPS)))
    assert (np.sum(folds, axis=0) == 1).all()
    for is_held in folds:
        assert set(GROUPS[is_held]).isdisjoint(GROUPS[~is_held])


@pytest.mark.parametrize(
    ("labels", "groups"),
    [([0, 1, 0, 1], ["a"] * 4), ([0, 1], ["a", "b"]), ([0, 0, 1, 1], ["a", "a", "b", "b"])],
    ids=["one source", "a video a class", "a source a class"],
)
def test_too_little_to_hold_out_is_said(labels: list[int], groups: list[str]) -> None:
    with pytest.raises(ConfigError, match="too little to hold out"):
        grouped_folds(np.array(labels), np.array(groups), num_folds=5, seed=0)


def test_a_source_that_gives_its_class_away_does_not_help_cross_validation() -> None:
    """Sources have a place of their own and a class by chance: with sources held out nothing is left to know."""
    num_sources = 24
    places = 5 * RNG.normal(size=(num_sources, DIM))
    classes = np.random.default_rng(5).permutation(np.arange(num_sources) % 2)
    of_row = np.repeat(np.arange(num_sources), 5)
    rows = Labelled(
        places[of_row] + 0.1 * RNG.normal(size=(len(of_row), DIM)),
        classes[of_row],
        np.array([f"s{index}" for index in of_row]),
        ["no", "yes"],
    )
    alone = Labelled(rows.vectors, rows.labels, np.array([str(i) for i in range(len(of_row))]), rows.classes)
    recipe = Recipe("mlp", None, 0)
    accuracy = {}
    for name, one in (("by source", rows), ("by video", alone)):
        probabilities, folds = cross_validate(one, recipe, num_folds=3)
        accuracy[name] = score(one, probabilities, folds)["accuracy"]["mean"]
    assert accuracy["by source"] < 0.75 < 0.95 < accuracy["by video"]


def test_a_score_is_the_mean_over_folds_with_an_interval_by_source() -> None:
    rows = Labelled(np.zeros((6, 1)), np.array([0, 0, 1, 1, 1, 0]), np.array(list("aabbcc")), ["x", "y"])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    first = np.array([True, True, True, True, False, False])
    found = score(rows, probabilities, [first, ~first])
    assert found["accuracy"]["folds"] == [0.75, 0.5]
    assert found["accuracy"]["mean"] == 0.625
    assert found["accuracy"]["sd"] == pytest.approx(np.std([0.75, 0.5], ddof=1))
    low, high = found["accuracy"]["ci95"]
    assert low <= 4 / 6 <= high
    assert found["per_class"]["x"] == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 / 3),
        "support": 3,
    }


def test_held_out_probabilities_are_of_heads_that_did_not_see_the_source() -> None:
    """A label that only one source has cannot be likely there."""
    vectors, labels = planted(2, noise=0.1)
    labels = np.where(GROUPS == "g0", 2, labels)
    head = fit_calibrated(Labelled(vectors, labels, GROUPS, list("abc")), LOGISTIC, num_folds=5)
    assert (head.held_out[labels == 2, 2] == 0.0).all()
    assert set(head.fitted.classes.tolist()) == {0, 1, 2}


def test_the_likeliest_come_first_and_no_more_than_there_are() -> None:
    indices, values = top(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]), 5)
    assert indices.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert values.tolist() == [[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]]


def test_a_network_is_layers_with_relu_between() -> None:
    weights = (np.array([[1.0, -1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    network = Network(np.array([1.0]), np.array([2.0]), weights, (np.zeros(2), np.array([0.0, 10.0])))
    assert network.logits(np.array([[5.0], [-3.0]])).tolist() == [[2.0, 10.0], [0.0, 12.0]]
