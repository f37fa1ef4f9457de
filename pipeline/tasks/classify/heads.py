"""The heads of a root: numbered folders without pickle, written once; loading one runs no code of it.

<root>/heads/<name>/<n>/head.safetensors    standardisation, layers, ids of the videos it learned from
<root>/heads/<name>/<n>/head.json           classes, model, sampling, temperature, metrics, digest; written last
"""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from pipeline import storage
from pipeline.errors import CheckpointError
from pipeline.model.files import digest_of, read_pair, write_pair
from pipeline.tasks.classify.network import Floats, Network, softmax

WEIGHTS, DESCRIPTION = "head.safetensors", "head.json"
IDENTITY = (
    "kind",
    "classes",
    "model",  # {"version", "digest"} of the vectors
    "sampling_digest",
    "strength",
    "class_weights",
    "temperature",
    "split",
    "seed",
)  # what the digest covers, beside the arrays
_TRAINED = "trained_videos"


@dataclass(frozen=True)
class HeadReference:
    """A head that was found in a root."""

    name: str
    version: str
    uri: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Head:
    """A head in memory.

    Args:
        network: Vectors to logits.
        classes: Name of each logit.
        temperature: Logits are divided by it.
        trained_videos: The video_ids it learned from.
        description: All of head.json.
    """

    network: Network
    classes: tuple[str, ...]
    temperature: float
    trained_videos: frozenset[str]
    description: Mapping[str, Any]

    @property
    def model_version(self) -> str:
        """Version, in the root, of the model whose vectors it was trained on."""
        return str(self.description["model"]["version"])

    @property
    def model_digest(self) -> str:
        """Digest of that model."""
        return str(self.description["model"]["digest"])

    @property
    def sampling_digest(self) -> str:
        """Digest of the sampling of those vectors."""
        return str(self.description["sampling_digest"])

    def probabilities(self, vectors: NDArray[np.floating]) -> Floats:
        """Calibrated probabilities, float64 (N, K), of vectors, float (N, D), as they are in the table."""
        return softmax(self.network.logits(vectors), self.temperature)


def write_head(folder: Path, network: Network, trained_videos: Sequence[str], description: Mapping[str, Any]) -> str:
    """Write a head into a local folder; returns its digest.

    Args:
        folder: Made if missing.
        network: What was fitted.
        trained_videos: The video_ids it learned from, 32 hex digits each.
        description: The keys of IDENTITY, and what else is to be known; JSON values.
    """
    arrays = {"mean": network.mean, "deviation": network.deviation}
    for index, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays |= {f"layer{index}.weight": weight, f"layer{index}.bias": bias}
    ids = np.frombuffer(bytes.fromhex("".join(sorted(trained_videos))), dtype=np.uint8).reshape(-1, 16)
    weights = save({**{name: np.ascontiguousarray(array) for name, array in arrays.items()}, _TRAINED: ids})
    digest = digest_of(weights, {name: description[name] for name in IDENTITY})
    write_pair(folder, (WEIGHTS, weights), (DESCRIPTION, {**description, "digest": digest}))
    return digest


def load_head(folder: Path) -> Head:
    """Read and verify what `write_head` wrote.

    Raises:
        CheckpointError: a file is missing, truncated or altered, or a newer version of this library wrote it.
    """
    tensors, description = read_pair(folder, WEIGHTS, DESCRIPTION, IDENTITY)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    try:
        network = _network(arrays)
        ids = arrays[_TRAINED].tobytes().hex()
        classes = tuple(str(name) for name in description["classes"])
        if len(classes) != network.num_classes:
            raise ValueError(f"{len(classes)} classes, {network.num_classes} logits")
        temperature = float(description["temperature"])
    except (KeyError, ValueError, IndexError) as e:
        cure = "train it again with `sora classify train`"
        raise CheckpointError(
            "The arrays of a head do not fit each other.", where=folder, got=repr(e), cure=cure
        ) from e
    trained = frozenset(ids[start : start + 32] for start in range(0, len(ids), 32))
    return Head(network, classes, temperature, trained, description)


def publish(root: str, name: str, folder: Path, digest: str) -> HeadReference:
    """Copy a head's folder into the root under the next free number; the same digest keeps its number.

    Args:
        root: The root's URI.
        name: Of the head.
        folder: Where write_head wrote; other files in it are copied too, the description last.
        digest: From write_head.
    """
    for version in _versions(root, name):
        if load(_reference(root, name, version)).description["digest"] == digest:
            return _reference(root, name, version)
    number = 1 + max((int(version) for version in _claimed(root, name)), default=0)
    while not storage.put_if_absent(_uri(root, name, str(number), "claim"), digest.encode()):
        number += 1
    names = sorted((path.name for path in folder.iterdir()), key=lambda one: one == DESCRIPTION)
    for one in names:
        storage.put(_uri(root, name, str(number), one), (folder / one).read_bytes())
    return _reference(root, name, str(number))


def resolve(root: str, reference: str) -> HeadReference:
    """Find a head: NAME, whose newest version it is, or NAME/VERSION.

    Raises:
        CheckpointError: there is none; the message lists those that are there.
    """
    name, _, version = reference.partition("/")
    versions = _versions(root, name) if name else []
    if versions and not version:
        version = versions[-1]
    if version not in versions:
        known = [f"{one}/{of}" for one in _children(storage.join(root, "heads")) for of in _versions(root, one)]
        cure = f"train one with `sora classify train --root {root}`, or name another with --head"
        what = "The root has no such head."
        raise CheckpointError(what, where=root, got=reference, expected=f"one of {known}", cure=cure)
    return _reference(root, name, version)


def load(reference: HeadReference) -> Head:
    """The head behind a reference, verified.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    if storage.is_local(reference.uri):
        return load_head(storage.local_path(reference.uri))
    with tempfile.TemporaryDirectory() as folder:
        for name in (WEIGHTS, DESCRIPTION):
            (Path(folder) / name).write_bytes(storage.read_bytes(storage.join(reference.uri, name)))
        return load_head(Path(folder))


def _network(arrays: Mapping[str, NDArray[Any]]) -> Network:
    num_layers = sum(name.endswith(".weight") for name in arrays)
    layers = [(arrays[f"layer{index}.weight"], arrays[f"layer{index}.bias"]) for index in range(num_layers)]
    sizes = [len(arrays["mean"]), *(len(bias) for _, bias in layers)]
    found = [weight.shape for weight, _ in layers]
    if not layers or found != list(itertools.pairwise(sizes)) or arrays["deviation"].shape != (sizes[0],):
        raise ValueError(f"layers of shapes {found} for vectors of {sizes[0]} numbers")
    weights, biases = zip(*layers, strict=True)
    return Network(arrays["mean"], arrays["deviation"], weights, biases)


def _reference(root: str, name: str, version: str) -> HeadReference:
    return HeadReference(name, version, storage.join(root, "heads", name, version))


def _versions(root: str, name: str) -> list[str]:
    there = [version for version in _claimed(root, name) if storage.exists(_uri(root, name, version, DESCRIPTION))]
    return sorted(there, key=int)


def _claimed(root: str, name: str) -> list[str]:
    return [version for version in _children(storage.join(root, "heads", name)) if version.isdecimal()]


def _children(uri: str) -> list[str]:
    fs, path = storage.filesystem(uri)
    try:
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))
    except FileNotFoundError:
        return []


def _uri(root: str, name: str, version: str, file: str) -> str:
    return storage.join(root, "heads", name, version, file)
