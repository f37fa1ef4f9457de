"""A trained head in words."""

from collections.abc import Mapping, Sequence
from typing import Any


def page(reference: object, description: Mapping[str, Any], report: str, remarks: Sequence[str]) -> str:
    """What a training found.

    Args:
        reference: Name and version of the head.
        description: As head.json has it.
        report: Class by class, as text.
        remarks: What the reader must know beside the figures, a sentence each.
    """
    model, num_classes = description["model"]["version"], len(description["classes"])
    learned = f"{description['num_videos']} videos of {description['num_sources']} sources"
    lines = [
        f"head {reference}, {description['kind']}, on vectors of model {model}: {num_classes} classes, {learned}",
        _figures(description["metrics"], description["split"].get("column")),
        "",
        report.rstrip(),
        "",
        "--unknown-below  kept     right of those (videos held out by source)",
        *(_threshold(one) for one in description["thresholds"]),
        *(["", *remarks] if remarks else []),
    ]
    return "\n".join(lines)


def _figures(metrics: Mapping[str, Any], split: str | None) -> str:
    accuracy = metrics["accuracy"]
    low, high = (percent(share) for share in accuracy["ci95"])
    how = f"test side of {split}" if split else f"cross-validation, {len(accuracy['folds'])} parts of whole sources"
    spread = "" if split else f" (sd over parts {percent(accuracy['sd'])})"
    return (
        f"{how}, {metrics['num_tested']} videos: accuracy {percent(accuracy['mean'])} %{spread}, 95 % interval by "
        f"source {low} to {high}; macro F1 {percent(metrics['macro_f1'])}; calibration error {percent(metrics['ece'])}"
    )


def _threshold(one: Mapping[str, Any]) -> str:
    right = "none" if one["accuracy"] is None else f"{percent(one['accuracy'])} %"
    kept = f"{percent(one['kept'])} %"
    return f"{one['unknown_below']:<17.2f}{kept:<9}{right}"


def percent(share: float) -> str:
    """A share in percent, one digit after the point."""
    return f"{100 * share:.1f}"
