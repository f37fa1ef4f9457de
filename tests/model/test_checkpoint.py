"""A checkpoint comes back as it went, or not at all, with the reason."""

import json
import pickle

import pytest
import torch

from pipeline.errors import CheckpointError
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import load_checkpoint, load_training_state, save_checkpoint, save_training_state
from pipeline.model.config import ModelConfig

CONFIG = ModelConfig("tiny", "sora", (4, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6)
LABELS = ("jump", "wave", "läuft")
SAMPLING = {"frames_per_clip": 16, "sample_fps": 8.0, "size_px": 64, "sizes": (1, 2)}


def _model(seed=0, config=CONFIG):
    torch.manual_seed(seed)
    return build_model(config, num_classes=3)


def _save(folder, model=None, **changes):
    arguments = {"labels": LABELS, "sampling": SAMPLING, "metrics": {"accuracy": 0.5}} | changes
    return save_checkpoint(folder, model or _model(), **arguments)


@pytest.mark.parametrize(
    "config", [CONFIG, ModelConfig("tiny", "article", (4, 8), (0, 1), latent_channels=8, embedding_dim=6)]
)
def test_a_loaded_model_answers_as_the_saved_one(tmp_path, config):
    model = _model(config=config)
    x = torch.randn(2, 3, 8, 16, 16)
    model(x)  # the article's batch norms have now seen something
    digest = _save(tmp_path / "new" / "folder", model)
    loaded = load_checkpoint(tmp_path / "new" / "folder")
    assert not loaded.model.training
    assert torch.equal(loaded.model.embed(x), model.eval().embed(x))
    assert (loaded.config, loaded.labels, loaded.digest) == (config, LABELS, digest)
    assert loaded.sampling == SAMPLING | {"sizes": [1, 2]}
    assert loaded.metrics == {"accuracy": 0.5}


def test_the_digest_changes_with_one_weight_a_label_or_the_sampling_but_not_with_the_metrics(tmp_path):
    nudged = _model()
    with torch.no_grad():
        next(nudged.parameters()).view(-1)[0] += 1e-3
    original = _save(tmp_path)
    assert _save(tmp_path) == original
    assert _save(tmp_path, metrics={}) == original
    others = {
        _save(tmp_path, nudged),
        _save(tmp_path, labels=LABELS[::-1]),
        _save(tmp_path, sampling=SAMPLING | {"sample_fps": 4.0}),
    }
    assert len(others | {original}) == 4


def test_saving_again_replaces_and_leaves_no_other_file(tmp_path):
    _save(tmp_path, _model(seed=0))
    digest = _save(tmp_path, _model(seed=1))
    assert load_checkpoint(tmp_path).digest == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def _edit(**changes):
    def damage(folder):
        path = folder / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def _flip_a_weight(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-3] ^= 0x40
    (folder / "model.safetensors").write_bytes(data)


def _truncate(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def _resign(**changes):
    """An honest checkpoint of something this version does not know: its digest is right."""

    def damage(folder):
        from pipeline.model.files import digest_of

        description = json.loads((folder / "model.json").read_text()) | changes
        identity = {key: description[key] for key in ("config", "labels", "sampling")}
        digest = digest_of((folder / "model.safetensors").read_bytes(), identity)
        _edit(**changes, digest=digest)(folder)

    return damage


DAMAGES = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "no description": (lambda folder: (folder / "model.json").unlink(), "model.json"),
    "truncated weights": (_truncate("model.safetensors"), "whole safetensors file"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "whole safetensors file"),
    "pickled weights": (lambda folder: (folder / "model.safetensors").write_bytes(pickle.dumps({})), "safetensors"),
    "one bit": (_flip_a_weight, "altered"),
    "truncated description": (_truncate("model.json"), "JSON"),
    "a list": (lambda folder: (folder / "model.json").write_text("[]"), "format_version"),
    "other labels": (_edit(labels=["a", "b", "c"]), "altered"),
    "other sampling": (_edit(sampling={}), "altered"),
    "future format": (_edit(format_version=2), "upgrade"),
    "no version": (_edit(format_version=None), "format_version"),
    "key missing": (lambda folder: (folder / "model.json").write_text('{"format_version": 1}'), "keys"),
    "unknown network": (_resign(config={"architecture": "transformer"}), "does not know"),
    "other shape": (_resign(labels=["only one"]), "do not fit"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_refused_with_the_reason(tmp_path, name):
    damage, words = DAMAGES[name]
    _save(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_labels_that_do_not_fit_the_head_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(CheckpointError, match="expected: 3"):
        _save(tmp_path / "folder", labels=["a"])
    assert not (tmp_path / "folder").exists()


def _optimizer(model):
    return torch.optim.AdamW(list(model.named_parameters()), lr=1e-2)


def _steps(model, optimizer, num_steps):
    losses = []
    for index in range(num_steps):
        x = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(index))
        output = model(x)
        rebuilt, *learned = (
            output.reconstruction,
            output.logits,
            output.projected,
            output.projected_steps,
            output.described,
            output.described_places,
        )
        loss = rebuilt.square().mean() + sum(part.square().mean() for part in learned)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_resumed_run_takes_the_very_same_steps(tmp_path):
    model = _model()
    optimizer = _optimizer(model)
    _steps(model, optimizer, 2)
    _save(tmp_path, model)
    save_training_state(tmp_path, model, optimizer, epoch=1, step=2)
    uninterrupted = _steps(model, optimizer, 2)

    resumed = load_checkpoint(tmp_path).model.train()
    resumed_optimizer = _optimizer(resumed)
    state = load_training_state(tmp_path, resumed, resumed_optimizer)
    assert (state.epoch, state.step) == (1, 2)
    assert _steps(resumed, resumed_optimizer, 2) == uninterrupted
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncate("state.safetensors"), "whole safetensors file"),
        (lambda folder: (folder / "state.json").unlink(), "state.json"),
        (
            lambda folder: (folder / "state.json").write_text(
                (folder / "state.json").read_text().replace('"step": 1', '"step": 9')
            ),
            "altered",
        ),
    ],
)
def test_a_damaged_training_state_is_refused_with_the_reason(tmp_path, damage, words):
    model = _model()
    optimizer = _optimizer(model)
    _steps(model, optimizer, 1)
    save_training_state(tmp_path, model, optimizer, epoch=0, step=1)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load_training_state(tmp_path, model, optimizer)


@pytest.mark.parametrize(
    "other",
    [
        ModelConfig("tiny", "article", (4, 8), (0, 1), latent_channels=8, embedding_dim=6),
        ModelConfig("tiny", "sora", (6, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6),
    ],
)
def test_the_state_of_another_network_is_refused(tmp_path, other):
    model = _model()
    optimizer = _optimizer(model)
    _steps(model, optimizer, 1)
    save_training_state(tmp_path, model, optimizer, epoch=0, step=1)
    another = _model(config=other)
    with pytest.raises(CheckpointError, match="another network"):
        load_training_state(tmp_path, another, _optimizer(another))
