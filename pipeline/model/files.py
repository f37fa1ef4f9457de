"""The bytes of a checkpoint folder: written whole or not at all, read back with a reason when they are wrong."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from pipeline.errors import CheckpointError

FORMAT_VERSION = 1


def canonical_json(value: object) -> str:
    """Equal values give equal text: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest_of(tensors: bytes, identity: Mapping[str, object]) -> str:
    """sha256, hexadecimal, over the bytes of a safetensors file and the canonical JSON of what belongs to it."""
    return hashlib.sha256(tensors + canonical_json(identity).encode()).hexdigest()


def write_pair(folder: Path, tensors: tuple[str, bytes], description: tuple[str, Mapping[str, object]]) -> None:
    """Write both files under other names, then rename them, the description last."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format_version": FORMAT_VERSION, **description[1]}, indent=2, ensure_ascii=False)
    for name, data in (tensors, (description[0], (text + "\n").encode())):
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)


def read_pair(
    folder: Path, tensors_name: str, description_name: str, identity: tuple[str, ...]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read both files and verify that they are what was written, together.

    Args:
        folder: The checkpoint.
        tensors_name: The safetensors file.
        description_name: The JSON file.
        identity: The keys of the description that its digest covers.
    Raises:
        CheckpointError: a file is missing, truncated, altered, or written by a newer version.
    """
    description = _read_description(folder / description_name, {*identity, "digest"})
    data = _read(folder / tensors_name)
    tensors = _parse_tensors(data, folder / tensors_name)
    digest = digest_of(data, {key: description[key] for key in identity})
    if digest != description["digest"]:
        raise CheckpointError(
            "the files of a checkpoint do not belong together, or were altered",
            where=folder,
            got=f"digest {digest}",
            expected=description["digest"],
            cure="copy the folder again, or take an earlier checkpoint",
        )
    return tensors, description


def _read_description(path: Path, keys: set[str]) -> dict[str, Any]:
    try:
        description = json.loads(_read(path))
    except ValueError as error:
        raise _damaged(path, error, "a JSON object") from error
    version = description.get("format_version") if isinstance(description, dict) else None
    if not isinstance(version, int):
        raise _damaged(path, version, f"format_version {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            "a newer version of sora wrote this checkpoint",
            where=path,
            got=f"format_version {version}",
            expected=f"at most {FORMAT_VERSION}",
            cure="upgrade sora",
        )
    if not keys <= set(description):
        raise _damaged(path, sorted(description), f"the keys {sorted(keys)}")
    return dict(description)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "a file of a checkpoint cannot be read",
            where=path,
            got=error,
            expected="a readable file",
            cure="check the model reference; `sora train` writes checkpoints",
        ) from error


def _parse_tensors(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return load(data)
    except SafetensorError as error:
        raise _damaged(path, f"{len(data)} bytes: {error}", "a whole safetensors file") from error


def _damaged(path: Path, got: object, expected: object) -> CheckpointError:
    return CheckpointError(
        "a file of a checkpoint is damaged",
        where=path,
        got=got,
        expected=expected,
        cure="copy the folder again, or take an earlier checkpoint",
    )
