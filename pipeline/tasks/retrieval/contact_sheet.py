"""The answer to a search as pictures: the query, and its hits in four columns, the best first. PNG or one HTML file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import jinja2
from PIL import Image, ImageDraw, ImageFont

from pipeline import storage
from pipeline.decode.moment import Moment
from pipeline.errors import ConfigError
from pipeline.tasks.retrieval.search import Found
from pipeline.tasks.retrieval.thumbnails import Thumbnail, thumbnails

SUFFIXES = (".png", ".html")
COLUMNS = 4
_WIDTH_PX, _HEIGHT_PX = 288, 192  # of a picture
_GAP_PX, _LINE_PX, _TEXT_PX = 16, 19, 14
_QUERY = "query"
_PAGE, _TILE, _INK, _FAINT, _ACCENT = "#ffffff", "#d9dce1", "#1b1f24", "#5b6470", "#0072b2"


@dataclass(frozen=True)
class Tile:
    """One picture and what is said of it.

    Args:
        heading: Its place and similarity, or that it is the query.
        name: The file's name.
        times: start and end.
        uri: Of the video.
        thumbnail: The picture in the middle of these times.
    """

    heading: str
    name: str
    times: str
    uri: str
    thumbnail: Thumbnail


def write_contact_sheet(found: Found, path: str) -> None:
    """Decode a picture of the query and of each hit, and lay them out.

    Args:
        found: What a search has found.
        path: Where to: FILE.png or FILE.html.
    Raises:
        ConfigError: another kind of file is asked for, or it cannot be written.
    """
    require_kind(path)
    tiles = sheet_tiles(found)
    data = _png(tiles, found) if path.lower().endswith(".png") else _html(tiles, found).encode()
    try:
        storage.put(storage.normalize(path), data)
    except OSError as e:
        raise ConfigError("The contact sheet cannot be written.", where=path, got=e) from e


def require_kind(path: str) -> None:
    """Raises ConfigError where the name says no kind that can be made."""
    if not path.lower().endswith(SUFFIXES):
        expected = "FILE.png or FILE.html"
        raise ConfigError("A contact sheet of this kind cannot be made.", where=path, expected=expected)


def sheet_tiles(found: Found) -> list[Tile]:
    """The query, where it is of a video, and every hit."""
    query, hits = found.query, found.hits.to_pylist()
    shown = [(_QUERY, query.uri, query.start_s, query.end_s)] if query.uri else []
    shown += [(f"{hit['rank']}   {hit['similarity']:.3f}", hit["uri"], hit["start_s"], hit["end_s"]) for hit in hits]
    moments = [Moment(uri, (start_s + end_s) / 2) for _, uri, start_s, end_s in shown]
    pictures = thumbnails(moments, width_px=_WIDTH_PX, height_px=_HEIGHT_PX)
    return [
        Tile(heading, uri.rsplit("/", 1)[-1], f"{clock(start_s)} to {clock(end_s)}", uri, picture)
        for (heading, uri, start_s, end_s), picture in zip(shown, pictures, strict=True)
    ]


def clock(time_s: float) -> str:
    """Seconds as 1:02:03.4, or 2:03.4 within the first hour."""
    minutes, seconds = divmod(round(time_s, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def _png(tiles: list[Tile], found: Found) -> bytes:
    """The sheet on white, as wide as its columns."""
    tile_px = (_WIDTH_PX + _GAP_PX, _HEIGHT_PX + 3 * _LINE_PX + _GAP_PX)
    num_rows = -(-len(tiles) // COLUMNS)
    head_px = 2 * _LINE_PX + _GAP_PX
    sheet = Image.new("RGB", (COLUMNS * tile_px[0] + _GAP_PX, head_px + num_rows * tile_px[1] + _GAP_PX), _PAGE)
    draw = ImageDraw.Draw(sheet)
    _text(draw, (_GAP_PX, _GAP_PX), _title(found), _INK, _TEXT_PX + 2, COLUMNS * _WIDTH_PX)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        _draw_tile(sheet, draw, tile, (_GAP_PX + column * tile_px[0], head_px + _GAP_PX + row * tile_px[1]))
    data = io.BytesIO()
    sheet.save(data, "PNG", optimize=True)
    return data.getvalue()


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, place: tuple[int, int]) -> None:
    x, y = place
    draw.rectangle((x, y, x + _WIDTH_PX - 1, y + _HEIGHT_PX - 1), fill=_TILE)
    picture = tile.thumbnail.picture
    if picture:
        sheet.paste(picture, (x + (_WIDTH_PX - picture.width) // 2, y + (_HEIGHT_PX - picture.height) // 2))
    if tile.heading == _QUERY:
        draw.rectangle((x - 3, y - 3, x + _WIDTH_PX + 2, y + _HEIGHT_PX + 2), outline=_ACCENT, width=3)
    for number, line in enumerate(_wrapped(tile.thumbnail.reason or "")):
        _text(draw, (x + _GAP_PX, y + _GAP_PX + number * _LINE_PX), line, _INK, _TEXT_PX)
    below = y + _HEIGHT_PX + 5
    for number, (line, colour) in enumerate(((tile.heading, _INK), (tile.name, _INK), (tile.times, _FAINT))):
        _text(draw, (x, below + number * _LINE_PX), line, colour, _TEXT_PX)


def _text(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], line: str, colour: str, size_px: int, width_px: int = _WIDTH_PX
) -> None:
    font = ImageFont.load_default(size_px)
    shown = line
    while shown and draw.textlength(shown, font=font) > width_px:
        shown = shown.removesuffix("…")[:-1] + "…"
    draw.text(place, shown, fill=colour, font=font)


def _wrapped(text: str, width: int = 32) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _title(found: Found) -> str:
    what = {"clip": "clip", "video": "video", "file": "new file", "vectors": "vector"}[found.query.kind]
    name = (found.query.uri or "").rsplit("/", 1)[-1]
    return f"{found.hits.num_rows} nearest to the {what} {name}, model {found.model.version}".replace("  ", " ")


def _html(tiles: list[Tile], found: Found) -> str:
    """One file: pictures inside, no script, nothing fetched."""
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_PAGE_TEMPLATE)
    sources = [_data_uri(tile.thumbnail.picture) if tile.thumbnail.picture else None for tile in tiles]
    return page.render(title=_title(found), how=found.how, tiles=list(zip(tiles, sources, strict=True)))


def _data_uri(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


_PAGE_TEMPLATE = (Path(__file__).parent / "contact_sheet.html").read_text()
