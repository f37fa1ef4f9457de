"""What a reader finds in a peer's output, and how it differs from the rows that a run without faults gives."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.faults.snapshot import ClipKey
from benchmarks.peers.job import TABLE, catalog_options
from pipeline import tables

KEY = ["video_id", "version", "clip_index"]


@dataclass(frozen=True)
class State:
    """An output compared with the reference, by key.

    missing: Keys of the reference that are not there.
    doubled: Rows beyond the first of their key.
    foreign: Keys that the reference does not have.
    cut_videos: Videos with some of their keys, not all.
    unreadable_files: Parquet files without an end, on which a reader of the folder stops.
    """

    missing: int
    doubled: int
    foreign: int
    cut_videos: int
    unreadable_files: int

    @property
    def is_exact(self) -> bool:
        return self == State(0, 0, 0, 0, 0)


def state(expected: Collection[ClipKey], found: Sequence[ClipKey], *, unreadable_files: int = 0) -> State:
    """Compare by key set, never by count."""
    wanted, got = set(expected), set(found)
    return State(
        missing=len(wanted - got),
        doubled=sum(count - 1 for count in Counter(found).values()),
        foreign=len(got - wanted),
        cut_videos=sum(0 < len(keys & got) < len(keys) for keys in _by_video(wanted).values()),
        unreadable_files=unreadable_files,
    )


def parquet_state(folder: Path, expected: Collection[ClipKey]) -> State:
    """The state of a folder of Parquet files; what cannot be read is counted and left out."""
    keys: list[ClipKey] = []
    num_unreadable = 0
    for path in sorted(folder.rglob("*.parquet")):
        try:
            keys += _keys(pq.read_table(path, columns=KEY))
        except pa.ArrowInvalid:
            num_unreadable += 1
    return state(expected, keys, unreadable_files=num_unreadable)


def iceberg_state(work: Path, expected: Collection[ClipKey]) -> State:
    """The state of the Iceberg table below a work folder; needs pyiceberg."""
    from pyiceberg.catalog import load_catalog  # type: ignore[import-not-found]  # see peers/proof.py

    catalog = load_catalog(**catalog_options(work))
    if not catalog.table_exists(TABLE):
        return state(expected, [])
    return state(expected, _keys(catalog.load_table(TABLE).scan(selected_fields=tuple(KEY)).to_arrow()))


def sora_state(root: str, expected: Collection[ClipKey]) -> State:
    """The state of a root's `features`."""
    return state(expected, _keys(tables.read(root, "features", KEY)))


def _keys(rows: pa.Table) -> list[ClipKey]:
    return list(zip(*(rows[name].to_pylist() for name in KEY), strict=True))


def _by_video(keys: Collection[ClipKey]) -> dict[str, set[ClipKey]]:
    videos: dict[str, set[ClipKey]] = defaultdict(set)
    for key in keys:
        videos[key[0]].add(key)
    return videos
