"""Behaviours with labels, and two behaviours of clips: what is measured was never learned from."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from pipeline import schema, tables
from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.binary import leave_sources_out
from pipeline.tasks.behaviour.segmental import segmentation_figures
from pipeline.tasks.behaviour.timed_labels import UNLABELLED, TimedLabel, slice_labels
from pipeline.tasks.behaviour.video_slices import by_video
from pipeline.tasks.behaviour.viterbi import most_likely_path
from pipeline.tasks.slices import read_slices
from tests.support.behaviours import bouts, planted_video
from tests.support.planted import planted_root
from tests.support.sora import Sora

NAMES = ["rest", "walk", "eat"]
PLANTED = {
    f"file:///{index}.mp4": bouts(*pairs)
    for index, pairs in enumerate(
        [
            [(0, 12), (1, 8), (0, 10)],
            [(1, 9), (2, 15)],
            [(2, 6), (0, 6), (1, 6), (2, 6)],
            [(0, 9), (2, 9)],
            [(1, 5), (0, 14)],
            [(2, 8), (1, 8)],
        ]
    )
}


def label_rows(uri: str, behaviours: list[int], source: str) -> list[dict[str, object]]:
    changes = [0, *(np.flatnonzero(np.diff(behaviours)) + 1).tolist(), len(behaviours)]
    return [
        {
            "video_id": schema.video_id(uri),
            "uri": uri,
            "label": NAMES[behaviours[start]],
            "start_s": float(start),
            "end_s": float(end),
            "attributes": {"source_group": source},
            "source": "planted",
        }
        for start, end in pairwise(changes)
    ]


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Six labelled videos of three sources, and one without labels."""
    videos = {uri: planted_video(behaviours, seed=index) for index, (uri, behaviours) in enumerate(PLANTED.items())}
    videos["file:///new.mp4"] = planted_video(bouts((1, 7), (2, 7)), seed=50)
    root = planted_root(str(tmp_path / "root"), videos)
    rows = [
        row
        for index, (uri, behaviours) in enumerate(PLANTED.items())
        for row in label_rows(uri, behaviours, f"camera{index % 3}")
    ]
    tables.append_rows(root, "labels", rows)
    return root


def test_planted_behaviours_are_recognised_in_sources_that_were_left_out(root: str, sora: Sora) -> None:
    outcome = sora("behaviour", "segment", "--root", root, "--kind", "supervised", "--json")
    assert outcome.code == 0, outcome.err
    figures = outcome.json["left_out"]
    assert figures["num_sources"] == 3
    assert figures["num_unseen"] == 0
    assert figures["figures"]["accuracy"] > 0.97
    assert figures["figures"]["f1"]["f1@50"] > 0.97
    assert figures["baseline"]["accuracy"] < 0.5
    rows = tables.read(root, "segments").to_pylist()
    new = sorted((row["start_s"], row["end_s"], row["behaviour"]) for row in rows if row["uri"] == "file:///new.mp4")
    assert new == [(0.0, 7.0, "walk"), (7.0, 14.0, "eat")]
    assert {row["kind"] for row in rows} == {"supervised"}
    again = sora("behaviour", "segment", "--root", root, "--kind", "supervised", "--json").json
    assert (again["videos_added"], again["segments_added"], again["digest"]) == (0, 0, outcome.json["digest"])


def test_labels_that_say_nothing_are_recognised_no_better_than_the_baseline(root: str, sora: Sora) -> None:
    """Were a left-out source learned from, noise would be recognised too."""
    rng = np.random.default_rng(0)
    rows = [
        row
        for index, (uri, behaviours) in enumerate(PLANTED.items())
        for row in label_rows(uri, rng.integers(0, 2, size=len(behaviours)).tolist(), f"camera{index % 3}")
    ]
    tables.replace(root, "labels", pc.field("source") == "planted", lambda taken: taken.slice(0, 0))
    tables.append_rows(root, "labels", rows)
    found = sora("behaviour", "segment", "--root", root, "--kind", "supervised", "--json").json["left_out"]
    assert abs(found["figures"]["accuracy"] - 0.5) < 0.15


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([], [-1, -1, -1, -1]),
        ([("a", 0.0, 4.0)], [0, 0, 0, 0]),
        ([("b", 1.0, 2.0), ("a", 0.0, 4.0)], [0, 1, 0, 0]),  # the shorter says more
        ([("a", 0.6, 2.4)], [-1, 0, -1, -1]),  # the middle decides
        ([("a", 0.0, 1.5), ("b", 1.5, 9.0)], [0, 1, 1, 1]),  # half-open
    ],
)
def test_a_slice_has_the_shortest_label_around_its_middle(
    tmp_path: Path, labels: list[tuple[str, float, float]], expected: list[int]
) -> None:
    root = planted_root(str(tmp_path), {"file:///a.mp4": planted_video([0, 0, 0, 0], seed=0)})
    video = by_video(read_slices(root))[0]
    timed = [TimedLabel(*label) for label in labels]
    assert slice_labels(video, timed, {"a": 0, "b": 1}).tolist() == expected


