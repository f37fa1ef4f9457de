"""What `sora behaviour anomaly` does once the vectors are there: learn the normal, score the rest, measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.progress import OnProgress, unwatched
from pipeline.tasks.behaviour.config import AnomalyConfig
from pipeline.tasks.behaviour.folder_slices import FolderSlices, folder_slices
from pipeline.tasks.behaviour.frame_times import frame_times_s
from pipeline.tasks.behaviour.ground_truth import Intervals, frame_auc, frame_labels, frame_scores
from pipeline.tasks.behaviour.normality import Normality, SliceScores
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices


@dataclass(frozen=True)
class FrameFigures:
    """How well frames are told apart.

    Args:
        frame_auc: Of the score.
        excess_auc: Of the excess of the reconstruction error alone.
        distance_auc: Of the distance alone.
        recon_error_auc: Of recon_error alone, as the table has it.
        motion_auc: Of motion alone, as the table has it.
        num_frames: Frames of the scored videos.
        num_anomalous: Of them.
        num_beyond_end: Intervals that begin after the last frame that decodes.
        truth_s: Anomalous stretches [start_s, end_s) by the uri of the video.
    """

    frame_auc: float
    excess_auc: float
    distance_auc: float
    recon_error_auc: float
    motion_auc: float
    num_frames: int
    num_anomalous: int
    num_beyond_end: int
    truth_s: Mapping[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Anomalies:
    """Scores of the test videos, in the order of their uris, and what they are worth where that is known."""

    normal: FolderSlices
    test: FolderSlices
    scores: list[SliceScores]
    figures: FrameFigures | None


def find_anomalies(
    config: AnomalyConfig,
    root: str,
    intervals: Intervals | None,
    *,
    num_workers: int,
    on_progress: OnProgress = unwatched,
) -> Anomalies:
    """Score the slices of the test folder by what the normal folder shows.

    Args:
        config: Folders and model.
        root: Normalized URI of the root that has the vectors.
        intervals: Anomalous frames by uri; None: nothing is measured.
        num_workers: Videos decoded at once, to count their frames.
        on_progress: Told after every one of them.
    Raises:
        ConfigError: too little normal footage, or intervals of files that are not there.
        CorpusError: not one video of a folder has vectors.
    """
    test_uri = storage.normalize(config.test)
    normal = folder_slices(root, config.model, storage.normalize(config.normal))
    test = folder_slices(root, config.model, test_uri)
    if intervals is not None:
        require_known(intervals, test, str(config.ground_truth))
    normality = Normality(normal.videos)
    scores = [normality.scores(video) for video in test.videos]
    if intervals is None:
        return Anomalies(normal, test, scores, None)
    uris = [video.uri for video in test.videos]
    times_s = frame_times_s(uris, num_workers=num_workers, on_progress=on_progress)
    return Anomalies(normal, test, scores, frame_figures(test.videos, scores, times_s, intervals))


def frame_figures(
    videos: Sequence[VideoSlices], scores: Sequence[SliceScores], times_s: Sequence[Floats], intervals: Intervals
) -> FrameFigures:
    """Measure scores frame by frame, over all videos together.

    Args:
        videos: The scored videos.
        scores: Of each.
        times_s: When each frame of each video comes on screen; float64 (num_frames,).
        intervals: Anomalous frames by uri.
    Raises:
        ConfigError: all frames are anomalous, or none is.
    """
    labels = [frame_labels(len(at), intervals.get(video.uri, ())) for video, at in zip(videos, times_s, strict=True)]
    together = np.concatenate(labels)

    def auc(values: Sequence[Floats]) -> float:
        of_video = zip(videos, times_s, values, strict=True)
        return frame_auc(
            together, np.concatenate([frame_scores(at, v.start_s, v.end_s, one) for v, at, one in of_video])
        )

    beyond = [start >= len(at) for v, at in zip(videos, times_s, strict=True) for start, _ in intervals.get(v.uri, ())]
    return FrameFigures(
        frame_auc=auc([one.score for one in scores]),
        excess_auc=auc([one.excess for one in scores]),
        distance_auc=auc([one.distance for one in scores]),
        recon_error_auc=auc([video.recon_error for video in videos]),
        motion_auc=auc([video.motion for video in videos]),
        num_frames=len(together),
        num_anomalous=int(together.sum()),
        num_beyond_end=sum(beyond),
        truth_s={
            video.uri: _stretches(video, at, intervals[video.uri])
            for video, at in zip(videos, times_s, strict=True)
            if video.uri in intervals
        },
    )


def _stretches(video: VideoSlices, times_s: Floats, intervals: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    ends_s = np.append(times_s, video.end_s[-1])  # frame i is on screen during [ends_s[i], ends_s[i + 1])
    return [(float(ends_s[a]), float(ends_s[min(b, len(times_s))])) for a, b in intervals if a < len(times_s)]


def require_known(intervals: Intervals, test: FolderSlices, where: str) -> None:
    """Raise a ConfigError where an interval is of a file that is not in the test folder; `where` names the CSV."""
    known = {video.uri for video in test.videos} | set(test.without)
    unknown = sorted(set(intervals) - known)
    if unknown:
        got = f"{len(unknown)}, the first {unknown[0]}"
        what = "The ground truth names files that are not in the test folder."
        raise ConfigError(what, where=where, got=got, expected="paths relative to --test, or whole URIs")
