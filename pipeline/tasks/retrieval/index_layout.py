"""What an index is besides its rows: the centroids, and what is known of it. Small objects under the root.

<root>/search/<model_version>/<index_key>.safetensors   centroids, and the shard of each cell; never changed
<root>/search/<model_version>/current.json              which index is used, and what of `features` it covers
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from pipeline import storage
from pipeline.errors import TableError
from pipeline.registry import ModelReference


@dataclass(frozen=True)
class Layout:
    """The cells of an index.

    Args:
        centroids: Unit vectors, float32 (C, D).
        shards: int32 (C,), the shard of each cell.
    """

    centroids: NDArray[np.float32]
    shards: NDArray[np.int32]

    @property
    def dim(self) -> int:
        """D."""
        return int(self.centroids.shape[1])

    def key(self, model: ModelReference) -> str:
        """16 hex digits of the model and the cells."""
        content = hashlib.blake2b(model.digest.encode(), digest_size=8)
        content.update(self.centroids.tobytes())
        content.update(self.shards.tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class State:
    """What is known of the index in use.

    Args:
        index_key: Which centroids.
        model_digest: Whose vectors.
        features_version: The version of `features` all of whose rows it has.
        num_rows: Rows it has.
        trained_rows: Rows the table had when the centroids were made.
        num_probes: Cells a query looks at.
        recall_at_10: Share of the ten true neighbours found, mean over held-out queries; None: too few rows to tell.
    """

    index_key: str
    model_digest: str
    features_version: int
    num_rows: int
    trained_rows: int
    num_probes: int
    recall_at_10: float | None


def read_state(root: str, model: ModelReference) -> State | None:
    """The index in use; None where there is none, or where it is of another model under the same version."""
    try:
        fields = json.loads(storage.read_bytes(_uri(root, model, "current.json")))
    except FileNotFoundError:
        return None
    state = State(**fields)
    return state if state.model_digest == model.digest else None


def write_state(root: str, model: ModelReference, state: State) -> None:
    """Make an index the one in use."""
    storage.put(_uri(root, model, "current.json"), json.dumps(asdict(state)).encode())


def read_layout(root: str, model: ModelReference, index_key: str) -> Layout:
    """The cells of an index.

    Raises:
        TableError: they are gone or damaged.
    """
    uri = _uri(root, model, f"{index_key}.safetensors")
    try:
        tensors = safetensors.numpy.load(storage.read_bytes(uri))
        return Layout(tensors["centroids"], tensors["shards"])
    except (FileNotFoundError, KeyError, safetensors.SafetensorError) as e:
        cure = f"`sora index --root {root} --rebuild` makes the index anew"
        raise TableError("The centroids of the search index cannot be read.", where=uri, got=e, cure=cure) from e


def write_layout(root: str, model: ModelReference, layout: Layout) -> None:
    """Keep the cells of an index; they are there before any row that names them."""
    data = safetensors.numpy.save({"centroids": layout.centroids, "shards": layout.shards})
    storage.put(_uri(root, model, f"{layout.key(model)}.safetensors"), data)


def delete_layout(root: str, model: ModelReference, index_key: str) -> None:
    """Forget the cells of an index that no row names any more."""
    storage.delete(_uri(root, model, f"{index_key}.safetensors"))


def _uri(root: str, model: ModelReference, name: str) -> str:
    return storage.join(root, "search", model.version, name)
