"""A step lowers the loss, alone or under DistributedDataParallel, with labels or without; a resumed run repeats it."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from pipeline.errors import SoraError
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import load_checkpoint, load_training_state, save_checkpoint, save_training_state
from pipeline.model.config import ModelConfig, named_config
from pipeline.train.chance import Chance, clip_keys
from pipeline.train.config import TrainConfig
from pipeline.train.step import (
    evaluate_step,
    learning_rate_at,
    make_optimizer,
    set_learning_rate,
    train_step,
)

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TINY = {
    "article": ModelConfig("tiny", "article", (4, 8), (0, 1), latent_channels=8, embedding_dim=6),
    "sora": ModelConfig("tiny", "sora", (4, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6),
}


def _model(name="sora", *, num_classes=3):
    torch.manual_seed(0)
    return build_model(TINY[name], num_classes=num_classes)


def _batch(num_clips=4, size=16):
    """Bars that move right, left, or not at all; the label says which."""
    frames = torch.full((num_clips, 8, size, size, 3), 40, dtype=torch.uint8)
    labels = torch.arange(num_clips) % 3
    for clip in range(num_clips):
        for t in range(8):
            left = (3 * clip + (t, -t, 0)[clip % 3]) % (size - 4)
            frames[clip, t, :, left : left + 4] = 220
    return frames, labels


def _train(model, optimizer, steps, *, frames, labels, config=None):
    config = config or TrainConfig()
    numbers = []
    for step in steps:
        chance = Chance(clip_keys(np.arange(len(frames), dtype=np.uint64), seed=config.seed, epoch=step), CPU)
        numbers.append(train_step(model, frames, labels, optimizer=optimizer, config=config, chance=chance))
    return numbers


def test_a_few_steps_overfit_one_batch():
    torch.manual_seed(0)
    model = build_model(named_config("sora_xs"), num_classes=3)
    frames, labels = _batch(6, size=32)
    config = TrainConfig(label_smoothing=0.0)
    numbers = _train(model, make_optimizer(model, config), range(40), frames=frames, labels=labels, config=config)
    assert numbers[-1]["loss"] < 0.5 * numbers[0]["loss"]
    assert numbers[-1]["reconstruction"] < 0.5 * numbers[0]["reconstruction"]
    assert evaluate_step(model, frames, labels, config)["predictions"].tolist() == labels.tolist()


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_resumed_run_repeats_the_steps_of_an_uninterrupted_one(tmp_path, name):
    frames, labels = _batch()
    model = _model(name)
    optimizer = make_optimizer(model, TrainConfig())
    _train(model, optimizer, range(2), frames=frames, labels=labels)
    save_checkpoint(tmp_path, model, labels=["a", "b", "c"], sampling={}, metrics={})
    save_training_state(tmp_path, model, optimizer, epoch=1, step=2)
    uninterrupted = _train(model, optimizer, range(2, 4), frames=frames, labels=labels)

    resumed = load_checkpoint(tmp_path).model
    resumed_optimizer = make_optimizer(resumed, TrainConfig())
    step = load_training_state(tmp_path, resumed, resumed_optimizer).step
    assert _train(resumed, resumed_optimizer, range(step, step + 2), frames=frames, labels=labels) == uninterrupted
    for key, weight in model.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[key]), key


@pytest.fixture
def one_worker_group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_worker_group")
@pytest.mark.parametrize("name", sorted(TINY))
@pytest.mark.parametrize(("num_classes", "label"), [(0, -1), (3, -1), (3, 2)])
def test_every_parameter_has_a_gradient_so_that_ddp_never_waits(name, num_classes, label):
    frames, labels = _batch()
    model = DistributedDataParallel(_model(name, num_classes=num_classes))
    optimizer = make_optimizer(model, TrainConfig())
    # DDP refuses the second forward when the first left a parameter without gradient.
    numbers = _train(model, optimizer, range(2), frames=frames, labels=torch.full_like(labels, label))
    assert numbers[-1]["num_labelled"] == (len(labels) if label >= 0 else 0)
    assert all(parameter.grad is not None for parameter in model.parameters())
    scored = evaluate_step(model, frames, labels if num_classes else torch.full_like(labels, -1), TrainConfig())
    assert (scored["predictions"] is None) == (num_classes == 0)


def test_evaluation_computes_no_term_that_waits_for_other_workers():
    frames, labels = _batch()
    config = TrainConfig(instance_weight=1.0, supervised_contrast_weight=1.0, variance_weight=1.0)
    terms = evaluate_step(_model(), frames, labels, config)["terms"]
    assert set(terms) == {"reconstruction", "haar", "descriptor", "classification"}


def test_evaluation_is_of_clean_clips_and_each_on_its_own():
    frames, labels = _batch()
    model = _model()
    whole = evaluate_step(model, frames, labels, TrainConfig())
    assert evaluate_step(model, frames, labels, TrainConfig())["loss"] == whole["loss"]
    one = evaluate_step(model, frames[2:3], labels[2:3], TrainConfig())
    torch.testing.assert_close(one["embedding"][0], whole["embedding"][2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one["recon_error"][0], whole["recon_error"][2])
    assert whole["recon_error"].mean().item() == pytest.approx(whole["terms"]["reconstruction"], rel=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_weights():
    frames, labels = _batch()
    model = _model()
    with torch.no_grad():
        model.head[1].bias[0] = float("nan")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(SoraError, match=r"diverged[\s\S]*learning-rate"):
        _train(model, make_optimizer(model, TrainConfig()), range(1), frames=frames, labels=labels)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], equal_nan=True, rtol=0, atol=0)


def test_labels_of_another_length_are_refused():
    frames, labels = _batch()
    with pytest.raises(ValueError, match=r"labels.shape = \(3,\)"):
        evaluate_step(_model(), frames, labels[:3], TrainConfig())


def test_no_gradient_is_longer_than_the_limit():
    frames, labels = _batch()
    model = _model()
    config = TrainConfig(gradient_clip_norm=1e-3)
    numbers = _train(model, make_optimizer(model, config), range(1), frames=frames, labels=labels, config=config)
    clipped = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
    assert numbers[0]["gradient_norm"] > 1e-2
    assert clipped.item() == pytest.approx(1e-3, rel=1e-2)


def test_biases_and_norms_do_not_decay():
    groups = make_optimizer(_model(), TrainConfig(weight_decay=0.5)).param_groups
    decays = {name: group["weight_decay"] for group in groups for name in group["param_names"]}
    assert decays["encoder.stem.weight"] == 0.5
    assert decays["encoder.stem.bias"] == 0.0
    assert decays["encoder.stages_to_latent.0.0.norm.weight"] == 0.0
    assert set(decays) == {name for name, _ in _model().named_parameters()}


def test_the_rate_climbs_straight_and_falls_along_a_cosine():
    config = TrainConfig(learning_rate=1.0, warmup_fraction=0.2)
    rates = [learning_rate_at(config, step, 20) for step in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[12] == pytest.approx(0.5)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.02


@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_the_shortest_runs_have_a_rate(total_steps):
    config = dataclasses.replace(TrainConfig(), warmup_fraction=0.1)
    assert all(0 < learning_rate_at(config, step, total_steps) <= config.learning_rate for step in range(total_steps))


def test_setting_the_rate_reaches_every_group():
    optimizer = make_optimizer(_model(), TrainConfig())
    set_learning_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]