def test_viterbi_finds_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        likelihood, start, transition = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(3, 3))
        paths = np.stack(np.meshgrid(*[np.arange(3)] * 5, indexing="ij"), -1).reshape(-1, 5)
        scores = (
            start[paths[:, 0]] + likelihood[np.arange(5), paths].sum(1) + transition[paths[:, :-1], paths[:, 1:]].sum(1)
        )
        assert most_likely_path(likelihood, start, transition).tolist() == paths[scores.argmax()].tolist()


@pytest.mark.parametrize(
    ("truth", "predicted", "accuracy", "f1"),
    [
        ([0] * 10, [0] * 10, 1.0, (1.0, 1.0, 1.0)),
        ([0] * 10, [1] * 10, 0.0, (0.0, 0.0, 0.0)),
        # one of two found, cut into three: hits 1 of 3 predicted and 1 of 2 true ones
        ([0] * 10 + [1] * 10, [0] * 6 + [2] + [0] * 13, 0.45, (0.4, 0.4, 0.4)),
        ([0] * 10, [0] * 3 + [1] * 7, 0.3, (2 / 3, 2 / 3, 0.0)),  # IoU 0.3
        ([0, 0, -1, -1, 1, 1], [0, 0, 1, 0, 1, 1], 1.0, (1.0, 1.0, 1.0)),  # nobody knows what was between
    ],
)
def test_segmental_figures_count_hits_by_overlap(
    truth: list[int], predicted: list[int], accuracy: float, f1: tuple[float, ...]
) -> None:
    figures = segmentation_figures([np.array(truth)], [np.array(predicted)])
    assert figures.accuracy == pytest.approx(accuracy)
    assert tuple(figures.f1.values()) == pytest.approx(f1)
    assert UNLABELLED == -1


def clips(num_sources: int, *, gap: float, source_gap: float, seed: int = 0) -> tuple[np.ndarray, list[str], list[str]]:
    """Ten clips a source, both labels in each; labels differ by gap, sources by source_gap."""
    rng = np.random.default_rng(seed)
    labels = np.tile([0, 1], num_sources * 5)
    source = np.repeat(np.arange(num_sources), 10)
    vectors = rng.normal(size=(len(labels), 16)) + rng.normal(size=(num_sources, 16))[source] * source_gap
    vectors[:, 0] += labels * gap
    return vectors, [("calm", "fight")[label] for label in labels], [f"film{one}" for one in source]


def test_two_behaviours_are_told_apart_with_an_interval_by_source() -> None:
    found = leave_sources_out(*clips(8, gap=8.0, source_gap=0.5), without={})
    assert found.accuracy > 0.95
    assert found.ci95[0] <= found.accuracy <= found.ci95[1]
    assert [fold.sources for fold in found.folds] == [[f"film{index}"] for index in range(8)]
    assert sum(fold.num_clips for fold in found.folds) == 80
    assert found.num_clips == {"calm": 40, "fight": 40}
    assert found.baseline == pytest.approx(0.5)


def test_a_label_that_only_the_source_tells_is_not_learned() -> None:
    """Each source has one label; folds that split sources would be right throughout."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(12, 16)) * 10
    vectors = np.repeat(centres, 10, axis=0) + rng.normal(size=(120, 16)) * 0.1
    names = np.repeat(["calm", "fight"] * 6, 10).tolist()
    sources = np.repeat([f"film{index:02d}" for index in range(12)], 10).tolist()
    found = leave_sources_out(vectors, names, sources, without={})
    assert found.accuracy < 0.8
    assert len(found.folds) == 10


@pytest.mark.parametrize(
    ("num_sources", "labels", "expected"),
    [(2, ("calm", "fight"), "too few sources"), (8, ("calm", "calm"), "not two behaviours")],
)
def test_too_little_to_tell_apart_is_refused(num_sources: int, labels: tuple[str, str], expected: str) -> None:
    vectors, names, sources = clips(num_sources, gap=1.0, source_gap=0.0)
    named = [labels[("calm", "fight").index(name)] for name in names]
    with pytest.raises(ConfigError, match=expected):
        leave_sources_out(vectors, named, sources, without={})
