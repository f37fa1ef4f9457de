"""Small charts as inline SVG: drawn by matplotlib, coloured by the page, so that they follow light and dark.

Every colour is drawn as a key of _PAINT and becomes a CSS variable. Text stays text and takes the page's font.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from markupsafe import Markup

from pipeline.report.page.histogram import Histogram

_INK, _RULE, _FIRST, _SECOND, _PAPER = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
_PAINT = {_PAPER: "var(--paper)", _INK: "var(--muted)", _RULE: "var(--line)", _FIRST: "var(--c1)", _SECOND: "var(--c2)"}
_WIDTH_IN, _HEIGHT_IN = 3.6, 1.9  # drawn about as wide as it is shown: text keeps its size on a phone
_TEXT_PT = 8.0
_LEAST_DAYS = 14  # a lone night is a bar, not a wall
# What matplotlib writes for files of their own: namespaces, sizes, fonts, names of parts, empty groups.
_COMPACT = (
    (r"<metadata>.*?</metadata>|<style.*?</style>", ""),
    (r' xmlns(:xlink)?="[^"]*"| (?:width|height)="[\d.]+pt"| version="[\d.]+"', ""),
    (r" ?font-family: [^;\"]*;", ""),
    (r' id="(axes|figure|patch|line2d|text|xtick|ytick|matplotlib|PolyCollection)[\w.]*"', ""),
    (r' transform="rotate\(-0 [^"]*"', ""),
    (r"\s*\n\s*", " "),
    (r"(<g> <g ?/> </g>|<g ?/>|<defs> </defs>) ?", ""),
)


@dataclass(frozen=True)
class Chart:
    """A picture of numbers, and the same numbers as a table.

    Args:
        title: What is shown.
        svg: Inline SVG without text from outside.
        alt: What one sees, in a sentence.
        columns, rows: The table.
        keys: Names of the first and second line.
    """

    title: str
    svg: Markup
    alt: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    keys: Sequence[str] = ()


def histogram(title: str, found: Histogram, *, unit: str) -> Chart:
    """Bars over the bins."""
    figure, axis = _figure()
    widths = [high - low for low, high in zip(found.edges, found.edges[1:], strict=False)]
    if found.edges[0] == found.edges[-1]:
        widths = [max(abs(found.edges[0]), 1.0) * 0.1]
    axis.bar(found.edges[:-1], found.counts, width=widths, align="edge", color=_FIRST, edgecolor=_PAPER, linewidth=0.8)
    if found.is_logarithmic:
        axis.set_xscale("log")
    _finish(axis, unit=unit)
    rows = [
        (f"{low:.4g} to {high:.4g} {unit}", f"{count:,}")
        for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False)
    ]
    peak = rows[max(range(len(rows)), key=lambda index: found.counts[index])]
    alt = f"Histogram: most values lie at {peak[0]}, {peak[1]} of {sum(found.counts):,}."
    return Chart(title, _svg(figure, title), alt, (title, "videos"), rows)


def bars(title: str, days: Sequence[date], values: Sequence[int], *, unit: str) -> Chart:
    """A bar a night."""
    figure, axis = _figure()
    axis.bar(days, values, width=0.8, color=_FIRST, edgecolor="none", linewidth=0)
    _date_axis(axis, days)
    span = max((days[-1] - days[0]).days + 1, _LEAST_DAYS)
    axis.set_xlim(days[-1] - timedelta(days=span - 0.4), days[-1] + timedelta(days=0.6))
    _finish(axis)
    rows = [(f"{day}", f"{value:,}") for day, value in zip(days, values, strict=True)]
    alt = f"Bars: {len(values)} nights, {max(values, default=0):,} {unit} at most, {values[-1]:,} in the last one."
    return Chart(title, _svg(figure, title), alt, ("night", unit), rows)


def moments(title: str, times: Sequence[datetime], values: Sequence[float], *, unit: str) -> Chart:
    """A point a run, joined by a line."""
    figure, axis = _figure()
    axis.plot(times, values, color=_FIRST, linewidth=1.4, marker="o", markersize=3.2, markeredgewidth=0)
    _date_axis(axis, times)
    axis.set_ylim(bottom=0)
    _finish(axis)
    rows = [(f"{at:%Y-%m-%d %H:%M}", f"{value:.1f}") for at, value in zip(times, values, strict=True)]
    alt = f"Line: {len(values)} runs, from {min(values):.1f} to {max(values):.1f} {unit}, the last {values[-1]:.1f}."
    return Chart(title, _svg(figure, title), alt, ("run", unit), rows)


def lines(title: str, curves: Mapping[str, Sequence[tuple[int, float]]], *, step: str) -> Chart:
    """One or two curves over steps; the second one is dashed."""
    figure, axis = _figure()
    for (_, points), color, style in zip(curves.items(), (_FIRST, _SECOND), ("-", (0, (4, 2))), strict=False):
        steps, values = [at for at, _ in points], [value for _, value in points]
        marker = "o" if len(points) == 1 else None
        axis.plot(steps, values, color=color, linestyle=style, linewidth=1.5, marker=marker, markersize=3.5)
    axis.xaxis.get_major_locator().set_params(integer=True)
    _finish(axis, unit=step)
    names = list(curves)[:2]
    of_step = [dict(curves[name]) for name in names]
    steps = sorted({at for found in of_step for at in found})
    rows = [(at, *(f"{found[at]:.4g}" if at in found else "" for found in of_step)) for at in steps]
    last = ", ".join(f"{name} {curves[name][-1][1]:.4g}" for name in names)
    alt = f"Curve over {len(steps)} {step}s; at the end {last}."
    return Chart(title, _svg(figure, title), alt, (step, *names), rows, names)


def _figure() -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
    figure.patch.set_alpha(0.0)
    axis = figure.subplots()
    axis.patch.set_alpha(0.0)
    return figure, axis


def _finish(axis: Any, *, unit: str = "") -> None:
    from matplotlib.ticker import FuncFormatter

    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(_RULE)
    axis.grid(axis="y", color=_RULE, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(colors=_INK, labelsize=_TEXT_PT, length=0, pad=4, which="both")
    axis.minorticks_off()
    axis.locator_params(axis="y", nbins=4)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    if unit:
        if not hasattr(axis.xaxis.get_major_formatter(), "_locator"):
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_xlabel(unit, color=_INK, fontsize=_TEXT_PT, loc="right", labelpad=2)


def _date_axis(axis: Any, times: Sequence[date]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.xaxis.get_offset_text().set(color=_INK, fontsize=_TEXT_PT)
    if len(set(times)) == 1:  # a lone point would stand in hours
        axis.set_xticks([times[0]], [f"{times[0]:%Y-%m-%d}"])


def short(value: float) -> str:
    """A number for an axis: 1.2k, 3M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _svg(figure: Any, salt: str) -> Markup:
    """Inline SVG in the page's own colours; ids differ from chart to chart."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for pattern, replacement in _COMPACT:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    for color, paint in _PAINT.items():
        text = text.replace(color, paint)
    return Markup(text.replace("<svg", '<svg aria-hidden="true"', 1))
