"""What a listing says against what the catalog knows: pure decisions."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.storage import ObjectInfo


@dataclass(frozen=True)
class Known:
    """What the catalog holds of one object."""

    version: str
    status: Literal["ok", "failed", "superseded", "vanished", "ignored"]


@dataclass(frozen=True)
class Change:
    """An object to probe, and the version it replaces, if any."""

    video_id: str
    object: ObjectInfo
    replaces: str | None


class ListingDiff:
    """Walks a listing once: what to probe comes out as it is met, what has vanished is known at the end.

    Args:
        known: video_id -> the newest thing the catalog knows of it.
        retry_failed: Probe unchanged objects again whose probe failed.
    """

    def __init__(self, known: Mapping[str, Known], *, retry_failed: bool = False):
        self._known = known
        self._retry_failed = retry_failed
        self._seen: set[str] = set()
        self.num_listed = 0
        self.num_unchanged = 0
        self.num_ignored = 0

    def changes(self, listing: Iterable[ObjectInfo]) -> Iterator[Change]:
        """The objects that are new, changed or back, in listing order."""
        for object_info in listing:
            video_id = schema.video_id(object_info.uri)
            self._seen.add(video_id)
            self.num_listed += 1
            known = self._known.get(video_id)
            if known is not None and self._is_unchanged(known, object_info):
                self.num_unchanged += known.status != "ignored"
                self.num_ignored += known.status == "ignored"
            else:
                has_row = (
                    known is not None and known.status in ("ok", "failed") and known.version != object_info.version
                )
                yield Change(video_id, object_info, known.version if known is not None and has_row else None)

    def vanished(self) -> dict[str, str]:
        """video_id -> version of what was there and was not listed; only true after the whole listing was walked."""
        return {
            video_id: known.version
            for video_id, known in self._known.items()
            if video_id not in self._seen and known.status in ("ok", "failed")
        }

    def _is_unchanged(self, known: Known, object_info: ObjectInfo) -> bool:
        if known.version != object_info.version or known.status in ("vanished", "superseded"):
            return False
        return not (known.status == "failed" and self._retry_failed)


def is_below(uri: str, folder: str) -> bool:
    """Whether `uri` is `folder` itself or an object below it."""
    return uri == folder or uri.startswith(_prefix(folder))


def are_below(uris: pa.ChunkedArray, folder: str) -> pa.ChunkedArray:
    """The same of a column of uris, as booleans."""
    return pc.or_(pc.equal(uris, folder), pc.starts_with(uris, _prefix(folder)))


def _prefix(folder: str) -> str:
    return folder.rstrip("/") + "/"
