"""The vectors of one model as a search reads them: one state of `features`, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pipeline import datafiles, tables
from pipeline.errors import TableError
from pipeline.registry import ModelReference
from pipeline.tasks.retrieval.exact import Batch, matrix
from pipeline.tasks.retrieval.gallery import IDS, Gallery, read_gallery
from pipeline.tasks.retrieval.ranking import ROWS

BATCH_ROWS = 65_536
# 0.3 GB for a million vectors of 64 numbers, against 0.66 GB with Arrow's 16 and 4, and a fifth faster.
_READ_AHEAD = {"batch_readahead": 4, "fragment_readahead": 1}
_LOOKED_UP_ROWS = 2_000_000  # ids looked up at once: each look-up goes through the whole catalog
_THREADS = ThreadpoolController()


@dataclass(frozen=True)
class Source:
    """One state of `features` under one model. Rows are numbered through its files.

    Args:
        root: The root's URI, normalized.
        model: Whose vectors.
        gallery: The live videos.
        files: The files with the model's rows.
        columns: Of the table, IDS as dictionaries.
        sizes: Rows of each file.
        version: Of the table.
        dim: D.
    """

    root: str
    model: ModelReference
    gallery: Gallery
    files: tuple[pads.Fragment, ...]
    columns: pa.Schema
    sizes: tuple[int, ...]
    version: int
    dim: int

    @property
    def num_rows(self) -> int:
        """Rows under the model, those of videos that are gone included."""
        return sum(self.sizes)

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.root}, model {self.model.version}"

    @cached_property
    def videos(self) -> list[NDArray[np.int32]]:
        """Of each file, the video of each row, int32 (N,); -1: not live. Read once and kept, 4 bytes a row."""
        return list(self._read_videos())

    @cached_property
    def having(self) -> list[NDArray[np.bool_]]:
        """Of each file, which of the gallery's videos have rows in it, bool (V,)."""
        found = []
        for videos in self.videos:
            there = np.zeros(self.gallery.videos.num_rows, np.bool_)
            there[videos[videos >= 0]] = True
            found.append(there)
        return found

    def _read_videos(self) -> Iterator[NDArray[np.int32]]:
        group: list[int] = []
        for file in range(len(self.files)):
            group.append(file)
            sizes = [self.sizes[member] for member in group]
            if sum(sizes) >= _LOOKED_UP_ROWS or file == len(self.files) - 1:
                ids = self._dataset(group).to_table(columns=list(IDS)).unify_dictionaries().combine_chunks()
                numbers = self.gallery.numbers(ids["video_id"], ids["version"])
                yield from np.split(numbers, np.cumsum(sizes)[:-1])
                group = []

    def batches(
        self, gallery: Gallery | None = None, *, files: Sequence[int] | None = None, columns: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """Vectors of wanted videos, as they are read.

        Args:
            gallery: Which videos are wanted; None: all live ones.
            files: Which files to read; None: all.
            columns: Further columns.
        Raises:
            TableError: a vector has another length.
        """
        chosen = range(len(self.files)) if files is None else files
        wanted = gallery or self.gallery
        places = iter([(file, 0) for file in chosen if self.sizes[file]])
        file, done = next(places, (0, 0))
        starts = np.cumsum((0, *self.sizes))
        with _THREADS.limit(limits=1):
            for read in self._dataset(chosen).to_batches(
                columns=["embedding", *columns], batch_size=BATCH_ROWS, **_READ_AHEAD
            ):
                if done == self.sizes[file]:
                    file, done = next(places, (0, 0))
                place = slice(done, done + read.num_rows)
                done = place.stop
                videos, rows = self.videos[file][place], pa.table(read.select(list(columns)))
                numbers = np.arange(starts[file] + place.start, starts[file] + place.stop)
                batch = Batch(numbers, videos, matrix(read["embedding"], self.dim, self.where), rows)
                is_kept = wanted.among(videos)
                if is_kept.any():
                    yield batch if is_kept.all() else batch.take(np.flatnonzero(is_kept))

    def numbers_of_video(self, video: int) -> NDArray[np.int64]:
        """The rows of one of the gallery's videos."""
        return np.flatnonzero(np.concatenate(self.videos) == video)

    def number_of_clip(self, clip_id: str) -> int | None:
        """The row of a clip, that of a version that is not live included; None where there is none."""
        num_read = 0
        for read in self._dataset(range(len(self.files))).to_batches(columns=["clip_id"]):
            place = pc.index(read["clip_id"], clip_id).as_py()
            if place >= 0:
                return int(num_read + place)
            num_read += read.num_rows
        return None

    def rows_at(self, numbers: NDArray[np.int64], columns: Sequence[str] = tuple(ROWS.names)) -> pa.Table:
        """Columns of some rows, in the given order; unless told clip_id, start_s, end_s."""
        starts = np.cumsum((0, *self.sizes))
        of_file = np.searchsorted(starts, numbers, side="right") - 1
        wanted = pa.schema([self.columns.field(name) for name in columns])
        parts, order = [wanted.empty_table()], [np.empty(0, np.int64)]
        for file in np.unique(of_file).tolist():
            places = np.flatnonzero(of_file == file)
            places = places[np.argsort(numbers[places])]
            within = pa.array(numbers[places] - starts[file])
            parts.append(self._dataset([file]).scanner(columns=list(columns)).take(within).cast(wanted))
            order.append(places)
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order))))

    def _dataset(self, files: Sequence[int]) -> pads.Dataset:
        chosen = [self.files[file] for file in files]
        return pads.FileSystemDataset(chosen, self.columns, self.files[0].format, self.files[0].filesystem)


def open_source(root: str, model: ModelReference, gallery: Gallery | None = None) -> Source:
    """The newest state of `features`.

    Args:
        root: The root's URI, normalized.
        model: Whose vectors.
        gallery: The live videos; read where they are not given.
    Raises:
        TableError: the root has no tables, or no vectors of this model.
    """
    gallery = gallery or read_gallery(root)
    table = tables.open_table(root, "features")
    dataset = datafiles.dataset(root, "features", table, dictionary=IDS)
    files = tuple(dataset.get_fragments(pc.field("model_version") == model.version))
    sizes = tuple(int(file.count_rows()) for file in files)
    if not sum(sizes):
        cure = f"run `sora extract --root {root} --model {model.version}`"
        raise TableError("The table has no vector of this model.", where=f"{root}, model {model.version}", cure=cure)
    first = next(file for file, size in zip(files, sizes, strict=True) if size)
    return Source(root, model, gallery, files, dataset.schema, sizes, table.version(), _dim(first))


def _dim(file: pads.Fragment) -> int:
    """How many numbers a vector of a file has, by its footer: a look at one vector would read a million."""
    group = file.metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    numbers = next(column for column in columns if column.path_in_schema.startswith("embedding."))
    dim: int = round(numbers.num_values / group.num_rows)
    return dim
