"""Corruption hides what it says, by its chance alone."""

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.train.augment import HIDDEN, corrupt, recolour
from pipeline.train.chance import Chance, clip_keys
from pipeline.train.config import TrainConfig

NOTHING = {"mask_ratio": 0.0, "noise_std": 0.0, "frame_drop_ratio": 0.0}


def _chance(x, seed):
    return Chance(clip_keys(np.arange(len(x), dtype=np.uint64), seed=seed, epoch=0), x.device)


def _corrupt(x, seed=0, **changes):
    config = TrainConfig(**(NOTHING | changes))
    return corrupt(x, chance=_chance(x, seed), config=config)


def test_the_same_chance_gives_the_same_clips_and_another_gives_others():
    x = torch.ones(2, 3, 8, 16, 16)
    some = {"mask_ratio": 0.5, "noise_std": 0.1, "frame_drop_ratio": 0.2}
    assert torch.equal(_corrupt(x, 1, **some), _corrupt(x, 1, **some))
    assert not torch.equal(_corrupt(x, 1, **some), _corrupt(x, 2, **some))
    assert torch.equal(x, torch.ones_like(x))


def test_with_every_ratio_at_zero_nothing_changes():
    x = torch.randn(2, 3, 5, 9, 7)
    assert torch.equal(_corrupt(x), x)


def test_a_hidden_cube_is_whole_and_hidden_in_all_colours():
    hidden = _corrupt(torch.ones(8, 3, 8, 16, 24), mask_ratio=0.9) == HIDDEN
    assert 0.1 < hidden.float().mean() < 0.9
    cubes = hidden.unfold(2, 4, 4).unfold(3, 8, 8).unfold(4, 8, 8).flatten(-3)  # (B, C, t, h, w, 256)
    assert torch.equal(cubes.all(-1), cubes.any(-1))
    assert torch.equal(hidden[:, :1].expand_as(hidden), hidden)


def test_each_clip_hides_its_own_share_and_never_more_than_asked():
    hidden = _corrupt(torch.ones(200, 3, 16, 64, 64), mask_ratio=0.4) == HIDDEN
    shares = hidden.float().mean(dim=(1, 2, 3, 4))
    assert shares.mean().item() == pytest.approx(0.2, abs=0.03)
    assert shares.std() > 0.08
    assert shares.max() < 0.5  # 0.4, and the chance of 256 draws


def test_a_hidden_frame_is_hidden_whole():
    hidden = _corrupt(torch.ones(50, 3, 16, 8, 8), frame_drop_ratio=0.25) == HIDDEN
    frames = hidden.flatten(3).transpose(1, 2).flatten(2)  # (B, T, 3*8*8)
    assert torch.equal(frames.all(-1), frames.any(-1))
    assert frames.any(-1).float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_noise_is_one_strength_a_clip_below_the_asked_one():
    strengths = _corrupt(torch.zeros(100, 3, 8, 16, 16), noise_std=0.2).std(dim=(1, 2, 3, 4))
    assert strengths.max() < 0.21
    assert strengths.mean().item() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 9, 17)])
def test_any_size_keeps_its_shape(size):
    x = torch.ones(2, 3, *size)
    assert _corrupt(x, mask_ratio=0.9, noise_std=0.1, frame_drop_ratio=0.5).shape == x.shape


def _recolour(x, jitter, seed=0):
    return recolour(x, chance=_chance(x, seed), config=TrainConfig(colour_jitter=jitter))


def test_recolouring_is_one_affine_map_a_colour_of_a_clip():
    x = (torch.rand(4, 3, 6, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.5  # far from clamping
    y = _recolour(x, 0.3)
    flat_x, flat_y = x.flatten(2), y.flatten(2)  # (B, C, T*H*W)
    gain = (flat_y[..., 1] - flat_y[..., 0]) / (flat_x[..., 1] - flat_x[..., 0])
    offset = flat_y[..., 0] - gain * flat_x[..., 0]
    torch.testing.assert_close(flat_y, gain[..., None] * flat_x + offset[..., None], atol=1e-4, rtol=0)
    assert gain.unique().numel() == 12
    assert (gain - 1).abs().max() <= 0.301
    assert offset.abs().max() <= 0.301


def test_recolouring_stays_in_range_and_repeats_with_its_chance():
    x = torch.rand(4, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert _recolour(x, 0.9).abs().max() <= 1
    assert torch.equal(_recolour(x, 0.9), _recolour(x, 0.9))
    assert not torch.equal(_recolour(x, 0.9, seed=1), _recolour(x, 0.9))
    assert torch.equal(_recolour(x, 0.0), x)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "sora_xxl"),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("gradient_clip_norm", -1.0),
        ("weight_decay", -0.1),
        ("colour_jitter", 1.0),
        ("mask_ratio", 1.0),
        ("frame_drop_ratio", -0.1),
        ("noise_std", float("inf")),
        ("label_smoothing", 1.0),
        ("validation_fraction", 1.0),
        ("warmup_fraction", 1.0),
        ("num_workers", 0),
        ("max_failures", -1),
    ],
)
def test_a_wrong_option_is_named(name, value):
    with pytest.raises(ConfigError, match=name) as caught:
        TrainConfig(**{name: value})
    assert str(value) in str(caught.value)


def test_a_run_that_asks_for_nothing_is_refused():
    with pytest.raises(ConfigError, match="reconstruction"):
        TrainConfig(reconstruction_weight=0, haar_weight=0, classification_weight=0, descriptor_weight=0)
