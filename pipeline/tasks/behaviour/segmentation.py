"""What `sora behaviour segment` does: learn behaviours once, then give every video without segments its segments.

read_slices --> fitted.json, or fit --> segments of the videos that lack them --> rows of `segments`
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pipeline import registry, storage, tables
from pipeline.errors import ConfigError
from pipeline.progress import OnProgress, Progress, unwatched
from pipeline.tasks.behaviour import fitted as kept
from pipeline.tasks.behaviour.codebook import fit_codebook
from pipeline.tasks.behaviour.config import SegmentConfig
from pipeline.tasks.behaviour.fitted import Fitted
from pipeline.tasks.behaviour.left_out import leave_sources_out
from pipeline.tasks.behaviour.recogniser import fit_recogniser
from pipeline.tasks.behaviour.segment import Segment
from pipeline.tasks.behaviour.segment_rows import add_segments, read_segments, segmented
from pipeline.tasks.behaviour.timed_labels import group_of_videos, read_timed_labels, slice_labels
from pipeline.tasks.behaviour.video_slices import VideoSlices, by_video
from pipeline.tasks.slices import read_slices

_VIDEOS_A_COMMIT = 5000


@dataclass(frozen=True)
class Segmented:
    """What was done, and the segments of the chosen videos.

    Args:
        fitted: The segmentation.
        is_new: Whether it was learned now.
        num_added: Rows added to `segments`.
        num_videos_added: Videos they are of.
        videos: The chosen videos.
        segments: Of each of them, under the names the user gave.
        names: Of each behaviour.
    """

    fitted: Fitted
    is_new: bool
    num_added: int
    num_videos_added: int
    videos: Sequence[VideoSlices]
    segments: Sequence[Sequence[Segment]]
    names: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """What was done, in plain values; the segments themselves apart."""
        fitted = self.fitted
        lineage = {"segmentation": fitted.segmentation, "digest": fitted.digest, "kind": fitted.kind}
        lineage |= {"model_version": fitted.model_version}
        counts = {"videos_added": self.num_videos_added, "segments_added": self.num_added}
        counts |= {"already_done": len(self.videos) - self.num_videos_added}
        return {**lineage, "is_new": self.is_new, "names": dict(self.names), **fitted.found, **counts}


def segment(config: SegmentConfig, *, run_key: str, ds: date, on_progress: OnProgress = unwatched) -> Segmented:
    """Cut the chosen videos into behaviours; a second run adds only what is new.

    Raises:
        CheckpointError: the model reference leads nowhere.
        ConfigError: no video is chosen, there is too little to learn from, or the names are wrong.
        TableError: the root has no tables, or no vectors of the model.
    """
    root = storage.normalize(config.root)
    slices = read_slices(root, config.model, where=config.where)
    videos = by_video(slices)
    tables.create_missing(root)  # a root of before has no `segments`
    fitted, is_new = _fitted(root, config, slices.model, videos)
    if config.names is not None:
        kept.save_names(root, fitted, kept.read_names_csv(config.names, fitted))
    num_added, num_videos_added = _add_missing(root, fitted, videos, run_key=run_key, ds=ds, on_progress=on_progress)
    there = read_segments(root, fitted)
    given = kept.load_names(root, fitted)
    names = {behaviour: given.get(behaviour, behaviour) for behaviour in fitted.learned.behaviours}
    segments = [renamed(there[video.video_id, video.version], names) for video in videos]
    return Segmented(fitted, is_new, num_added, num_videos_added, videos, segments, names)


def renamed(segments: Sequence[Segment], names: Mapping[str, str]) -> list[Segment]:
    """The segments under other names for their behaviours; neighbours that get the same name become one."""
    found: list[Segment] = []
    for one in segments:
        name, last = names.get(one.behaviour, one.behaviour), found[-1] if found else None
        if last is None or last.behaviour != name:
            found.append(Segment(one.start_s, one.end_s, name, one.confidence))
            continue
        before_s, own_s = last.end_s - last.start_s, one.end_s - one.start_s
        confidence = (last.confidence * before_s + one.confidence * own_s) / (before_s + own_s)
        found[-1] = Segment(last.start_s, one.end_s, name, confidence)
    return found


def _fitted(
    root: str, config: SegmentConfig, model: registry.ModelReference, videos: Sequence[VideoSlices]
) -> tuple[Fitted, bool]:
    there = kept.load(root, config.segmentation, model.version)
    if there is not None and there.kind != config.kind:
        cure = "choose another --name, or learn it anew with --refit"
        got, expected = config.kind, there.kind
        if not config.refit:
            raise ConfigError(
                "The segmentation is of another kind.", where="--kind", got=got, expected=expected, cure=cure
            )
    if there is not None and not config.refit:
        return there, False
    new = (
        _unsupervised(config, model, videos)
        if config.kind == "unsupervised"
        else _supervised(root, config, model, videos)
    )
    kept.save(root, new)
    return new, True


def _unsupervised(config: SegmentConfig, model: registry.ModelReference, videos: Sequence[VideoSlices]) -> Fitted:
    codebook = fit_codebook(videos, num_behaviours=config.num_behaviours, strength=config.penalty)
    found = {"where": config.where, "videos": len(videos), "slices": sum(len(video) for video in videos)}
    return Fitted(config.segmentation, config.kind, model.version, codebook, found)


def _supervised(
    root: str, config: SegmentConfig, model: registry.ModelReference, videos: Sequence[VideoSlices]
) -> Fitted:
    labels, source_of = read_timed_labels(root), group_of_videos(root, config.group_column)
    labelled = [video for video in videos if video.video_id in labels]
    behaviours = sorted({label.label for video in labelled for label in labels[video.video_id]})
    if not labelled:
        cure = f"run `sora catalog CORPUS --root {root} --labels CSV` with the columns start_s,end_s"
        raise ConfigError("No chosen video has a label with times.", where=root, cure=cure)
    index_of = {name: index for index, name in enumerate(behaviours)}
    targets = [slice_labels(video, labels[video.video_id], index_of) for video in labelled]
    groups = [source_of.get(video.video_id, video.video_id) for video in labelled]
    figures = leave_sources_out(labelled, targets, groups, behaviours)
    recogniser = fit_recogniser(labelled, targets, groups, behaviours)
    found: dict[str, Any] = {"where": config.where, "videos": len(labelled), "left_out": figures.to_json()}
    return Fitted(config.segmentation, config.kind, model.version, recogniser, found)


def _add_missing(
    root: str, fitted: Fitted, videos: Sequence[VideoSlices], *, run_key: str, ds: date, on_progress: OnProgress
) -> tuple[int, int]:
    done = segmented(root, fitted)
    missing = [video for video in videos if (video.video_id, video.version) not in done]
    num_rows = 0
    for start in range(0, len(missing), _VIDEOS_A_COMMIT):
        some = missing[start : start + _VIDEOS_A_COMMIT]
        found = [(video, fitted.learned.segments(video)) for video in some]
        num_rows += add_segments(root, fitted, found, run_key=run_key, ds=ds)
        on_progress(Progress("segment", start + len(some), len(missing)))
    return num_rows, len(missing)
