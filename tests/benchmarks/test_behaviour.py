"""The corpus of planted anomalies, and the falls as labels: what the figures stand on."""

import csv
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.behaviour.corpus import render
from benchmarks.behaviour.falls import timed_rows
from benchmarks.behaviour.proof import by_kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Walking[0 to 3.6]; Falling (BW)[6.9 to 12]", [("walking", 0.0, 3.6), ("falling", 6.9, 12.0)]),
        (" Standing[0 to 0.5; 4.2 to 6.5]", [("standing", 0.0, 0.5), ("standing", 4.2, 6.5)]),
        ("Falling (BW[5.9 to 10]; Eating[0.9 4.6]", [("falling", 5.9, 10.0), ("eating", 0.9, 4.6)]),
        ("Sitting[9.7 to 3]", []),
        ("Class", []),
    ],
)
def test_the_behaviours_of_a_line_become_rows(text: str, expected: list[tuple[str, float, float]]) -> None:
    assert list(timed_rows(text)) == expected


def pictures(path: Path) -> np.ndarray:
    """float64 (num_frames, H, W, C) RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(float)


def test_an_anomaly_changes_what_it_names_and_nothing_before(tmp_path: Path) -> None:
    """The same passer-by with and without an anomaly: alike up to it, as bright in it, other pictures."""
    odd = render(tmp_path / "a", seed=5, num_normal=4, num_frames=150, kinds=("stranger",))
    with odd.truth.open() as file:
        intervals = {row["path"]: (int(row["start_frame"]), int(row["end_frame"])) for row in csv.DictReader(file)}
    assert len(intervals) == 4
    assert [kind for kind in odd.kind_of.values() if kind] == ["stranger"] * 4
    for path, (start, end) in intervals.items():
        frames = pictures(odd.test / path)
        brightness = (frames @ np.array([0.299, 0.587, 0.114])).mean(axis=(1, 2))
        assert len(frames) == 150
        assert abs(brightness[start:end].mean() - brightness[:start].mean()) < 4  # of 255
        colour = (frames[..., 0] - frames[..., 2]).mean(axis=(1, 2))  # red less blue
        steps = np.abs(np.diff(colour))
        assert steps[start - 1] > 3 * steps[: start - 1].max()  # other clothes from one frame to the next


def test_signals_are_measured_kind_by_kind(tmp_path: Path) -> None:
    """A score that is the truth has an AUC of 1 for each kind."""
    corpus = render(tmp_path / "a", seed=6, num_normal=4, num_frames=100, kinds=("halt",))
    with corpus.truth.open() as file:
        intervals = {row["path"]: (int(row["start_frame"]), int(row["end_frame"])) for row in csv.DictReader(file)}
    columns = ("uri", "start_s", "end_s", "score", "excess_z", "distance_z", "recon_error", "motion")
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for path in corpus.kind_of:
            start, end = intervals.get(path, (0, 0))
            values = [float(start <= frame < end) for frame in range(100)]
            rows = enumerate(values)
            uri = f"file://{corpus.test / path}"
            writer.writerows([uri, k / 25 - 0.01, k / 25 + 0.03, v, 1 - v, v, v, v] for k, v in rows)
    found = by_kind(corpus, tmp_path / "scores.csv", kinds=("halt",))
    assert found["score"] == {"halt": 1.0, "all": 1.0}
    assert found["excess_z"]["all"] == 0.0
