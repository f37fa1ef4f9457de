"""The models of a root: numbered checkpoint folders under `<root>/models`, and which one is the champion.

    <root>/models/3/{model.safetensors, model.json}     a published version; model.json is written last
    <root>/models/champion.json                         {"version": "3"}

The root is the truth, so that extraction does not depend on a tracking server; MLflow shows the same versions.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline import storage, tracking
from pipeline.errors import CheckpointError

_FILES = ("model.safetensors", "model.json")  # in the order they are written


@dataclass(frozen=True)
class ModelReference:
    """A model that was found: `version` is its number in the root, or the start of its digest for a foreign folder."""

    version: str
    uri: str
    digest: str


def publish(root: str, folder: Path) -> ModelReference:
    """Copy a checkpoint folder into the root under the next free number; the same digest keeps its number."""
    digest = str(json.loads((folder / "model.json").read_text())["digest"])
    for version in _versions(root):
        found = _reference(root, version)
        if found.digest == digest:
            return found
    number = 1 + max((int(version) for version in _claimed(root)), default=0)
    while not storage.put_if_absent(_uri(root, str(number), "claim"), digest.encode()):
        number += 1
    for name in _FILES:
        storage.put(_uri(root, str(number), name), (folder / name).read_bytes())
    return _reference(root, str(number))


def promote(root: str, version: str) -> None:
    """Make a published version the champion, the model that is used when none is named.

    Raises:
        CheckpointError: the root has no such version.
    """
    resolve(root, version)
    storage.put(_champion_uri(root), json.dumps({"version": version}).encode())


def resolve(root: str, reference: str = tracking.CHAMPION) -> ModelReference:
    """Find a model: `champion`, a version number of the root, `models:/NAME@ALIAS`, or a checkpoint folder's URI.

    Raises:
        CheckpointError: the reference leads nowhere; the message lists what is there.
    """
    if reference == tracking.CHAMPION:
        return _reference(root, _champion_version(root))
    if reference.isdecimal():
        if reference not in _versions(root):
            raise _unknown(root, reference)
        return _reference(root, reference)
    if reference.startswith("models:/"):
        reference = tracking.registered_folder(root, reference)
    return _foreign(root, storage.normalize(reference))


def find(root: str, reference: str = tracking.CHAMPION) -> ModelReference | None:
    """As `resolve`, but None where the champion is asked for and there is none yet.

    Raises:
        CheckpointError: another reference leads nowhere.
    """
    try:
        return resolve(root, reference)
    except CheckpointError:
        if reference != tracking.CHAMPION:
            raise
        return None


def fetch(reference: ModelReference) -> Path:
    """A local copy of the model's folder, in the machine's temporary space, shared by the processes of one machine."""
    if storage.is_local(reference.uri):
        return storage.local_path(reference.uri)
    folder = Path(tempfile.gettempdir()) / f"sora-models-{reference.digest}"
    for name in _FILES:
        if not (folder / name).exists():
            storage.put(str(folder / name), storage.read_bytes(storage.join(reference.uri, name)))
    return folder


def _foreign(root: str, uri: str) -> ModelReference:
    try:
        digest = str(json.loads(storage.read_bytes(storage.join(uri, "model.json")))["digest"])
    except (OSError, ValueError, KeyError) as e:
        raise _unknown(root, uri) from e
    own_folder, _, version = uri.rpartition("/")
    is_own = own_folder == storage.join(root, "models") and version.isdecimal()
    return ModelReference(version if is_own else digest[:12], uri, digest)


def _reference(root: str, version: str) -> ModelReference:
    uri = storage.join(root, "models", version)
    return ModelReference(version, uri, str(json.loads(storage.read_bytes(storage.join(uri, "model.json")))["digest"]))


def _champion_version(root: str) -> str:
    try:
        return str(json.loads(storage.read_bytes(_champion_uri(root)))["version"])
    except FileNotFoundError as e:
        raise _unknown(root, tracking.CHAMPION) from e


def _unknown(root: str, reference: str) -> CheckpointError:
    return CheckpointError(
        "The model reference leads nowhere.",
        where=root,
        got=reference,
        expected=f"champion, a version of this root {_versions(root)}, models:/NAME@ALIAS, or a checkpoint folder",
        cure=f"train one with `sora train --root {root}`, or name another with --model",
    )


def _versions(root: str) -> list[str]:
    return sorted((v for v in _claimed(root) if storage.exists(_uri(root, v, "model.json"))), key=int)


def _claimed(root: str) -> list[str]:
    fs, path = storage.filesystem(storage.join(root, "models"))
    try:
        names = [entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)]
    except FileNotFoundError:
        return []
    return [name for name in names if name.isdecimal()]


def _uri(root: str, version: str, name: str) -> str:
    return storage.join(root, "models", version, name)


def _champion_uri(root: str) -> str:
    return storage.join(root, "models", "champion.json")
