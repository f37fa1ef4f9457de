"""Which neighbours and which points a page shows: arithmetic on planted vectors."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.report.page import vectors as shown_vectors
from pipeline.report.page.drawing import map_data, marks
from pipeline.report.page.histogram import edges_between
from pipeline.report.page.neighbours import closest_videos, drawn_videos, queries
from pipeline.report.page.planar import MOST_CLASSES, plane
from pipeline.report.page.vectors import Vectors, id_below, read_vectors, uris
from pipeline.tasks import query
from pipeline.tasks.retrieval.ann import unit
from tests.support.planted import Planted, planted_root

RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Twenty videos of three slices; the last one's third slice is nearly the first one's second."""
    videos = {f"{index:02d}.mp4": RNG.normal(size=(3, 8)) for index in range(20)}
    videos["19.mp4"][2] = 3 * videos["00.mp4"][1]
    return planted_root(str(tmp_path / "root"), {uri: Planted(one) for uri, one in videos.items()})


def read(root: str) -> Vectors:
    return read_vectors(query.connect(root), root, "champion")


def test_a_query_is_a_middle_slice_and_its_neighbours_are_of_other_videos_the_nearest_first(root: str) -> None:
    vectors = read(root)
    directions, ids = unit(vectors.slices.vectors), vectors.slices.rows["video_id"].to_pylist()
    found = queries(vectors)
    assert len(found) == 8
    for one in found:
        assert vectors.slices.rows["clip_index"][one.row].as_py() == 1
        cosines = directions @ directions[one.row]
        best = {video_id: max(cosines[i] for i in range(60) if ids[i] == video_id) for video_id in set(ids)}
        del best[ids[one.row]]
        assert [ids[each.row] for each in one.neighbours] == sorted(best, key=lambda name: -best[name])[:5]
        assert [each.similarity for each in one.neighbours] == pytest.approx(sorted(best.values())[:-6:-1], abs=1e-6)


def test_means_and_names_belong_to_the_same_video(root: str) -> None:
    vectors = read(root)
    rows = vectors.slices.rows["uri"].to_pylist()
    for index, uri in enumerate(uris(vectors)):
        own = vectors.slices.vectors[[row == uri for row in rows]]
        np.testing.assert_allclose(vectors.means[index], own.mean(axis=0), rtol=1e-5)


def test_of_more_vectors_than_there_is_room_for_whole_videos_are_drawn(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_vectors, "MOST_SLICES", 30)
    vectors = read(root)
    assert vectors.num_slices == 60
    assert vectors.is_sample
    assert 3 <= len(vectors.slices.vectors) == 3 * vectors.num_videos < 60
    assert (id_below(0.5), id_below(0.25)) == ("80000000", "40000000")


def test_drawn_videos_have_different_labels_as_long_as_there_are_some() -> None:
    labels = ["a"] * 50 + ["b", "", "c"]
    drawn = drawn_videos(labels, 5)
    assert {labels[video] for video in drawn[:3]} == {"a", "b", "c"}
    assert len(set(drawn)) == 5
    assert drawn == drawn_videos(labels, 5)


def test_copies_of_one_video_are_one_group() -> None:
    means = np.concatenate([np.eye(8)[:1].repeat(6, axis=0), RNG.normal(size=(30, 8))])
    chosen = closest_videos(means, 4, without=[])
    assert sum(video < 6 for video in chosen) == 1
    assert chosen[0] < 6
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 40, 1501, 3500])
def test_every_number_of_videos_has_a_map(number: int) -> None:
    found = plane(RNG.normal(size=(number, 6)), ["a", "", "b", "c"] * number)
    assert len(found.points) == len(found.videos) == len(found.class_of) == min(number, 3000)
    assert np.isfinite(found.points).all()
    assert found.points.min() >= 0
    assert found.points.max() <= 1


def test_vectors_that_are_all_the_same_have_a_map() -> None:
    assert np.isfinite(plane(np.ones((9, 4)), [""] * 9).points).all()
    assert np.isfinite(plane(np.zeros((2000, 4)), [""] * 2000).points).all()


def test_groups_lie_together_on_the_map() -> None:
    centres = np.eye(3).repeat(20, axis=0)
    points = plane(centres + 0.05 * RNG.normal(size=(60, 3)), [""] * 60).points.reshape(3, 20, 2)
    within = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=-1).max()
    between = min(np.linalg.norm(points[i].mean(0) - points[j].mean(0)) for i, j in [(0, 1), (0, 2), (1, 2)])
    assert within < between


def test_the_rarest_of_many_labels_share_one_mark() -> None:
    labels = [f"{index:02d}" for index in range(30) for _ in range(31 - index)]
    found = plane(RNG.normal(size=(len(labels), 4)), labels)
    drawn = {mark.name: mark for mark in marks(found)}
    assert len(drawn) == MOST_CLASSES + 1
    assert drawn["00"].count == 31
    assert drawn["others"].count == sum(31 - index for index in range(MOST_CLASSES, 30))
    looks = {(mark.shape, mark.color) for mark in drawn.values()}
    assert len(looks) == len(drawn)
    assert map_data(found, [])["x"]


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 2.0), (0.04, 86_400.0)])
def test_edges_hold_the_smallest_and_the_largest_value(low: float, high: float) -> None:
    edges = edges_between(low, high)
    assert (edges[0], edges[-1]) == (low, high)
    assert edges == sorted(edges)
