"""Points of the space are what is declared, the same for any number of trials; the best went the whole way."""

import math
from dataclasses import replace

import pytest

from pipeline.errors import ConfigError, SoraError
from pipeline.train.config import TrainConfig
from pipeline.train.selection import Sample, Selection
from pipeline.tune.job import TuneJob
from pipeline.tune.scores import metric_of
from pipeline.tune.space import SPACES, rungs, setting_of
from pipeline.tune.trials import Scored, best_of

SETTINGS = [setting_of("small", number, seed=0) for number in range(200)]


def test_the_first_trial_is_what_was_given() -> None:
    assert SETTINGS[0] == {}


def test_every_point_is_a_training_and_lies_within_the_declared_bounds() -> None:
    assert SPACES.keys() == {"small"}
    for setting in SETTINGS[1:]:
        replace(TrainConfig(), **setting)  # type: ignore[arg-type]
        assert 1e-3 <= setting["learning_rate"] <= 1e-2
        assert 5e-3 <= setting["weight_decay"] <= 0.5
        assert (setting["instance_weight"] > 0) == ("min_crop_area" in setting), "two views that do not differ"
    assert len({setting["learning_rate"] for setting in SETTINGS[1:]}) > 150
    assert {setting["instance_weight"] for setting in SETTINGS[1:]} == {0.0, 0.2, 1.0}


def test_a_point_depends_on_seed_and_number_alone() -> None:
    assert [setting_of("small", number, seed=0) for number in (3, 2, 1)] == SETTINGS[3:0:-1]
    assert setting_of("small", 1, seed=1) != SETTINGS[1]


@pytest.mark.parametrize(
    ("max_epochs", "expected"),
    [(1, [1]), (2, [1, 2]), (3, [1, 3]), (9, [1, 3, 9]), (10, [1, 3, 9, 10]), (27, [1, 3, 9, 27])],
)
def test_rungs_are_powers_and_the_end(max_epochs: int, expected: list[int]) -> None:
    assert rungs(max_epochs, reduction=3) == expected


def scored(number: int, scores: dict[int, float], error: str | None = None) -> Scored:
    return Scored(number, {}, scores, 1.0, error)


@pytest.mark.parametrize(
    ("trials", "metric", "expected"),
    [
        ([scored(0, {1: 0.1, 9: 0.4}), scored(1, {1: 0.9})], "probe", 0),
        ([scored(0, {9: 0.4}), scored(1, {9: 0.5}), scored(2, {9: 0.5})], "probe", 1),
        ([scored(0, {9: 0.4}), scored(1, {9: 0.5})], "recon_error", 0),
        ([scored(0, {9: 0.9}, error="diverged"), scored(1, {1: 0.1})], "probe", 1),
        ([scored(0, {1: math.nan}), scored(1, {1: 0.1})], "recon_error", 1),
    ],
)
def test_the_best_is_the_best_of_those_that_came_furthest(trials: list[Scored], metric: str, expected: int) -> None:
    assert best_of(trials, metric).number == expected  # type: ignore[arg-type]


def test_without_a_score_there_is_no_best() -> None:
    with pytest.raises(SoraError, match="blown up"):
        best_of([scored(0, {}, error="blown up")], "probe")


def sample(name: str, label: str | None) -> Sample:
    return Sample(name, "u", "1", 1.0, label, {})


LABELLED = Selection([sample("a", "x"), sample("b", "y")], [sample("c", "x")], 0, ["x", "y"])
UNLABELLED = Selection([sample("a", None), sample("b", None)], [sample("c", None)], 0, [])
ELSEWHERE = Selection([sample("a", "x"), sample("b", "y")], [sample("c", "z")], 0, ["x", "y"])


def test_labels_decide_what_is_scored() -> None:
    assert metric_of(TuneJob("r"), LABELLED) == "probe"
    assert metric_of(TuneJob("r", metric="r1"), LABELLED) == "r1"
    for selection in (UNLABELLED, ELSEWHERE):
        assert metric_of(TuneJob("r"), selection) == "recon_error"
        with pytest.raises(ConfigError, match="--metric"):
            metric_of(TuneJob("r", metric="probe"), selection)
    with pytest.raises(ConfigError, match="source"):
        metric_of(TuneJob("r"), Selection(LABELLED.train, [], 0, ["x", "y"]))


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"max_epochs": 0}, {"train": TrainConfig(validation_fraction=0.0)}])
def test_a_search_that_cannot_choose_is_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        TuneJob("r", **wrong)
