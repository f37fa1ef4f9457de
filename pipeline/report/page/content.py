"""What stands on the page: everything the template needs, and nothing it must look up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.report.page.charts import Chart
from pipeline.report.page.evaluated import Evaluated
from pipeline.report.page.facts import Corpus, Failed, Night, RunRow
from pipeline.report.page.planar import Plane
from pipeline.report.status import Status


@dataclass(frozen=True)
class Tile:
    """A picture of a video with its name, or a grey tile with the reason why there is none.

    Args:
        uri: The whole uri.
        name: The end of it.
        time_s: Which frame, seconds after the first shown frame.
        label: Empty: none.
        source: A data URI; empty: there is no picture.
        reason: Why not.
        width, height: Of the picture, in px.
    """

    uri: str
    name: str
    time_s: float
    label: str
    source: str
    reason: str
    width: int
    height: int


@dataclass(frozen=True)
class Near:
    """A neighbour of a query: the cosine of their vectors."""

    tile: Tile
    similarity: float


@dataclass(frozen=True)
class NeighbourRow:
    """A query and its neighbours, the nearest first."""

    query: Tile
    is_drawn: bool
    near: Sequence[Near]


@dataclass(frozen=True)
class Pair:
    """A clip beside its reconstruction: strips of frames as data URIs, or in words why there are none."""

    name: str
    uri: str
    start_s: float
    recon_error: float
    psnr_db: float | None
    original: str
    reconstruction: str
    reason: str


@dataclass(frozen=True)
class VectorsPart:
    """What is shown of the vectors; `reason` says why there is nothing."""

    num_slices: int = 0
    num_read: int = 0
    num_videos: int = 0
    rows: Sequence[NeighbourRow] = ()
    plane: Plane | None = None
    tiles: Sequence[Tile] = ()  # of the points; as many have a picture as there was room for
    num_pictured: int = 0
    reason: str = ""


@dataclass(frozen=True)
class ModelPart:
    """What is shown of the model."""

    version: str | None
    pairs: Sequence[Pair]
    pairs_reason: str
    curves: Sequence[Chart]
    curves_source: str
    evaluated: Evaluated


@dataclass(frozen=True)
class Page:
    """All of it."""

    root: str
    name: str
    made_at: datetime
    status: Status
    corpus: Corpus
    corpus_charts: Sequence[Chart]
    gallery: Sequence[Tile]
    vectors: VectorsPart
    model: ModelPart
    failures: Sequence[Failed]
    nights: Sequence[Night]
    runs: Sequence[RunRow]
    run_charts: Sequence[Chart]
    build_s: float

    @property
    def num_pictures(self) -> int:
        """Pictures of videos on the page."""
        shown = [*self.gallery, *self.vectors.tiles]
        shown += [tile for row in self.vectors.rows for tile in (row.query, *(near.tile for near in row.near))]
        return sum(bool(tile.source) for tile in shown)
