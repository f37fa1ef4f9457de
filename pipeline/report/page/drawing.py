"""The map as SVG: one path for each class, a mark a point, so that thousands of points are a few kilobytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.page.content import Tile
from pipeline.report.page.planar import OTHERS, Plane

WIDTH, HEIGHT, MARGIN = 1000, 640, 18
COLORS, SHAPES = 8, ("dot", "square", "triangle")


@dataclass(frozen=True)
class Mark:
    """All points of one class: a path, and how it is painted."""

    index: int
    name: str
    shape: str
    color: str
    path: str
    count: int


def places(plane: Plane) -> list[tuple[int, int]]:
    """Where the points lie in the drawing."""
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    return [(round(MARGIN + x * wide), round(MARGIN + (1 - y) * high)) for x, y in plane.points.tolist()]


def marks(plane: Plane) -> list[Mark]:
    """A mark for each class that has points; those without a label and the others come first, below the rest."""
    found: dict[int, list[tuple[int, int]]] = {}
    for place, of_class in zip(places(plane), plane.class_of, strict=True):
        found.setdefault(of_class, []).append(place)
    order = sorted(found, key=lambda of_class: (of_class not in (-1, len(plane.classes)), of_class))
    return [_mark(plane, of_class, found[of_class]) for of_class in order]


def legend(plane: Plane) -> list[Mark]:
    """The marks in the order of the legend: by frequency, all others at the end."""
    return sorted(marks(plane), key=lambda mark: mark.index if mark.index >= 0 else len(plane.classes) + 1)


def map_data(plane: Plane, tiles: Sequence[Tile]) -> dict[str, Any]:
    """What the script shows of a point; columns, since names of fields would weigh more than the values."""
    pictures = [tile.source for tile in tiles if tile.source]
    place_of = {source: index for index, source in enumerate(pictures)}
    points = places(plane)
    return {
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "name": [tile.name for tile in tiles],
        "label": [tile.label for tile in tiles],
        "group": list(plane.class_of),
        "picture": [place_of.get(tile.source, -1) for tile in tiles],
        "reason": [tile.reason for tile in tiles],
        "pictures": pictures,
    }


def _mark(plane: Plane, of_class: int, points: Sequence[tuple[int, int]]) -> Mark:
    is_named = 0 <= of_class < len(plane.classes)
    shape = SHAPES[of_class // COLORS % len(SHAPES)] if is_named else "dot"
    color = f"p{of_class % COLORS}" if is_named else "plain"
    names = {-1: "no label" if plane.classes else "videos", len(plane.classes): OTHERS}
    name = plane.classes[of_class] if is_named else names[of_class]
    return Mark(of_class, name, shape, color, "".join(_SYMBOL[shape].format(x, y) for x, y in points), len(points))


# A line of no length with round or square ends is a dot or a square as wide as the line.
_SYMBOL = {"dot": "M{0} {1}h0", "square": "M{0} {1}h0", "triangle": "M{0} {1}m0-6l6 11h-12z"}
