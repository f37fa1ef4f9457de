"""Trained networks as folders: tensors as safetensors, everything else as JSON. Nothing is unpickled.

    <folder>/model.safetensors   the weights; of a network in eight bits also the ranges of its activations
    <folder>/model.json          config, labels, sampling, metrics, format version, digest
    <folder>/state.safetensors   `<parameter>/<moment>` of AdamW, `<name>/trained`       } only in folders that a
    <folder>/state.json          epoch, step, digest                                     } training run resumes from

`trained` are the weights as the last step left them; the model's are those that are measured and published.

Each file is written under another name and renamed, the JSON last: a crash leaves the old pair, the new pair, or a pair
whose digest says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pipeline.errors import CheckpointError, ConfigError
from pipeline.model.autoencoder import VideoAutoencoder, build_model
from pipeline.model.config import ModelConfig, from_json
from pipeline.model.files import canonical_json, digest_of, read_pair, write_pair
from pipeline.model.quantization import RANGE, replace_convolutions

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
STATE, STATE_DESCRIPTION = "state.safetensors", "state.json"
IDENTITY = ("config", "labels", "sampling")  # what a digest covers, beside the tensors
STATE_IDENTITY = ("epoch", "step")
_TRAINED = "trained"


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory.

    Args:
        model: On the CPU, in evaluation mode.
        config: The network's shape.
        labels: Class names, in the order of the logits; empty for a network without classes.
        sampling: How its clips were sampled, as it was saved.
        metrics: What was measured when it was saved; not part of the digest.
        digest: sha256 over weights, config, labels and sampling, hexadecimal.
    """

    model: VideoAutoencoder
    config: ModelConfig
    labels: tuple[str, ...]
    sampling: dict[str, Any]
    metrics: dict[str, float]
    digest: str


@dataclass(frozen=True)
class TrainingState:
    """Where a run stood: epochs and steps done."""

    epoch: int
    step: int


def save_checkpoint(
    folder: Path,
    model: VideoAutoencoder,
    *,
    labels: Sequence[str],
    sampling: Mapping[str, object],
    metrics: Mapping[str, float],
) -> str:
    """Write a network so that it can be used without the code that trained it; return its digest.

    Args:
        folder: Made if missing; an older checkpoint in it is replaced.
        model: The network, not a DistributedDataParallel wrapper.
        labels: Class names, in the order of the logits.
        sampling: JSON values that say how clips were sampled; whoever embeds must sample the same way.
        metrics: What was measured.
    Raises:
        CheckpointError: the number of labels is not the network's number of classes.
    """
    if len(labels) != model.num_classes:
        raise CheckpointError("labels do not fit the head", where=folder, got=len(labels), expected=model.num_classes)
    weights = save(_on_cpu(model.state_dict()))
    identity = {"config": asdict(model.config), "labels": list(labels), "sampling": dict(sampling)}
    digest = digest_of(weights, identity)
    write_pair(folder, (WEIGHTS, weights), (DESCRIPTION, {**identity, "metrics": dict(metrics), "digest": digest}))
    return digest


def load_checkpoint(folder: Path) -> LoadedModel:
    """Read and verify what `save_checkpoint` wrote.

    Raises:
        CheckpointError: a file is missing, truncated or altered, or a newer version of this library wrote it.
    """
    tensors, description = read_pair(folder, WEIGHTS, DESCRIPTION, IDENTITY)
    config = _read_config(description["config"], folder / DESCRIPTION)
    model = build_model(config, num_classes=len(description["labels"]))
    _fill(model, tensors, folder / WEIGHTS)
    return LoadedModel(
        model=model.eval(),
        config=config,
        labels=tuple(description["labels"]),
        sampling=description["sampling"],
        metrics=description["metrics"],
        digest=description["digest"],
    )


def save_training_state(
    folder: Path, model: VideoAutoencoder, optimizer: torch.optim.Optimizer, *, epoch: int, step: int
) -> None:
    """Write the weights that are trained and their optimizer's state beside the weights that are published.

    Rates and decay are not stored: they follow from the training configuration and the step.

    Args:
        folder: Where `save_checkpoint` wrote.
        model: The network that is trained.
        optimizer: Adam or AdamW, made from named parameters of the model.
        epoch: Epochs done.
        step: Steps done.
    """
    tensors = {
        f"{name}/{moment}": value
        for name, parameter in _named_parameters(optimizer).items()
        for moment, value in optimizer.state.get(parameter, {}).items()
    }
    weights = {f"{name}/{_TRAINED}": value for name, value in model.state_dict().items()}
    state = save(_on_cpu(tensors | weights))
    identity = {"epoch": epoch, "step": step}
    write_pair(folder, (STATE, state), (STATE_DESCRIPTION, {**identity, "digest": digest_of(state, identity)}))


def load_training_state(folder: Path, model: VideoAutoencoder, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Fill a network and its optimizer with what `save_training_state` wrote, by name.

    Raises:
        CheckpointError: a file is missing or damaged, or belongs to another network; the optimizer is as before.
    """
    tensors, description = read_pair(folder, STATE, STATE_DESCRIPTION, STATE_IDENTITY)
    parameters = _named_parameters(optimizer)
    suffix = f"/{_TRAINED}"
    weights = {key.removesuffix(suffix): tensors.pop(key) for key in list(tensors) if key.endswith(suffix)}
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, moment = key.rpartition("/")
        moments.setdefault(name, {})[moment] = value
    _require_same_network(moments, parameters, folder / STATE)
    _fill(model, weights, folder / STATE)
    for name, values in moments.items():
        device = parameters[name].device
        # AdamW keeps its step count on the CPU, whatever the device of the weights.
        optimizer.state[parameters[name]] = {k: v if k == "step" else v.to(device) for k, v in values.items()}
    return TrainingState(*(description[key] for key in STATE_IDENTITY))


def _named_parameters(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    groups = optimizer.param_groups
    assert all("param_names" in group for group in groups), "make the optimizer from named parameters"
    return {n: p for group in groups for n, p in zip(group["param_names"], group["params"], strict=True)}


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _read_config(values: object, where: Path) -> ModelConfig:
    try:
        return from_json(canonical_json(values))
    except ConfigError as error:
        raise CheckpointError(
            "a checkpoint describes a network that this version does not know",
            where=where,
            got=error,
            cure="upgrade sora, or train again",
        ) from error


def _fill(model: VideoAutoencoder, tensors: dict[str, Tensor], where: Path) -> None:
    replace_convolutions(model, {name.removesuffix(f".{RANGE}") for name in tensors if name.endswith(f".{RANGE}")})
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            "the weights of a checkpoint do not fit the network it describes", where=where, got=error
        ) from error


def _require_same_network(
    moments: Mapping[str, Mapping[str, Tensor]], parameters: Mapping[str, Tensor], where: Path
) -> None:
    """Every parameter has moments of its own shape, and no other parameter has any; AdamW's step is a scalar."""
    stored = {name: {tuple(v.shape) for v in values.values() if v.ndim > 0} for name, values in moments.items()}
    expected = {name: {tuple(p.shape)} for name, p in parameters.items()}
    different = sorted(n for n in stored.keys() | expected.keys() if stored.get(n) != expected.get(n))
    if different:
        raise CheckpointError(
            "the optimizer state belongs to another network, or to no step at all",
            where=where,
            got=f"{len(different)} parameters that differ, e.g. {different[:3]}",
            expected="the same parameter names and shapes",
        )
