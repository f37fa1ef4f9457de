"""What is unlike normal footage, frame by frame; folders in, figures out, whatever lies in the folders."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.behaviour.corpus import render
from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.anomalies import frame_figures, require_known
from pipeline.tasks.behaviour.folder_slices import FolderSlices
from pipeline.tasks.behaviour.frame_times import frame_times_s
from pipeline.tasks.behaviour.ground_truth import frame_auc, frame_labels, frame_scores, read_intervals
from pipeline.tasks.behaviour.normality import Normality
from pipeline.tasks.behaviour.video_slices import VideoSlices, by_video
from pipeline.tasks.slices import read_slices
from tests.support.behaviours import bouts, planted_video
from tests.support.planted import planted_root
from tests.support.sora import Sora
from tests.support.videos import encode_video


def video_slices(tmp_path: Path, name: str, behaviours: list[list[int]]) -> list[VideoSlices]:
    videos = {f"file:///{name}{i}.mp4": planted_video(one, seed=hash_of(name, i)) for i, one in enumerate(behaviours)}
    return by_video(read_slices(planted_root(str(tmp_path / name), videos)))


def hash_of(name: str, index: int) -> int:
    return sum(map(ord, name)) * 100 + index


NORMAL = [bouts((0, 20), (1, 20)), bouts((1, 30)), bouts((0, 10), (1, 10), (0, 10))]


def test_what_was_never_seen_scores_higher_than_all_that_was(tmp_path: Path) -> None:
    normality = Normality(video_slices(tmp_path, "normal", NORMAL))
    test = video_slices(tmp_path, "test", [bouts((0, 15), (3, 6), (1, 15))])[0]
    scores = normality.scores(test)
    is_odd = np.array(bouts((0, 15), (1, 6), (0, 15)), dtype=bool)
    assert scores.distance[is_odd].min() > scores.distance[~is_odd].max()
    assert scores.score[is_odd].min() > scores.score[~is_odd].max()


def test_what_is_badly_rebuilt_scores_high_where_the_vectors_are_normal(tmp_path: Path) -> None:
    normality = Normality(video_slices(tmp_path, "normal", NORMAL))
    test = video_slices(tmp_path, "test", [bouts((0, 30))])[0]
    error = test.recon_error.copy()
    error[10:15] *= 2
    scores = normality.scores(VideoSlices(**{**vars(test), "recon_error": error}))
    assert set(np.argsort(-scores.score)[:5].tolist()) == set(range(10, 15))


def test_new_normal_footage_scores_as_normal_footage_did(tmp_path: Path) -> None:
    """Distances of normal slices were held out: new normal videos are no anomalies."""
    normality = Normality(video_slices(tmp_path, "normal", NORMAL * 5))
    new = [normality.scores(one) for one in video_slices(tmp_path, "new", [bouts((0, 40)), bouts((1, 40))])]
    distance = np.concatenate([scores.distance for scores in new])
    assert abs(float(distance.mean())) < 0.5
    assert 0.5 < float(distance.std()) < 2


@pytest.mark.parametrize("num_videos", [1, 2])
def test_normality_of_few_videos_is_learned(tmp_path: Path, num_videos: int) -> None:
    normal = video_slices(tmp_path, "normal", [bouts((0, 60))] * num_videos)
    scores = Normality(normal).scores(video_slices(tmp_path, "test", [bouts((0, 10), (2, 10))])[0])
    assert scores.score[10:].min() > scores.score[:10].max()


@pytest.mark.parametrize("num_copies", [2, 5])
def test_copies_among_normal_videos_make_nothing_else_strange(tmp_path: Path, num_copies: int) -> None:
    normal = video_slices(tmp_path, "normal", NORMAL * 5)
    copies = [VideoSlices(**{**vars(normal[0]), "video_id": f"copy{index}"}) for index in range(num_copies)]
    scores = Normality([*normal, *copies]).scores(video_slices(tmp_path, "test", [bouts((0, 10), (3, 10))])[0])
    assert scores.score[10:].min() > scores.score[:10].max() + 2
    assert np.median(scores.score[:10]) < 2


def test_footage_that_never_varies_is_normal_too(tmp_path: Path) -> None:
    still = video_slices(tmp_path, "normal", [bouts((0, 30))])[0]
    frozen = {name: np.repeat(getattr(still, name)[:1], 30, axis=0) for name in ("vectors", "recon_error", "motion")}
    normality = Normality([VideoSlices(**{**vars(still), **frozen})] * 3)
    assert np.isfinite(normality.scores(still).score).all()


def test_too_little_normal_footage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too little normal footage"):
        Normality(video_slices(tmp_path, "normal", [bouts((0, 5))]))


@pytest.mark.parametrize(
    ("start_s", "end_s", "times_s", "expected"),
    [
        ([0, 1, 2], [1, 2, 3], [0, 0.9, 1.0, 2.5], [10, 10, 20, 30]),  # half-open
        ([0, 1, 2], [2, 3, 4], [0.5, 1.5, 2.5, 3.5], [10, 15, 25, 30]),  # overlap: the mean
        ([0, 4, 8], [1, 5, 9], [0.5, 2.0, 3.9, 6.6, 20], [10, 10, 20, 30, 30]),  # gaps: the nearest
        ([0], [1], [0.5, 7.0], [10, 10]),
    ],
)
def test_a_frame_has_the_score_of_the_slices_it_lies_in(
    start_s: list[float], end_s: list[float], times_s: list[float], expected: list[float]
) -> None:
    scores = np.array([10.0, 20.0, 30.0])[: len(start_s)]
    found = frame_scores(np.array(times_s), np.array(start_s, float), np.array(end_s, float), scores)
    assert found.tolist() == expected


def test_frame_auc_is_the_chance_that_an_anomalous_frame_scores_higher() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.3, np.round(rng.normal(size=200), 1)
    pairs = np.sign(scores[labels][:, None] - scores[~labels][None]) / 2 + 0.5
    assert frame_auc(labels, scores) == pytest.approx(pairs.mean())
    with pytest.raises(ConfigError, match="nothing to tell apart"):
        frame_auc(np.zeros(3, bool), np.zeros(3))


def test_frames_are_counted_by_decoding_whatever_their_rate(tmp_path: Path) -> None:
    videos = [tmp_path / "a.mp4", tmp_path / "b.mkv"]
    videos[0].write_bytes(encode_video(37, fps=25))
    videos[1].write_bytes(encode_video(90, fps=60, container="matroska"))
    (tmp_path / "c.mp4").write_bytes(videos[0].read_bytes()[:300])
    uris = [storage.normalize(str(tmp_path / name)) for name in ("a.mp4", "b.mkv", "c.mp4", "gone.mp4")]
    times_s = frame_times_s(uris, num_workers=2)
    assert [len(one) for one in times_s] == [37, 90, 0, 0]
    np.testing.assert_allclose(times_s[0], np.arange(37) / 25, atol=1e-6)


def test_figures_follow_the_ground_truth(tmp_path: Path) -> None:
    normality = Normality(video_slices(tmp_path, "normal", NORMAL))
    videos = video_slices(tmp_path, "test", [bouts((0, 15), (3, 6), (1, 15)), bouts((0, 20))])
    scores = [normality.scores(video) for video in videos]
    times_s = [np.arange(len(video) * 10) / 10 for video in videos]
    odd = next(video.uri for video in videos if len(video) == 36)
    figures = frame_figures(videos, scores, times_s, {odd: [(150, 210), (5000, 5001)]})
    assert figures.frame_auc == 1.0
    assert (figures.num_frames, figures.num_anomalous, figures.num_beyond_end) == (560, 60, 1)
    assert figures.truth_s == {odd: [(15.0, 21.0)]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,start_frame\na,1\n", "end_frame"),
        ("path,start_frame,end_frame\na,1,x\n", "no whole number"),
        ("path,start_frame,end_frame\na,5,5\n", "is empty"),
        ("path,start_frame,end_frame\na,-1,5\n", "is empty"),
        ("path,start_frame,end_frame\n,1,5\n", "no path"),
        ("path,start_frame,end_frame\na,1\n", "no whole number"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_wrong_ground_truth_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "truth.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=expected):
        read_intervals(str(file), corpus="file:///corpus")


def test_intervals_are_half_open_and_of_one_video_together(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    file.write_text("path,start_frame,end_frame\nsub/a.mp4,1,3\nsub/a.mp4,4,9\n./b.mp4,0,1\n")
    found = read_intervals(str(file), corpus="file:///corpus")
    assert found == {"file:///corpus/sub/a.mp4": [(1, 3), (4, 9)], "file:///corpus/b.mp4": [(0, 1)]}
    assert frame_labels(6, found["file:///corpus/sub/a.mp4"]).tolist() == [False, True, True, False, True, True]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--normal", "n", "--test", "t"], "add --train"),
        (["--normal", "n", "--test", "n/t", "--train"], "share a folder"),
        (["--normal", "n", "--test", "n", "--train"], "share a folder"),
        (["--normal", "n", "--test", "t", "--train", "--epochs", 0], "--epochs"),
        (["--normal", "n", "--test", "t", "--root", "r"], "sora train"),
        (["--normal", "n", "--test", "t", "--train", "--ground-truth", "gone.csv"], "ground truth cannot be read"),
        (["--normal", "n", "--test", "t", "--train"], "cannot be listed|is empty|no such"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    tmp_path: Path, options: list[object], expected: str, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = sora("behaviour", "anomaly", *options)
    assert refused.code == 2
    assert any(part in refused.err for part in expected.split("|")), refused.err


def test_a_ground_truth_of_other_files_is_refused() -> None:
    """A typo would make anomalous frames normal ones."""
    test = FolderSlices([], {"file:///t/a.mp4": "corrupt"})
    require_known({"file:///t/a.mp4": [(0, 1)]}, test, "truth.csv")
    with pytest.raises(ConfigError, match=r"file:///t/b\.mp4"):
        require_known({"file:///t/a.mp4": [(0, 1)], "file:///t/b.mp4": [(0, 1)]}, test, "truth.csv")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["path,label", "a.mp4,x", "b.mp4,y"], "no source"),
        (["path,label,source", "a.mp4,x,1", "b.mp4,y,"], "b.mp4"),
        (["path,label,source", "a.mp4,x,1", "b.mp4,x,2"], "not two behaviours"),
        (["path,label,source", "a.mp4,x,1", "b.mp4,y,2", "c.mp4,z,3"], "not two behaviours"),
        (["path,source", "a.mp4,1"], "label"),
    ],
)
def test_labels_of_no_two_behaviours_are_refused_before_any_work(
    tmp_path: Path, lines: list[str], expected: str, sora: Sora
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines))
    refused = sora("behaviour", "binary", tmp_path, "--labels", labels, "--group-column", "source", "--root", tmp_path)
    assert refused.code == 2
    assert expected in refused.err


@pytest.mark.parametrize("arguments", [[], ["dance"], ["--root", "x"]])
def test_an_unknown_use_is_refused_with_those_there_are(arguments: list[str], sora: Sora) -> None:
    refused = sora("behaviour", *arguments)
    assert refused.code == 2
    assert "segment, profile, anomaly, binary" in refused.err
    assert sora("behaviour", "--help").code == 0


@pytest.mark.usefixtures("ray_local")
def test_two_folders_become_figures_and_what_is_no_video_a_reason(tmp_path: Path, sora: Sora) -> None:
    """Training on the normal folder, and a broken file, a text and an empty file among the test videos."""
    corpus = render(tmp_path, seed=1, num_normal=4, num_frames=150, kinds=("halt",))
    (corpus.test / "notes.txt").write_text("not a video")
    (corpus.test / "empty.mp4").write_bytes(b"")
    whole = next(corpus.test.glob("*.mp4"))
    (corpus.test / "cut.mp4").write_bytes(whole.read_bytes()[:700])
    root = tmp_path / "root"
    sampling = ["--frames-per-clip", 8, "--sample-fps", 8, "--stride-s", 0.5, "--size-px", 32]
    command = ["behaviour", "anomaly", "--normal", corpus.normal, "--test", corpus.test, "--root", root, "--json"]
    command += ["--ground-truth", corpus.truth, "--train", "--epochs", 1, *sampling]
    outcome = sora(*command, "--output", tmp_path / "out", "--warn-failed-share", 1)
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert 0 <= found["frame_auc"] <= 1
    assert found["trained"] is True
    assert (found["normal_videos"], found["test_videos"], found["num_frames"]) == (4, 8, 8 * 150)
    reasons = {Path(uri).name: reason for uri, reason in found["test_without_vectors"].items()}
    assert set(reasons) == {"notes.txt", "empty.mp4", "cut.mp4"}
    assert reasons["notes.txt"] == "no video"
    assert len(list((tmp_path / "out").glob("*.png"))) == 8
    with (tmp_path / "out/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["uri"] for row in rows}) == 8
    assert json.loads((tmp_path / "out/anomalies.json").read_text())["frame_auc"] == found["frame_auc"]

    again = sora(*command, "--warn-failed-share", 1).json
    assert (again["frame_auc"], again["trained"]) == (found["frame_auc"], False)
    labels = tmp_path / "labels.csv"
    names = sorted(path.name for path in corpus.test.glob("camera*.mp4"))
    lines = [f"{name},{'odd' if corpus.kind_of[name] else 'usual'},film{i % 4}" for i, name in enumerate(names)]
    labels.write_text("\n".join(["path,label,source", *lines, "cut.mp4,odd,film0"]))
    clips = ["behaviour", "binary", corpus.test, "--labels", labels, "--root", root, "--warn-failed-share", 1]
    told = sora(*clips, "--group-column", "source", "--json")
    assert told.code == 0, told.err
    assert 0 <= told.json["ci95"][0] <= told.json["accuracy"] <= told.json["ci95"][1] <= 1
    assert (len(told.json["folds"]), told.json["num_clips"]) == (4, {"odd": 4, "usual": 4})
    assert [Path(uri).name for uri in told.json["without"]] == ["cut.mp4"]
