"""Segmentations of a root: what was learned, kept as JSON, and the names a user gave the behaviours.

<root>/behaviours/<segmentation>/<model_version>/fitted.json           what was learned, on what, and how good it is
<root>/behaviours/<segmentation>/<model_version>/names-<digest>.json   {"behaviour_00": "walking", ...}
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.tasks.behaviour.codebook import Codebook
from pipeline.tasks.behaviour.recogniser import Recogniser


@dataclass(frozen=True)
class Fitted:
    """A segmentation as it is kept.

    Args:
        segmentation: Its name.
        kind: unsupervised or supervised.
        model_version: The model whose vectors it reads.
        learned: What makes segments of slices.
        found: What is known of it: figures, on how many videos it was learned, and under which condition.
    """

    segmentation: str
    kind: str
    model_version: str
    learned: Codebook | Recogniser
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hex digits over what was learned and the model it was learned on."""
        meaning = {"kind": self.kind, "model_version": self.model_version, "learned": self.learned.to_json()}
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


def save(root: str, fitted: Fitted) -> None:
    """Keep a segmentation; one of the same name and model is replaced."""
    fields: dict[str, Any] = {"segmentation": fitted.segmentation, "kind": fitted.kind}
    fields |= {"model_version": fitted.model_version}
    fields |= {"digest": fitted.digest, "found": fitted.found, "learned": fitted.learned.to_json()}
    storage.put(_uri(root, fitted.segmentation, fitted.model_version, "fitted.json"), json.dumps(fields).encode())


def load(root: str, segmentation: str, model_version: str) -> Fitted | None:
    """The segmentation of this name and model; None where there is none yet.

    Raises:
        ConfigError: the file is not one of ours.
    """
    uri = _uri(root, segmentation, model_version, "fitted.json")
    if not storage.exists(uri):
        return None
    try:
        fields = json.loads(storage.read_bytes(uri))
        learned: Codebook | Recogniser
        if fields["kind"] == "unsupervised":
            learned = Codebook.from_json(fields["learned"])
        else:
            learned = Recogniser.from_json(fields["learned"])
        return Fitted(segmentation, fields["kind"], model_version, learned, fields["found"])
    except (ValueError, KeyError, TypeError) as e:
        cure = "learn it again with --refit"
        raise ConfigError("The kept segmentation cannot be read.", where=uri, got=repr(e), cure=cure) from e


def read_names_csv(uri: str, fitted: Fitted) -> dict[str, str]:
    """The user's names for behaviours, from a CSV with behaviour,name.

    Raises:
        ConfigError: the file cannot be read, lacks a column, or names a behaviour that is not there.
    """
    try:
        text = storage.read_bytes(storage.normalize(uri)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError("The names cannot be read.", where=uri, got=e, cure="give a UTF-8 CSV: behaviour,name") from e
    reader = csv.DictReader(io.StringIO(text))
    if not {"behaviour", "name"} <= set(reader.fieldnames or []):
        expected = "a header line with behaviour,name"
        raise ConfigError("The names lack a column.", where=uri, got=reader.fieldnames, expected=expected)
    names = {(row["behaviour"] or "").strip(): (row["name"] or "").strip() for row in reader}
    unknown = sorted(set(names) - set(fitted.learned.behaviours))
    if unknown or not all(names.values()):
        expected = f"a name for some of {fitted.learned.behaviours}"
        raise ConfigError("A name is missing, or its behaviour.", where=uri, got=unknown or names, expected=expected)
    return names


def save_names(root: str, fitted: Fitted, names: Mapping[str, str]) -> None:
    """Keep names for behaviours, beside those that have one already."""
    together = {**load_names(root, fitted), **names}
    storage.put(_names_uri(root, fitted), json.dumps(together, indent=2, sort_keys=True).encode())


def load_names(root: str, fitted: Fitted) -> dict[str, str]:
    """The user's names, by behaviour; those without one are left out.

    Raises:
        ConfigError: somebody has edited the file, and it is no JSON object of names any more.
    """
    uri = _names_uri(root, fitted)
    if not storage.exists(uri):
        return {}
    text = storage.read_bytes(uri)
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, dict) or not all(isinstance(name, str) and name for name in names.values()):
        expected = '{"behaviour_00": "name", ...}'
        cure = "mend the file, or delete it and give --names again"
        raise ConfigError("The kept names cannot be read.", where=uri, got=text[:200], expected=expected, cure=cure)
    return names


def _names_uri(root: str, fitted: Fitted) -> str:
    return _uri(root, fitted.segmentation, fitted.model_version, f"names-{fitted.digest}.json")


def _uri(root: str, segmentation: str, model_version: str, name: str) -> str:
    return storage.join(root, "behaviours", segmentation, model_version, name)
