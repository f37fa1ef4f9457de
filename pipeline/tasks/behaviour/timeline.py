"""A video as a picture: one lane for each behaviour, and below them what was measured, on the same axis of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.tasks.behaviour.segment import Segment
from pipeline.tasks.behaviour.video_slices import Floats, VideoSlices

# Okabe and Ito 2008: told apart with any colour vision. The yellow is left out: on white it cannot be seen.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
ALARM = ("#D55E00",)
_INK, _FAINT = "#333333", "#d9d9d9"
_LANE_INCH, _CURVE_INCH, _REST_INCH = 0.34, 0.95, 0.9
_LONGEST_NAME = 24


@dataclass(frozen=True)
class Curve:
    """Something measured of each slice: its name, and one value for each of N slices."""

    name: str
    values: Floats


def timeline_figure(
    video: VideoSlices,
    lanes: Mapping[str, Sequence[tuple[float, float]]],
    curves: Sequence[Curve],
    *,
    title: str,
    colours: Sequence[str] = COLOURS,
) -> Any:
    """A matplotlib figure.

    Args:
        video: Gives the time of each slice.
        lanes: Stretches [start_s, end_s) by the name of their lane, from top to bottom.
        curves: From top to bottom; each has a scale of its own.
        title: Above it all.
        colours: Of the lanes, in turn.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    heights = [*([_LANE_INCH * len(lanes) + 0.1] if lanes else []), *[_CURVE_INCH] * len(curves)]
    figure = Figure(figsize=(10, sum(heights) + _REST_INCH), dpi=120, layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_INK)
    if lanes:
        _draw_lanes(axes[0], lanes, colours)
    for axis, curve in zip(axes[bool(lanes) :], curves, strict=True):
        axis.stairs(curve.values, video.edges_s, color=_INK, linewidth=1.1, baseline=None)
        axis.set_ylabel(curve.name, fontsize=9, color=_INK, rotation=0, ha="right", va="center")
        axis.margins(y=0.12)
        axis.grid(axis="y", color=_FAINT, linewidth=0.6)
    for axis in axes:
        axis.tick_params(labelsize=8, colors=_INK, length=0)
        axis.set_axisbelow(True)
        for side in axis.spines.values():
            side.set_visible(False)
    axes[-1].set_xlim(video.edges_s[0], video.edges_s[-1])
    axes[-1].set_xlabel("seconds after the first frame", fontsize=9, color=_INK)
    return figure


def lanes_of(segments: Sequence[Segment], behaviours: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """The stretches of each behaviour that the video shows, in the order of behaviours."""
    present = {segment.behaviour for segment in segments}
    return {
        name: [(one.start_s, one.end_s) for one in segments if one.behaviour == name]
        for name in behaviours
        if name in present
    }


def _draw_lanes(axis: Any, lanes: Mapping[str, Sequence[tuple[float, float]]], colours: Sequence[str]) -> None:
    for place, stretches in enumerate(lanes.values()):
        axis.axhline(place, color=_FAINT, linewidth=0.6, zorder=0)
        bars = [(start, end - start) for start, end in stretches]
        axis.broken_barh(bars, (place - 0.36, 0.72), color=colours[place % len(colours)], linewidth=0, zorder=2)
    names = [name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…" for name in lanes]
    axis.set_yticks(range(len(lanes)), names)
    axis.set_ylim(len(lanes) - 0.4, -0.6)
