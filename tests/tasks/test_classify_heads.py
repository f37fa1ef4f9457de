"""Heads as files: written once, read back the same, refused when they are not what was written."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import storage
from pipeline.errors import CheckpointError
from pipeline.tasks.classify import heads
from pipeline.tasks.classify.network import Network

RNG = np.random.default_rng(0)
TRAINED = ["0" * 31 + "1", "f" * 32]
DESCRIPTION: dict[str, Any] = {
    "kind": "mlp",
    "classes": ["a", "b"],
    "model": {"version": "1", "digest": "d"},
    "sampling_digest": "s",
    "strength": 1.0,
    "class_weights": "none",
    "temperature": 0.5,
    "split": {"column": "split1"},
    "seed": 0,
    "metrics": {"ece": 0.1},
}
SIZES = (4, 3, 2)


def network(sizes: tuple[int, ...] = SIZES) -> Network:
    weights = tuple(RNG.normal(size=pair) for pair in itertools.pairwise(sizes))
    return Network(RNG.normal(size=sizes[0]), np.ones(sizes[0]), weights, tuple(np.zeros(n) for n in sizes[1:]))


def written(folder: Path, **changed: Any) -> str:
    return heads.write_head(folder, network(), TRAINED, {**DESCRIPTION, **changed})


def test_a_head_is_read_back_to_the_bit(tmp_path: Path) -> None:
    before = network()
    digest = heads.write_head(tmp_path, before, TRAINED, DESCRIPTION)
    head = heads.load_head(tmp_path)
    vectors = RNG.normal(size=(5, 4)).astype(np.float32)
    assert (head.network.logits(vectors) == before.logits(vectors)).all()
    assert head.probabilities(vectors).sum(axis=1) == pytest.approx(1.0)
    assert (head.classes, head.temperature, head.trained_videos) == (("a", "b"), 0.5, frozenset(TRAINED))
    assert (head.model_version, head.model_digest, head.sampling_digest) == ("1", "d", "s")
    assert head.description["digest"] == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.json", "head.safetensors"]


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / heads.DESCRIPTION
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def flip_a_bit(folder: Path) -> None:
    path = folder / heads.WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip_a_bit,
    "a pickle": lambda folder: (folder / heads.WEIGHTS).write_bytes(
        b"\x80\x04cposix\nsystem\nX\x02\x00\x00\x00id\x85R."
    ),
    "no arrays": lambda folder: (folder / heads.WEIGHTS).unlink(),
    "other classes": lambda folder: rewritten(folder, lambda found: found.update(classes=["b", "a"])),
    "another model": lambda folder: rewritten(folder, lambda found: found["model"].update(digest="other")),
    "a key too few": lambda folder: rewritten(folder, lambda found: found.pop("temperature")),
    "of the future": lambda folder: rewritten(folder, lambda found: found.update(format_version=99)),
    "no JSON": lambda folder: (folder / heads.DESCRIPTION).write_text("{"),
    "three classes, two logits": lambda folder: written(folder, classes=["a", "b", "c"]),
    "layers that do not fit": lambda folder: heads.write_head(
        folder,
        Network(np.zeros(4), np.ones(4), (np.zeros((5, 2)),), (np.zeros(2),)),
        TRAINED,
        DESCRIPTION,
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_head_is_refused(tmp_path: Path, kind: str) -> None:
    written(tmp_path)
    DAMAGE[kind](tmp_path)
    with pytest.raises(CheckpointError):
        heads.load_head(tmp_path)


def test_heads_are_numbered_and_the_same_one_keeps_its_number(tmp_path: Path) -> None:
    root = storage.normalize(str(tmp_path / "root"))
    numbers = []
    for index, kind in enumerate(("logistic", "mlp", "logistic")):
        folder = tmp_path / str(index)
        source = tmp_path / "0"
        if index == 2:
            shutil.copytree(source, folder)
            digest = json.loads((folder / heads.DESCRIPTION).read_text())["digest"]
        else:
            digest = written(folder, kind=kind)
        numbers.append(heads.publish(root, "actions", folder, digest).version)
    assert numbers == ["1", "2", "1"]
    assert str(heads.resolve(root, "actions")) == "actions/2"
    assert str(heads.resolve(root, "actions/1")) == "actions/1"
    assert heads.load(heads.resolve(root, "actions/1")).description["kind"] == "logistic"


def test_a_head_that_was_never_finished_is_none_and_its_number_is_not_used_again(tmp_path: Path) -> None:
    root = storage.normalize(str(tmp_path / "root"))
    storage.put(storage.join(root, "heads", "actions", "1", "claim"), b"killed here")
    with pytest.raises(CheckpointError, match="no such head"):
        heads.resolve(root, "actions")
    assert heads.publish(root, "actions", tmp_path / "new", written(tmp_path / "new")).version == "2"


@pytest.mark.parametrize("reference", ["nobody", "actions/9", "", "../actions"])
def test_an_unknown_head_is_refused_with_those_that_are_there(tmp_path: Path, reference: str) -> None:
    root = storage.normalize(str(tmp_path / "root"))
    heads.publish(root, "actions", tmp_path / "new", written(tmp_path / "new"))
    with pytest.raises(CheckpointError, match="actions/1"):
        heads.resolve(root, reference)
