"""Which frames of which videos are anomalous, from a CSV, and how well scores tell them from the others."""

import csv
import io
import posixpath
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline import storage
from pipeline.errors import ConfigError

_COLUMNS = ("path", "start_frame", "end_frame")
Intervals = Mapping[str, Sequence[tuple[int, int]]]


def read_intervals(uri: str, *, corpus: str) -> dict[str, list[tuple[int, int]]]:
    """Read path,start_frame,end_frame: frames [start_frame, end_frame) of the video are anomalous, the first is 0.

    Args:
        uri: The CSV, UTF-8, with a header line.
        corpus: Normalized URI of the folder that relative paths are relative to.
    Returns:
        Intervals by the video's uri; a video may have several lines, and one without any is normal.
    Raises:
        ConfigError: the file cannot be read, lacks a column, or a row is no interval.
    """
    try:
        text = storage.read_bytes(storage.normalize(uri)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        cure = f"give a UTF-8 CSV with the columns {','.join(_COLUMNS)}"
        raise ConfigError("The ground truth cannot be read.", where=uri, got=e, cure=cure) from e
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        expected = f"a header line with {','.join(_COLUMNS)}"
        raise ConfigError(f"The ground truth lacks {missing}.", where=uri, got=reader.fieldnames, expected=expected)
    found: dict[str, list[tuple[int, int]]] = {}
    for row in reader:
        path, interval = _parsed(row, f"{uri} line {reader.line_num}")
        whole = storage.normalize(path) if "://" in path or path.startswith("/") else None
        found.setdefault(whole or storage.join(corpus, posixpath.normpath(path)), []).append(interval)
    return found


def frame_labels(num_frames: int, intervals: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which frames are anomalous: bool (num_frames,). What lies beyond the last frame is nobody's."""
    labels = np.zeros(num_frames, np.bool_)
    for start, end in intervals:
        labels[start:end] = True
    return labels


def frame_scores(
    times_s: NDArray[np.float64], start_s: NDArray[np.float64], end_s: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The score of each frame: the mean over the slices it lies in, or of the nearest slice where it lies in none.

    Args:
        times_s: float64 (F,), when the frames come on screen.
        start_s: float64 (N,), of the slices, increasing.
        end_s: float64 (N,), exclusive, increasing.
        scores: float64 (N,)
    Returns:
        float64 (F,)
    """
    first = np.searchsorted(end_s, times_s, side="right")
    last = np.searchsorted(start_s, times_s, side="right")  # the slices [first, last) hold the frame
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    counts = np.maximum(last - first, 1)
    inside = (sums[np.maximum(last, first)] - sums[first]) / counts
    middle_s = (start_s + end_s) / 2
    after = np.clip(np.searchsorted(middle_s, times_s), 1, max(len(scores) - 1, 1)) % len(scores)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(middle_s[after] - times_s) < np.abs(times_s - middle_s[before]), after, before)
    return np.where(last > first, inside, scores[nearest])


def frame_auc(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve over the frames of all test videos together; 0.5 is chance.

    Args:
        labels: bool (F,), True where anomalous.
        scores: float64 (F,), the higher the stranger.
    Raises:
        ConfigError: all frames are anomalous, or none is.
    """
    if labels.all() or not labels.any():
        got = f"{int(labels.sum())} anomalous frames of {len(labels)}"
        cure = "see whether the paths and frame numbers of the ground truth are those of the test videos"
        raise ConfigError("There is nothing to tell apart.", where="--ground-truth", got=got, cure=cure)
    return float(roc_auc_score(labels, scores))


def _parsed(row: Mapping[str, str | None], where: str) -> tuple[str, tuple[int, int]]:
    path = (row.get("path") or "").strip()
    if not path:
        raise ConfigError("A row has no path.", where=where, got=dict(row))
    try:
        start, end = (int((row.get(name) or "").strip()) for name in ("start_frame", "end_frame"))
    except ValueError as e:
        raise ConfigError("A frame number is no whole number.", where=where, got=dict(row)) from e
    if not 0 <= start < end:
        expected = "0 <= start_frame < end_frame: half-open, the first frame is 0"
        raise ConfigError("An interval of frames is empty.", where=where, got=(start, end), expected=expected)
    return path, (start, end)
