"""What a root holds after a run, and how it differs, key by key, from what the same run without faults gave."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline import tables

ClipKey = tuple[str, str, int]  # video_id, version, clip_index
MAX_DIFFERENCE = 1e-6  # of an embedding's element: another batch adds up in another order
_PARTIAL = "partial"


@dataclass(frozen=True)
class Snapshot:
    """Vectors and failures of a root.

    failures: (video_id, class) of the newest attempt of every video that has no vectors.
    partial: Videos that were cut short and say so.
    """

    vectors: Mapping[ClipKey, NDArray[np.float32]]
    num_repeated_vectors: int
    failures: frozenset[tuple[str, str]]
    num_repeated_attempts: int
    partial: frozenset[str]


@dataclass(frozen=True)
class Difference:
    """How a root differs from the reference; all zero where it is exact.

    missing, duplicates: rows of `features` and videos of `failures`.
    foreign: rows the reference does not have.
    changed: rows whose embedding differs by more than MAX_DIFFERENCE.
    partial_unsaid: videos with slices kept whose `partial` row of `failures` was lost.
    """

    missing: int
    duplicates: int
    foreign: int
    changed: int
    partial_unsaid: int

    @property
    def is_exact(self) -> bool:
        return not any(asdict(self).values())


def snapshot(root: str) -> Snapshot:
    """Read `features` and `failures` of a root."""
    rows = tables.read(root, "features", ["video_id", "version", "clip_index", "embedding"])
    columns = [rows[name].to_pylist() for name in ("video_id", "version", "clip_index")]
    keys: list[ClipKey] = list(zip(*columns, strict=True))
    vectors = [np.asarray(vector.values.to_numpy(), np.float32) for vector in rows["embedding"]]
    failed = tables.read(root, "failures").to_pylist()
    failed = [row for row in failed if row["stage"] == "decode"]
    attempts = [(row["video_id"], row["version"], row["attempts"], row["error_class"]) for row in failed]
    newest = {row["video_id"]: row["error_class"] for row in sorted(failed, key=lambda row: row["attempts"])}
    with_vectors = {key[0] for key in keys}
    return Snapshot(
        vectors=dict(zip(keys, vectors, strict=True)),
        num_repeated_vectors=_num_repeated(keys),
        failures=frozenset((video, why) for video, why in newest.items() if video not in with_vectors),
        num_repeated_attempts=_num_repeated(attempts),
        partial=frozenset(row["video_id"] for row in failed if row["error_class"] == _PARTIAL),
    )


def difference(reference: Snapshot, found: Snapshot) -> Difference:
    """Compare by key set, never by count."""
    expected, got = reference.vectors, found.vectors
    common = expected.keys() & got.keys()
    return Difference(
        missing=len(expected.keys() - got.keys()) + len(reference.failures - found.failures),
        duplicates=found.num_repeated_vectors + found.num_repeated_attempts,
        foreign=len(got.keys() - expected.keys()) + len(found.failures - reference.failures),
        changed=sum(not _is_same(expected[key], got[key]) for key in common),
        partial_unsaid=len(reference.partial - found.partial),
    )


def awaits_retry(reference: Snapshot, found: Snapshot) -> bool:
    """Whether only another run can bring what is missing: a decoder was killed, and its video is due for a retry."""
    lost = {key[0] for key in reference.vectors.keys() - found.vectors.keys()} | {v for v, _ in reference.failures}
    passing = {"crashed", "out_of_memory", "timeout", "io_error"}
    return any(video in lost and why in passing for video, why in found.failures)


def _num_repeated(keys: Iterable[tuple[object, ...]]) -> int:
    return sum(count - 1 for count in Counter(keys).values())


def _is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= MAX_DIFFERENCE)
