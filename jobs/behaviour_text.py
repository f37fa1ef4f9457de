"""What `sora behaviour` tells people; machines get the fields themselves."""

from collections.abc import Mapping
from typing import Any


def segment_lines(fields: Mapping[str, Any]) -> list[str]:
    """The segmentation, what was added, and how good it is on sources that were left out."""
    learned = "learned now" if fields["is_new"] else "learned before"
    lines = [
        f"{fields['segmentation']} {fields['digest']}, model {fields['model_version']}, {learned}: "
        f"{len(fields['names'])} behaviours; {fields['videos_added']} videos segmented, "
        f"{fields['segments_added']} segments added; {fields['already_done']} videos were done before"
    ]
    if "left_out" in fields:
        figures = fields["left_out"]
        lines.append(f"each of {figures['num_sources']} sources by the others, {figures['num_slices']} slices:")
        for name, title in (("figures", "smoothed"), ("unsmoothed", "unsmoothed"), ("baseline", "most frequent")):
            f1 = "  ".join(f"{overlap} {value:.3f}" for overlap, value in figures[name]["f1"].items())
            lines.append(f"  {title:<14}accuracy {figures[name]['accuracy']:.3f}  {f1}")
    return lines


def profile_lines(fields: Mapping[str, Any]) -> list[str]:
    """Shares, bouts and their lengths of each group."""
    lines = []
    for name, group in fields["groups"].items():
        lines.append(f"{name}: {group['videos']} videos, {group['total_s']:.1f} s")
        lines.append(f"  {'behaviour':<24}{'share':>8}{'bouts':>8}{'mean s':>9}")
        for behaviour, one in group["behaviours"].items():
            lines.append(f"  {behaviour:<24}{one['share']:>8.1%}{one['bouts']:>8}{one['mean_bout_s']:>9.2f}")
    if fields["without_segments"]:
        lines.append(f"{fields['without_segments']} chosen videos have no segments: run `sora behaviour segment`")
    return lines


def anomaly_lines(fields: Mapping[str, Any]) -> list[str]:
    """What could not be judged, the frame AUC, and the strangest slices."""
    lines = [f"{fields['normal_videos']} normal videos, {fields['test_videos']} judged"]
    for side in ("normal", "test"):
        without = fields[f"{side}_without_vectors"]
        lines += [f"not used: {uri} ({reason})" for uri, reason in without.items()]
    if fields["frame_auc"] is not None:
        names = ("excess", "distance", "recon_error", "motion")
        alone = ", ".join(f"{name} {fields[f'{name}_auc']:.4f}" for name in names)
        lines.append(f"frame AUC {fields['frame_auc']:.4f} over {fields['num_frames']} frames; alone: {alone}")
    lines += [f"{one['score']:8.2f}  {one['start_s']:8.2f} s  {one['uri']}" for one in fields["strangest"]]
    return lines


def binary_lines(fields: Mapping[str, Any]) -> list[str]:
    """The accuracy with its interval, each fold, and what could not be judged."""
    low, high = fields["ci95"]
    lines = [
        f"accuracy {fields['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}), balanced "
        f"{fields['balanced_accuracy']:.3f}; always the more frequent behaviour: {fields['baseline']:.3f}"
    ]
    lines += [f"  {', '.join(one['sources'])}: {one['accuracy']:.3f} of {one['num_clips']}" for one in fields["folds"]]
    return lines + [f"not judged: {uri} ({reason})" for uri, reason in fields["without"].items()]
