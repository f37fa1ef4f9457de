"""Behaviours of long videos, from the sequence of their slices' vectors.

sora behaviour segment   --root ROOT           cut videos into behaviours, with labels or without: table `segments`
sora behaviour profile   --root ROOT           shares of time, bouts and transitions of videos and groups
sora behaviour anomaly   --normal N --test T   how unlike normal footage each slice is; frame AUC with ground truth
sora behaviour binary    VIDEOS --labels CSV   two behaviours of clips told apart, whole sources left out

What it must not be used for: docs/behaviour.md.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jobs import behaviour_text as text
from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.tasks.behaviour.config import AnomalyConfig, BinaryConfig, ProfileConfig, SegmentConfig


def segment(job: Job[SegmentConfig]) -> int:
    """Cut videos into behaviours, and say what was found."""
    from pipeline.tasks.behaviour.segment_files import write_segments
    from pipeline.tasks.behaviour.segmentation import segment as run_segment

    config = job.config
    selection = {"segmentation": config.segmentation, "model": config.model, "where": config.where}
    root = storage.normalize(config.root)
    with runs.recorded(root, "behaviour segment", config, ds=job.ds, selection=selection) as record:
        done = run_segment(config, run_key=record.run_key, ds=job.ds, on_progress=job.console.on_progress)
        record.counts = {"videos": done.num_videos_added, "segments": done.num_added}
    fields = {**done.to_json(), "run_key": record.run_key}
    lines = text.segment_lines(fields)
    if config.output is not None:
        num_pictures = write_segments(config.output, done, max_pictures=config.max_pictures)
        lines.append(f"segments.json and {num_pictures} of {len(done.videos)} timelines in {config.output}")
    return job.give(Answer(fields, "\n".join(lines)))


def profile(job: Job[ProfileConfig]) -> int:
    """Sum up a segmentation by group."""
    from pipeline.tasks.behaviour.profiles import profiles

    fields = profiles(job.config).to_json()
    if job.config.output is not None:
        uri = storage.join(storage.normalize(job.config.output), "profile.json")
        storage.put(uri, json.dumps(fields, indent=1).encode())
    return job.give(Answer(fields, "\n".join(text.profile_lines(fields))))


def anomaly(job: Job[AnomalyConfig]) -> int:
    """Score the test folder by what the normal folder shows."""
    from jobs.behaviour_folders import give_vectors_for_anomalies, root_of
    from pipeline.tasks.behaviour.anomalies import find_anomalies
    from pipeline.tasks.behaviour.anomaly_files import anomalies_json, write_anomalies
    from pipeline.tasks.behaviour.ground_truth import read_intervals

    config, truth = job.config, None
    if config.ground_truth is not None:  # before any long work
        truth = read_intervals(config.ground_truth, corpus=storage.normalize(config.test))
    with root_of(config) as root:
        is_trained = give_vectors_for_anomalies(job, config, root)
        selection = {"normal": config.normal, "test": config.test, "model": config.model}
        with runs.recorded(root, "behaviour anomaly", config, ds=job.ds, selection=selection) as record:
            workers = os.cpu_count() or 1
            found = find_anomalies(config, root, truth, num_workers=workers, on_progress=job.console.on_progress)
            record.counts = {"normal_videos": len(found.normal.videos), "test_videos": len(found.test.videos)}
    fields = {**anomalies_json(found), "trained": is_trained}
    lines = text.anomaly_lines(fields)
    if config.output is not None:
        num_pictures = write_anomalies(config.output, found, max_pictures=config.max_pictures)
        lines.append(f"anomalies.json, scores.csv and {num_pictures} timelines in {config.output}")
    code = job.exit_code(found.test.num_failed, len(found.test.videos) + found.test.num_failed)
    return job.give(Answer(fields, "\n".join(lines), code))


def binary(job: Job[BinaryConfig]) -> int:
    """Tell two behaviours of clips apart, whole sources left out."""
    from jobs.behaviour_folders import give_vectors_for_clips
    from pipeline.tasks.behaviour.binary import binary as run_binary, read_clips

    config = job.config
    root, corpus = storage.normalize(config.root), storage.normalize(config.videos)
    clips = read_clips(config.labels, corpus=corpus, group_column=config.group_column)  # before any long work
    give_vectors_for_clips(job, config, root)
    selection = {"videos": config.videos, "labels": config.labels, "model": config.model}
    with runs.recorded(root, "behaviour binary", config, ds=job.ds, selection=selection) as record:
        found = run_binary(root, config.model, corpus, clips)
        num_judged = sum(found.num_clips.values())
        record.counts = {"videos": num_judged, "folds": len(found.folds)}
    fields, num_failed = found.to_json(), len(found.without)
    code = job.exit_code(num_failed, num_judged + num_failed)
    return job.give(Answer(fields, "\n".join(text.binary_lines(fields)), code))


_COMMANDS: dict[str, tuple[type, Callable[[Job[Any]], int]]] = {
    "segment": (SegmentConfig, segment),
    "profile": (ProfileConfig, profile),
    "anomaly": (AnomalyConfig, anomaly),
    "binary": (BinaryConfig, binary),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in _COMMANDS:
        print(f"sora behaviour: there is no {name!r}; one of {', '.join(_COMMANDS)}\n\n{__doc__}", file=sys.stderr)
        return 2
    return shell_main(f"behaviour {name}", str(__doc__), *_COMMANDS[name], arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
