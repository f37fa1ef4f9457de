"""Labels of a corpus, from a CSV or from folder names."""

import csv
import io
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, storage, tables
from pipeline.errors import ConfigError

_REQUIRED = ("path", "label")
_INTERVAL = ("start_s", "end_s")


@dataclass(frozen=True)
class Label:
    """One label on a whole video, or on the interval [start_s, end_s) of it."""

    uri: str
    label: str
    start_s: float | None = None
    end_s: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_csv(uri: str, *, corpus: str) -> list[Label]:
    """Read path,label[,start_s,end_s] and any further columns, which become attributes.

    Args:
        uri: The CSV, UTF-8, with a header line.
        corpus: The corpus's normalized URI; relative paths are relative to it.
    Raises:
        ConfigError: the file cannot be read, lacks a column, or a row has a value that is not valid.
    """
    try:
        text = storage.read_bytes(storage.normalize(uri)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        cure = "give a UTF-8 CSV with the columns path,label[,start_s,end_s]"
        raise ConfigError("The labels cannot be read.", where=uri, got=e, cure=cure) from e
    reader = csv.DictReader(io.StringIO(text))
    columns = reader.fieldnames or []
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        expected = "a header line with path,label[,start_s,end_s] and any further columns"
        raise ConfigError(f"The labels lack {missing}.", where=uri, got=list(columns), expected=expected)
    return [_parsed(row, f"{uri} line {reader.line_num}", corpus) for row in reader]


def from_folders(uris: Iterable[str], *, corpus: str) -> list[Label]:
    """The first folder below the corpus as the label of each video in it, as torchvision's DatasetFolder has it."""
    labels = []
    for uri in uris:
        folder, separator, _ = uri.removeprefix(corpus.rstrip("/") + "/").partition("/")
        if separator:
            labels.append(Label(uri, folder))
    return labels


def commit(root: str, labels: Sequence[Label], *, source: str) -> None:
    """Make the labels of this source the given ones; nothing is written where they are the same already.

    Raises:
        ConfigError: there are none, because no path of the labels is in the corpus.
    """
    if not labels:
        expected = "paths relative to the corpus, or whole URIs"
        raise ConfigError("No path of the labels is in the corpus.", where=source, expected=expected)
    now = datetime.now(UTC)
    rows = [_row(label, source, now) for label in labels]
    there = tables.read(root, "labels", where=pc.field("source") == source).to_pylist()
    if _comparable(there) == _comparable(rows):
        return
    wanted = pa.Table.from_pylist(rows, schema=schema.LABELS)
    tables.replace(root, "labels", pc.field("source") == source, lambda _: wanted)


def _row(label: Label, source: str, now: datetime) -> dict[str, Any]:
    return {
        "video_id": schema.video_id(label.uri),
        "uri": label.uri,
        "label": label.label,
        "start_s": label.start_s,
        "end_s": label.end_s,
        "attributes": sorted(label.attributes.items()),
        "source": source,
        "labelled_at": now,
    }


def _comparable(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(
        repr(sorted({**row, "labelled_at": None, "attributes": dict(row["attributes"])}.items())) for row in rows
    )


def _parsed(row: dict[str, str | None], where: str, corpus: str) -> Label:
    path, label = (row.get("path") or "").strip(), (row.get("label") or "").strip()
    if not path or not label:
        raise ConfigError("A row has no path or no label.", where=where, got=row, expected="both, not empty")
    start_s, end_s = (_seconds(row, name, where) for name in _INTERVAL)
    if start_s is not None and end_s is not None and not 0 <= start_s < end_s:
        raise ConfigError("An interval is empty.", where=where, got=(start_s, end_s), expected="0 <= start_s < end_s")
    further = {
        name: value
        for name, value in row.items()
        if name and name not in (*_REQUIRED, *_INTERVAL) and value is not None
    }
    return Label(_resolved(path, corpus), label, start_s, end_s, further)


def _seconds(row: Mapping[str, str | None], name: str, where: str) -> float | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError as e:
        raise ConfigError(f"{name} is not a number.", where=where, got=text, expected="seconds, or empty") from e


def _resolved(path: str, corpus: str) -> str:
    if "://" in path or path.startswith("/"):
        return storage.normalize(path)
    return storage.join(corpus, posixpath.normpath(path))
