"""Anomaly scores as JSON, CSV and timelines."""

import csv
import io
import json
from typing import Any

from pipeline import storage
from pipeline.tasks.behaviour.anomalies import Anomalies
from pipeline.tasks.behaviour.segment_files import put_picture, short_name
from pipeline.tasks.behaviour.timeline import ALARM, Curve, timeline_figure

_NUM_STRANGEST = 10
_COLUMNS = ("uri", "start_s", "end_s", "score", "excess_z", "distance_z", "recon_error", "motion")


def anomalies_json(found: Anomalies) -> dict[str, Any]:
    """Figures, the strangest slices, and which files could not be judged and why; frame_auc null without truth."""
    slices = [
        {"uri": video.uri, "start_s": float(start), "end_s": float(end), "score": float(score)}
        for video, scores in zip(found.test.videos, found.scores, strict=True)
        for start, end, score in zip(video.start_s, video.end_s, scores.score, strict=True)
    ]
    figures: dict[str, Any] = {"frame_auc": None}
    if found.figures is not None:
        figures = {name: value for name, value in vars(found.figures).items() if name != "truth_s"}
    return {
        **figures,
        "normal_videos": len(found.normal.videos),
        "test_videos": len(found.test.videos),
        "normal_without_vectors": found.normal.without,
        "test_without_vectors": found.test.without,
        "strangest": sorted(slices, key=lambda one: -float(str(one["score"])))[:_NUM_STRANGEST],
    }


def write_anomalies(folder: str, found: Anomalies, *, max_pictures: int) -> int:
    """Write anomalies.json, scores.csv and timelines of the strangest videos; returns the number of pictures."""
    folder = storage.normalize(folder)
    storage.put(storage.join(folder, "anomalies.json"), json.dumps(anomalies_json(found), indent=1).encode())
    storage.put(storage.join(folder, "scores.csv"), _scores_csv(found).encode())
    judged = zip(found.test.videos, found.scores, strict=True)
    shown = sorted(judged, key=lambda one: -float(one[1].score.max()))[:max_pictures]
    for video, scores in shown:
        truth = found.figures.truth_s.get(video.uri, []) if found.figures is not None else []
        curves = [
            Curve("score", scores.score),
            Curve("excess error, z", scores.excess),
            Curve("distance, z", scores.distance),
        ]
        lanes = {"anomalous": truth} if truth else {}
        figure = timeline_figure(video, lanes, curves, title=short_name(video.uri), colours=ALARM)
        put_picture(storage.join(folder, f"{short_name(video.uri).replace('/', '-')}-{video.video_id[:8]}.png"), figure)
    return len(shown)


def _scores_csv(found: Anomalies) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for video, scores in zip(found.test.videos, found.scores, strict=True):
        numbers = (scores.score, scores.excess, scores.distance, video.recon_error, video.motion)
        columns = zip(video.start_s, video.end_s, *numbers, strict=True)
        writer.writerows([video.uri, *(f"{value:.6g}" for value in row)] for row in columns)
    return sink.getvalue()
