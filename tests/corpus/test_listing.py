"""What a listing says against what is known: every case is a row."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from pipeline import schema
from pipeline.corpus.listing import Known, ListingDiff, are_below, is_below
from pipeline.storage import ObjectInfo

URI = "file:///corpus/a.mp4"
ID = schema.video_id(URI)


def found(version: str) -> ObjectInfo:
    return ObjectInfo(URI, version, 10, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("known", "retry_failed", "probed", "replaces"),
    [
        (None, False, True, None),
        (Known("1", "ok"), False, False, None),
        (Known("0", "ok"), False, True, "0"),
        (Known("1", "failed"), False, False, None),
        (Known("1", "failed"), True, True, None),
        (Known("0", "failed"), False, True, "0"),
        (Known("1", "vanished"), False, True, None),
        (Known("0", "vanished"), False, True, None),
        (Known("1", "superseded"), False, True, None),
        (Known("1", "ignored"), False, False, None),
        (Known("0", "ignored"), False, True, None),
    ],
)
def test_only_what_is_new_changed_or_back_is_probed(
    known: Known | None, retry_failed: bool, probed: bool, replaces: str | None
) -> None:
    diff = ListingDiff({ID: known} if known else {}, retry_failed=retry_failed)
    changes = list(diff.changes([found("1")]))
    assert [change.replaces for change in changes] == ([replaces] if probed else [])
    assert diff.num_listed == 1
    assert diff.vanished() == {}


@pytest.mark.parametrize(
    ("status", "vanishes"),
    [("ok", True), ("failed", True), ("vanished", False), ("superseded", False), ("ignored", False)],
)
def test_what_was_live_and_is_not_listed_has_vanished(status: str, vanishes: bool) -> None:
    diff = ListingDiff({ID: Known("1", status)})  # type: ignore[arg-type]
    assert list(diff.changes([])) == []
    assert diff.vanished() == ({ID: "1"} if vanishes else {})


@pytest.mark.parametrize(
    ("uri", "folder", "below"),
    [("s3://b/x/y", "s3://b/x", True), ("s3://b/xy", "s3://b/x", False), ("s3://b/x", "s3://b/x", True)],
)
def test_below_is_by_folder_not_by_prefix(uri: str, folder: str, below: bool) -> None:
    assert is_below(uri, folder) is below
    assert are_below(pa.chunked_array([[uri, "s3://other/x"]]), folder).to_pylist() == [below, False]
