"""The vectors of one model as a search reads them: one state of `features`, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from numpy.typing import NDArray

from pipeline import datafiles, tables
from pipeline.errors import TableError
from pipeline.registry import ModelReference
from pipeline.tasks.exact import DICTIONARY, Batch, read_batches
from pipeline.tasks.gallery import Gallery, read_gallery


@dataclass(frozen=True)
class Source:
    """One state of `features` under one model.

    Args:
        root: The root's URI, normalized.
        model: Whose vectors.
        gallery: The live videos.
        fragments: The files with the model's rows.
        version: Of the table.
        num_rows: Rows under the model, those of videos that are gone included.
        dim: D.
    """

    root: str
    model: ModelReference
    gallery: Gallery
    fragments: tuple[pads.Fragment, ...]
    schema: pa.Schema
    version: int
    num_rows: int
    dim: int

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.root}, model {self.model.version}"

    def batches(self, gallery: Gallery | None = None, fragments: tuple[pads.Fragment, ...] | None = None) -> Iterator[Batch]:
        """The rows of the videos wanted in a gallery; of all live ones, and in all files, where none is given."""
        chosen = self._dataset(self.fragments if fragments is None else fragments)
        return read_batches(chosen, gallery or self.gallery, dim=self.dim, where=self.where)

    def having(self) -> list[NDArray[np.bool_]]:
        """Of each file, which of the gallery's videos have rows in it, bool (V,)."""
        found = []
        for fragment in self.fragments:
            there = np.zeros(len(self.gallery.videos), np.bool_)
            for batch in self._dataset((fragment,)).to_batches(columns=list(DICTIONARY)):
                numbers = self.gallery.numbers(batch["video_id"], batch["version"])
                there[numbers[numbers >= 0]] = True
            found.append(there)
        return found

    def _dataset(self, fragments: tuple[pads.Fragment, ...]) -> pads.Dataset:
        return pads.FileSystemDataset(list(fragments), self.schema, pads.ParquetFileFormat(), fragments[0].filesystem)


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
    dataset = datafiles.dataset(root, "features", table, dictionary=DICTIONARY)
    fragments = tuple(dataset.get_fragments(pc.field("model_version") == model.version))
    num_rows = sum(fragment.count_rows() for fragment in fragments)
    if not num_rows:
        cure = f"run `sora extract --root {root} --model {model.version}`"
        raise TableError("The table has no vector of this model.", where=f"{root}, model {model.version}", cure=cure)
    first = fragments[0].head(1, columns=["embedding"])
    dim = len(first["embedding"][0])
    return Source(root, model, gallery, fragments, dataset.schema, table.version(), num_rows, dim)
