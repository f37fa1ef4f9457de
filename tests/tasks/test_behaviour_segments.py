"""Behaviours without labels: where they change, which are the same, and that none is written twice."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline import storage, tables
from pipeline.tasks.behaviour.changes import change_points
from pipeline.tasks.behaviour.fitted import load
from pipeline.tasks.behaviour.segment_rows import add_segments
from pipeline.tasks.behaviour.video_slices import by_video
from pipeline.tasks.slices import read_slices
from tests.support.behaviours import bouts, planted_video
from tests.support.planted import DS, planted_root
from tests.support.sora import Sora

PLANTED = {
    "file:///a.mp4": bouts((0, 12), (1, 8), (0, 10)),
    "file:///b.mp4": bouts((1, 9), (2, 15)),
    "file:///c.mp4": bouts((0, 20)),
    "file:///d.mp4": bouts((2, 6), (0, 6), (1, 6), (2, 6)),
}


def planted(root: Path, wanted: dict[str, list[int]]) -> str:
    sources = {uri: f"camera{index % 2}" for index, uri in enumerate(PLANTED)}
    videos = {
        uri: planted_video(behaviours, seed=index, source=sources.get(uri, "camera9"))
        for index, (uri, behaviours) in enumerate(wanted.items())
    }
    return planted_root(str(root), videos)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return planted(tmp_path / "root", PLANTED)


def segments_of(root: str, uri: str) -> list[tuple[float, float, str]]:
    rows = tables.read(root, "segments").to_pylist()
    return sorted((row["start_s"], row["end_s"], row["behaviour"]) for row in rows if row["uri"] == uri)


def test_planted_behaviours_come_out_with_their_times_the_longest_first(root: str, sora: Sora) -> None:
    outcome = sora("behaviour", "segment", "--root", root, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["videos_added"], outcome.json["is_new"]) == (4, True)
    assert list(outcome.json["names"]) == ["behaviour_00", "behaviour_01", "behaviour_02"]
    name = {0: "behaviour_00", 1: "behaviour_01", 2: "behaviour_02"}
    slices_of = Counter(behaviour for behaviours in PLANTED.values() for behaviour in behaviours)
    order = [behaviour for behaviour, _ in slices_of.most_common()]
    name = {behaviour: f"behaviour_{place:02d}" for place, behaviour in enumerate(order)}
    for uri, behaviours in PLANTED.items():
        changes = [0, *(np.flatnonzero(np.diff(behaviours)) + 1).tolist(), len(behaviours)]
        expected = [(a, b, name[behaviours[a]]) for a, b in pairwise(changes)]
        assert segments_of(root, uri) == expected
    assert all(0 < row["confidence"] <= 1 for row in tables.read(root, "segments").to_pylist())


def test_a_second_run_adds_what_is_new_and_nothing_else(tmp_path: Path, root: str, sora: Sora) -> None:
    first = sora("behaviour", "segment", "--root", root, "--json").json
    before = tables.read(root, "segments").to_pylist()
    again = sora("behaviour", "segment", "--root", root, "--json").json
    assert (again["videos_added"], again["segments_added"], again["already_done"]) == (0, 0, 4)
    assert again["is_new"] is False
    planted(tmp_path / "root", {"file:///e.mp4": bouts((1, 7), (0, 7))})
    third = sora("behaviour", "segment", "--root", root, "--json").json
    assert (third["videos_added"], third["segments_added"], third["digest"]) == (1, 2, first["digest"])
    after = tables.read(root, "segments").to_pylist()
    assert [row for row in after if not row["uri"].endswith("e.mp4")] == before
    named = {behaviour for _, _, behaviour in segments_of(root, "file:///a.mp4")}
    assert {behaviour for _, _, behaviour in segments_of(root, "file:///e.mp4")} == named


def test_learning_anew_leaves_the_old_rows_and_counts_the_new_ones_alone(root: str, sora: Sora) -> None:
    first = sora("behaviour", "segment", "--root", root, "--json").json
    anew = sora("behaviour", "segment", "--root", root, "--refit", "--num-behaviours", 2, "--json").json
    assert anew["digest"] != first["digest"]
    rows = tables.read(root, "segments").to_pylist()
    assert {row["segmentation_digest"] for row in rows} == {first["digest"], anew["digest"]}
    profiled = sora("behaviour", "profile", "--root", root, "--json").json
    assert profiled["behaviours"] == ["behaviour_00", "behaviour_01"]


def test_the_users_names_are_kept_and_equal_ones_become_one(tmp_path: Path, root: str, sora: Sora) -> None:
    names = tmp_path / "names.csv"
    names.write_text("behaviour,name\nbehaviour_00,rest\nbehaviour_02,rest\n")
    named = sora("behaviour", "segment", "--root", root, "--names", names, "--output", tmp_path / "out", "--json")
    assert named.json["names"] == {"behaviour_00": "rest", "behaviour_01": "behaviour_01", "behaviour_02": "rest"}
    written = json.loads((tmp_path / "out/segments.json").read_text())
    of_d = next(video["segments"] for video in written["videos"] if video["uri"].endswith("d.mp4"))
    assert all(a["behaviour"] != b["behaviour"] for a, b in pairwise(of_d))
    profiled = sora("behaviour", "profile", "--root", root, "--json").json
    assert profiled["behaviours"] == ["rest", "behaviour_01"]
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_of_two_jobs_at_once_one_adds_a_video(root: str, sora: Sora) -> None:
    done = sora("behaviour", "segment", "--root", root, "--json").json
    fitted = load(root, "unsupervised", "1")
    assert fitted is not None
    assert fitted.digest == done["digest"]
    found = [(video, fitted.learned.segments(video)) for video in by_video(read_slices(root))]
    assert add_segments(root, fitted, found, run_key="late", ds=DS) == 0
    assert tables.read(root, "segments").num_rows == done["segments_added"]


@pytest.mark.parametrize("text", ["[]", "{", '{"behaviour_00": ""}', '{"behaviour_00": 1}'])
def test_names_that_were_edited_to_no_names_are_refused(root: str, text: str, sora: Sora) -> None:
    digest = sora("behaviour", "segment", "--root", root, "--json").json["digest"]
    names = storage.join(root, "behaviours/unsupervised/1", f"names-{digest}.json")
    storage.put(names, text.encode())
    refused = sora("behaviour", "profile", "--root", root)
    assert refused.code == 2
    assert names in refused.err
    storage.put(names, b'{"behaviour_00": "rest"}')
    assert sora("behaviour", "profile", "--root", root, "--json").json["behaviours"][0] == "rest"


def test_a_profile_counts_time_bouts_and_transitions_by_group(root: str, sora: Sora) -> None:
    sora("behaviour", "segment", "--root", root)
    found = sora("behaviour", "profile", "--root", root, "--by", "source_group", "--json").json
    assert set(found["groups"]) == {"camera0", "camera1"}
    group = found["groups"]["camera0"]  # a and c
    assert (group["videos"], group["total_s"]) == (2, 50.0)
    longest = group["behaviours"]["behaviour_00"]
    assert longest["share"] == pytest.approx(42 / 50)
    assert (longest["bouts"], longest["mean_bout_s"]) == (3, 14.0)
    names = found["behaviours"]
    other = next(name for name, one in group["behaviours"].items() if one["bouts"] == 1)
    transitions = np.array(group["transitions"])
    assert transitions[names.index("behaviour_00"), names.index(other)] == 1
    assert transitions.sum() == 2
    assert np.trace(transitions) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["segment", "--where", "width > 1"], "No video meets"),
        (["segment", "--num-behaviours", 1], "--num-behaviours"),
        (["segment", "--num-behaviours", 500], "too few segments"),
        (["segment", "--penalty", 0], "--penalty"),
        (["segment", "--kind", "supervised"], "start_s,end_s"),
        (["segment", "--name", "../x"], "--name"),
        (["segment", "--model", 7], "leads nowhere"),
        (["profile"], "sora behaviour segment"),
        (["profile", "--by", "film"], "sora behaviour segment"),
    ],
)
def test_what_cannot_be_segmented_is_refused(root: str, options: list[object], expected: str, sora: Sora) -> None:
    refused = sora("behaviour", *options, "--root", root)
    assert refused.code == 2
    assert expected in refused.err


def test_a_root_of_before_gets_its_table(root: str, sora: Sora) -> None:
    filesystem, path = storage.filesystem(storage.join(root, "tables", "segments"))
    filesystem.rm(path, recursive=True)
    assert sora.sql(root, "SELECT count(*) FROM segments") == [(0,)]
    for command in ("verify", "maintain"):
        assert sora(command, "--root", root).code == 0
    assert sora("behaviour", "segment", "--root", root).code == 0
    assert sora.sql(root, "SELECT count(DISTINCT video_id) FROM segments") == [(4,)]


@pytest.mark.parametrize(
    ("lengths", "step"), [([40], 0.0), ([20, 20], 1.0), ([5, 30, 7], 1.0), ([1], 0.0), ([3], 0.0), ([5000], 0.0)]
)
def test_changes_are_found_where_the_mean_changes_and_nowhere_else(lengths: list[int], step: float) -> None:
    rng = np.random.default_rng(3)
    means = np.repeat(np.arange(len(lengths)) * step, lengths)[:, None]
    signal = means + rng.normal(size=(sum(lengths), 16)) * 0.2
    starts = [start for start in change_points(signal, noise=16 * 0.04) if start % 4096]
    assert starts == np.cumsum(lengths)[:-1].tolist()


def test_the_time_of_a_slice_is_its_own_without_overlap_and_split_with_it(root: str) -> None:
    video = by_video(read_slices(root))[0]
    assert video.edges_s.tolist() == [*video.start_s.tolist(), video.end_s[-1]]
    overlapping = type(video)(**{**vars(video), "end_s": video.end_s + 1.0})
    assert overlapping.edges_s[1:-1].tolist() == (video.start_s[1:] + 0.5).tolist()
    assert np.all(np.diff(overlapping.edges_s) > 0)
