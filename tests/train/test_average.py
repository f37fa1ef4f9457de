"""Averaged weights follow the trained ones, forget the first ones soon, and survive a resume to the bit."""

import numpy as np
import pytest
import torch

from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import load_checkpoint
from pipeline.model.config import ModelConfig
from pipeline.train.average import WeightAverage, kept_share
from pipeline.train.chance import Chance, clip_keys
from pipeline.train.config import TrainConfig
from pipeline.train.standing import Progress, Standing
from pipeline.train.step import make_optimizer, train_step

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {
    "article": ModelConfig("tiny", "article", (4, 8), (0, 1), latent_channels=8, embedding_dim=6),
    "sora": ModelConfig("tiny", "sora", (4, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6),
}
CONFIG = TrainConfig()
FRAMES = torch.randint(0, 256, (4, 8, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, -1])


def _standing(name="sora", *, decay=CONFIG.ema_decay):
    torch.manual_seed(0)
    network = build_model(TINY[name], num_classes=3)
    return Standing(network, WeightAverage(network, decay=decay), make_optimizer(network, CONFIG))


def _steps(standing, num_steps):
    losses = []
    for _ in range(num_steps):
        chance = Chance(clip_keys(np.arange(4, dtype=np.uint64), seed=0, epoch=standing.step), torch.device("cpu"))
        numbers = train_step(
            standing.network, FRAMES, LABELS, optimizer=standing.optimizer, config=CONFIG, chance=chance
        )
        standing.after_step(numbers)
        losses.append(numbers["loss"])
    return losses


@pytest.mark.parametrize(
    ("decay", "step", "kept"), [(0.999, 0, 0.1), (0.999, 90, 0.91), (0.999, 100_000, 0.999), (0.9, 90, 0.9), (0, 5, 0)]
)
def test_a_step_keeps_what_the_warm_up_and_the_decay_allow(decay, step, kept):
    assert kept_share(decay, step) == pytest.approx(kept)


@pytest.mark.parametrize("num_steps", [10, 100, 1000])
def test_the_average_lags_a_tenth_of_the_run_however_short(num_steps):
    """Weights that grow by one a step: the average is as far behind as it reaches back."""
    lag = 0.0
    for step in range(num_steps):
        lag = kept_share(CONFIG.ema_decay, step) * (lag + 1)
    assert num_steps / 20 < lag < num_steps / 9


@pytest.mark.parametrize("name", sorted(TINY))
def test_without_decay_the_average_is_the_network_itself(name):
    standing = _standing(name, decay=0.0)
    _steps(standing, 3)
    for key, value in standing.network.state_dict().items():
        assert torch.equal(standing.average.network.state_dict()[key], value), key


def test_running_statistics_are_averaged_and_counters_are_copied():
    standing = _standing("article")
    first = {key: value.clone() for key, value in standing.network.state_dict().items()}
    standing.average.update(_moved(standing.network), step=0)
    for key, value in standing.average.network.state_dict().items():
        expected = first[key] + 0.9 if value.is_floating_point() else first[key] + 1
        torch.testing.assert_close(value, expected, msg=key)


def _moved(network):
    with torch.no_grad():
        for value in network.state_dict().values():
            value += 1
    return network


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_run_resumed_within_an_epoch_has_the_losses_and_the_averages_of_an_uninterrupted_one(tmp_path, name):
    whole = _standing(name)
    _steps(whole, 3)
    whole.save(tmp_path, labels=["a", "b", "c"], sampling={}, metrics={})
    losses = _steps(whole, 3)

    torch.manual_seed(99)  # another network, before it is loaded
    network = build_model(TINY[name], num_classes=3)
    resumed = Standing(network, WeightAverage(network, decay=CONFIG.ema_decay), make_optimizer(network, CONFIG))
    resumed.load(tmp_path)
    assert (resumed.step, resumed.progress.num_steps) == (3, 3)
    assert _steps(resumed, 3) == losses
    assert resumed.progress == whole.progress != Progress()
    for key, value in whole.average.network.state_dict().items():
        assert torch.equal(resumed.average.network.state_dict()[key], value), key


def test_what_anybody_loads_from_the_folder_are_the_averaged_weights(tmp_path):
    standing = _standing()
    _steps(standing, 3)
    standing.save(tmp_path, labels=["a", "b", "c"], sampling={}, metrics={})
    loaded = load_checkpoint(tmp_path).model.state_dict()
    for key, value in standing.average.network.state_dict().items():
        assert torch.equal(loaded[key], value), key
    assert any(not torch.equal(loaded[key], value) for key, value in standing.network.state_dict().items())
