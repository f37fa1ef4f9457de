"""A root -> its page: what is gathered, in which order, and what is said where something is not there.

tables --facts--> sums                      vectors --neighbours, planar--> rows and points
videos --frames--> pictures                 model --rebuilt--> clips beside their reconstruction
MLflow, spool --curves--> curves            evaluations --evaluated--> figures, confusion matrix
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from pipeline import registry, storage
from pipeline.decode.moment import Moment
from pipeline.errors import TableError
from pipeline.progress import Watcher
from pipeline.report.page import album, facts
from pipeline.report.page.album import Known, tile
from pipeline.report.page.charts import Chart, bars, histogram, moments
from pipeline.report.page.config import ReportConfig
from pipeline.report.page.content import Near, NeighbourRow, Page, VectorsPart
from pipeline.report.page.frames import Frame, frames
from pipeline.report.page.modelling import NO_MODEL, model_part
from pipeline.report.page.neighbours import Query, queries
from pipeline.report.page.planar import Plane, plane
from pipeline.report.page.vectors import Vectors, read_vectors, uris
from pipeline.report.status import status
from pipeline.tasks import query

MAP_PICTURES = 300  # of the map's points


@dataclass(frozen=True)
class _Drawn:
    """What is shown of the vectors, before there are pictures."""

    vectors: Vectors | None
    queries: Sequence[Query] = ()
    plane: Plane | None = None
    uris: Sequence[str] = ()  # of the points
    reason: str = ""

    def query_moments(self) -> list[Moment]:
        """The frames of queries and neighbours: the first of each slice."""
        return [moment for one in self.queries for row in _rows(one) if (moment := self.moment(row))]

    def moment(self, row: int) -> Moment:
        assert self.vectors is not None
        rows = self.vectors.slices.rows
        return Moment(str(rows["uri"][row].as_py()), float(rows["start_s"][row].as_py()))


def build(config: ReportConfig, *, watcher: Watcher) -> Page:
    """Gather a page.

    Args:
        config: Which root, which model, how long to decode pictures.
        watcher: Told what happens now, and how far the pictures are.
    Raises:
        CheckpointError: the model reference leads nowhere.
        TableError: the root has no tables.
    """
    started_s = time.monotonic()
    root = storage.normalize(config.root)
    connection = query.connect(root)
    state = status(root)
    model = registry.find(root, config.model)
    watcher.note("reading vectors")
    drawn = _drawn(connection, root, config.model, model)
    shown = album.gallery(connection)
    videos = album.known(connection, [*shown, *drawn.uris, *(one.uri for one in drawn.query_moments())])
    gallery = [album.moment(uri, videos) for uri in shown]
    points = [album.moment(uri, videos) for uri in drawn.uris]
    wanted = [*drawn.query_moments(), *gallery, *points[:MAP_PICTURES]]
    limit_s = config.picture_seconds
    found = frames(wanted, album.sizes(videos), limit_s=limit_s, on_progress=watcher.on_progress)
    watcher.note("running the model on a few clips")
    of_model = model_part(root, model, drawn.vectors.slices if drawn.vectors else None)
    corpus, nights = facts.corpus(connection), facts.nights(connection)
    return Page(
        root=root,
        name=root.rpartition("/")[2],
        made_at=datetime.now(UTC),
        status=state,
        corpus=corpus,
        corpus_charts=[] if corpus.durations is None else [histogram("Durations", corpus.durations, unit="s")],
        gallery=[tile(moment, videos, found) for moment in gallery],
        vectors=_vectors_part(drawn, points, videos, found),
        model=of_model,
        failures=facts.failures(connection, dict(state.failures_by_class)),
        nights=nights,
        runs=facts.last_runs(connection),
        run_charts=_run_charts(nights, connection),
        build_s=time.monotonic() - started_s,
    )


def _drawn(
    connection: duckdb.DuckDBPyConnection, root: str, reference: str, model: registry.ModelReference | None
) -> _Drawn:
    if model is None:
        return _Drawn(None, reason=NO_MODEL)
    try:
        vectors = read_vectors(connection, root, reference)
    except TableError as e:
        return _Drawn(None, reason=f"{e.what} {str(e.cure).capitalize()}.")
    found = plane(vectors.means, vectors.labels)
    of_videos = uris(vectors)
    return _Drawn(vectors, queries(vectors), found, [of_videos[video] for video in found.videos])


def _vectors_part(
    drawn: _Drawn, points: Sequence[Moment], videos: Mapping[str, Known], found: Mapping[Moment, Frame]
) -> VectorsPart:
    if drawn.vectors is None:
        return VectorsPart(reason=drawn.reason)
    tiles = [tile(moment, videos, found) for moment in points]
    return VectorsPart(
        num_slices=drawn.vectors.num_slices,
        num_read=len(drawn.vectors.slices.vectors),
        num_videos=drawn.vectors.num_videos,
        rows=[_neighbour_row(drawn, one, videos, found) for one in drawn.queries],
        plane=drawn.plane,
        tiles=tiles,
        num_pictured=sum(bool(one.source) for one in tiles),
    )


def _neighbour_row(
    drawn: _Drawn, one: Query, videos: Mapping[str, Known], found: Mapping[Moment, Frame]
) -> NeighbourRow:
    near = [Near(tile(drawn.moment(each.row), videos, found), each.similarity) for each in one.neighbours]
    return NeighbourRow(tile(drawn.moment(one.row), videos, found), one.is_drawn, near)


def _rows(one: Query) -> list[int]:
    return [one.row, *(each.row for each in one.neighbours)]


def _run_charts(nights: Sequence[facts.Night], connection: duckdb.DuckDBPyConnection) -> list[Chart]:
    charts = []
    if nights:
        days = [night.ds for night in nights]
        charts.append(bars("Vectors a night", days, [night.vectors for night in nights], unit="vectors"))
        charts.append(bars("Failures a night", days, [night.failures for night in nights], unit="failures"))
    rates = facts.rates(connection)
    if rates:
        times, values = [at for at, _ in rates], [rate for _, rate in rates]
        charts.append(moments("Clips a second", times, values, unit="clips/s"))
    return charts
