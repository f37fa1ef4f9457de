"""The busy share of a trainer: what counts as computing, what as waiting."""

import json
from dataclasses import asdict

import pytest

from benchmarks.train_input.proof import epochs_of, missed, summary
from benchmarks.train_input.run import CACHED, STREAMED, nothing_kept
from benchmarks.train_input.shares import (
    Epoch,
    busy_share,
    busy_share_between_steps,
    clips_per_s,
    first_wait_s,
    step_s,
)
from pipeline.train.resources import share

#                 0     2   5 6   9    10
#                 |wait |step|step|end |
EPOCH = Epoch(0.0, 10.0, [(2.0, 5.0), (6.0, 9.0)], num_clips=16)


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (busy_share, 0.6),
        (busy_share_between_steps, 6 / 7),
        (first_wait_s, 2.0),
        (step_s, 3.0),
        (clips_per_s, 1.6),
    ],
)
def test_the_figures_of_an_epoch(figure: object, expected: float) -> None:
    assert figure([EPOCH]) == pytest.approx(expected)  # type: ignore[operator]


def test_a_long_epoch_counts_more_than_a_short_one() -> None:
    short = Epoch(0.0, 1.0, [(0.5, 1.0)], num_clips=8)
    assert busy_share([EPOCH, short]) == pytest.approx(6.5 / 11)


def test_epochs_are_read_as_they_were_written() -> None:
    lines = "".join(json.dumps(asdict(EPOCH)) + "\n" for _ in range(2))
    assert epochs_of(lines) == [EPOCH, EPOCH]


def test_the_first_epoch_counts_where_clips_stream_and_not_where_they_are_kept() -> None:
    busy = Epoch(0.0, 10.0, [(0.1, 9.9)], num_clips=8)
    answer = summary({STREAMED: [[EPOCH, busy]], CACHED: [[EPOCH, busy]]})
    assert answer["busy_share"] == pytest.approx((6.0 + 9.8) / 20)
    assert answer["busy_share_cached"] == pytest.approx(0.98)
    assert missed(answer) == ["0.79 busy_share, at least 0.95"]


def test_a_streamed_run_keeps_nothing_whatever_the_memory() -> None:
    resources = {"num_cpus": 2, "num_gpus": 0, "object_store_bytes": 1 << 40, "clip_bytes": 1}
    resources |= {"num_workers": 1, "least_workers": 1}
    assert share(**resources).is_cached
    assert not nothing_kept(share, **resources).is_cached
