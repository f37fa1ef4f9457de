"""Content -> one HTML file that needs nothing else: styles, script and pictures are inside.

Names of videos, labels and messages come from outside and are hostile until escaped: the template escapes everything,
JSON inside the page escapes what could end its element, and a content security policy lets no script run but ours.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.report.page.content import Page
from pipeline.report.page.drawing import legend, map_data, marks

_FOLDER = Path(__file__).parent / "templates"
_TEMPLATE, _STYLE, _SCRIPT = "page.html.jinja", "page.css", "map.js"


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "size": size, "span": span, "percent": percent}
    script = (_FOLDER / _SCRIPT).read_text()
    plane = page.vectors.plane
    drawn: dict[str, Any] = {"marks": [], "legend": [], "data": None}
    if plane is not None:
        drawn = {
            "marks": marks(plane),
            "legend": legend(plane),
            "data": map_data(plane, page.vectors.tiles),
        }
    return environment.get_template(_TEMPLATE).render(
        page=page,
        drawn=drawn,
        style=Markup((_FOLDER / _STYLE).read_text()),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def number(value: float) -> str:
    """A count with separators."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """A share in per cent, with a digit where it is small."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def size(num_bytes: float) -> str:
    """Bytes in the unit that fits."""
    value, unit = float(num_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def span(seconds: float | None) -> str:
    """A time span in the unit that fits; a dash where it is not known."""
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
