"""Behaviours of long videos, from the sequence of their slices' vectors.

sora behaviour segment   --root ROOT           cut videos into behaviours, with labels or without: table `segments`
sora behaviour profile   --root ROOT           shares of time, bouts and transitions of videos and groups
sora behaviour anomaly   --normal N --test T   how unlike normal footage each slice is; frame AUC with ground truth
sora behaviour binary    VIDEOS --labels CSV   two behaviours of clips told apart, whole sources left out

What it must not be used for: docs/behaviour.md.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.tasks.behaviour.config import ProfileConfig, SegmentConfig


def segment(job: Job[SegmentConfig]) -> int:
    """Cut videos into behaviours, and say what was found."""
    from pipeline.tasks.behaviour.segment_files import write_segments
    from pipeline.tasks.behaviour.segmentation import segment as run_segment

    config = job.config
    root = storage.normalize(config.root)
    selection = {"segmentation": config.segmentation, "model": config.model, "where": config.where}
    with runs.recorded(root, "behaviour segment", config, ds=job.ds, selection=selection) as record:
        done = run_segment(config, run_key=record.run_key, ds=job.ds, on_progress=job.console.on_progress)
        record.counts = {"videos": done.num_videos_added, "segments": done.num_added}
    fitted, found = done.fitted, dict(done.fitted.found)
    text = (
        f"{fitted.segmentation} {fitted.digest}, model {fitted.model_version}, "
        f"{'learned now' if done.is_new else 'learned before'}: {len(fitted.learned.behaviours)} behaviours; "
        f"{done.num_videos_added} videos segmented, {done.num_added} segments added; "
        f"{len(done.videos) - done.num_videos_added} videos were done before"
    )
    if "left_out" in found:
        figures = found["left_out"]
        lines = [(name, figures[name]) for name in ("figures", "unsmoothed", "baseline")]
        rows = [f"{name:<12}accuracy {one['accuracy']:.3f}  " + _shown(one["f1"]) for name, one in lines]
        text += "\n" + "\n".join([f"each of {figures['num_sources']} sources by the others:", *rows])
    fields = {"segmentation": fitted.segmentation, "digest": fitted.digest, "kind": fitted.kind}
    fields |= {"model_version": fitted.model_version, "is_new": done.is_new, "names": done.names, **found}
    fields |= {"videos_added": done.num_videos_added, "segments_added": done.num_added}
    fields |= {"already_done": len(done.videos) - done.num_videos_added, "run_key": record.run_key}
    if config.output is not None:
        num_pictures = write_segments(config.output, done, max_pictures=config.max_pictures)
        text += f"\nsegments.json and {num_pictures} of {len(done.videos)} timelines in {config.output}"
    return job.give(Answer(fields, text))


def profile(job: Job[ProfileConfig]) -> int:
    """Sum up a segmentation by group."""
    from pipeline.tasks.behaviour.profiles import profiles

    fields = profiles(job.config).to_json()
    if job.config.output is not None:
        uri = storage.join(storage.normalize(job.config.output), "profile.json")
        storage.put(uri, json.dumps(fields, indent=1).encode())
    lines = []
    for name, group in fields["groups"].items():
        lines.append(f"{name}: {group['videos']} videos, {group['total_s']:.1f} s")
        lines += [f"  {'behaviour':<24}{'share':>8}{'bouts':>8}{'mean s':>9}"]
        for behaviour, one in group["behaviours"].items():
            lines.append(f"  {behaviour:<24}{one['share']:>8.1%}{one['bouts']:>8}{one['mean_bout_s']:>9.2f}")
    if fields["without_segments"]:
        lines.append(f"{fields['without_segments']} chosen videos have no segments: run `sora behaviour segment`")
    return job.give(Answer(fields, "\n".join(lines)))


def _shown(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in figures.items())


_COMMANDS: dict[str, tuple[type, Callable[[Job[Any]], int]]] = {
    "segment": (SegmentConfig, segment),
    "profile": (ProfileConfig, profile),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in _COMMANDS:
        is_help = arguments[:1] in (["-h"], ["--help"])
        print(
            __doc__ if is_help else f"sora behaviour: one of {', '.join(_COMMANDS)}\n\n{__doc__}",
            file=sys.stdout if is_help else sys.stderr,
        )
        return 0 if is_help else 2
    config_type, run = _COMMANDS[arguments[0]]
    return shell_main(f"behaviour {arguments[0]}", __doc__ or "", config_type, run, arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
