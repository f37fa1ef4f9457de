"""What is told of an epoch: scores, the spread of its vectors, what it took."""

import numpy as np
import pytest
import torch

from pipeline.model.autoencoder import build_model
from pipeline.model.config import ModelConfig
from pipeline.train.config import TrainConfig
from pipeline.train.usage import usage
from pipeline.train.validation import spectrum_metrics, validate

TINY = ModelConfig("tiny", "sora", (4, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6)


def test_the_spread_along_each_direction_is_its_standard_deviation() -> None:
    vectors = np.random.default_rng(0).standard_normal((5000, 3)) * [4.0, 2.0, 0.0] + 100
    found = spectrum_metrics(vectors)
    assert found["validation_spread_1"] == pytest.approx(4, rel=0.05)
    assert found["validation_spread_2"] == pytest.approx(2, rel=0.05)
    assert found["validation_spread_3"] == 0
    shares = np.array([2 / 3, 1 / 3])
    assert found["validation_effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=0.01)


def test_a_collapse_is_seen() -> None:
    assert set(spectrum_metrics(np.ones((20, 8))).values()) == {0.0}


def test_validation_counts_every_clip_and_measures_their_vectors() -> None:
    torch.manual_seed(0)
    model = build_model(TINY, num_classes=2)
    batches = [(torch.randint(0, 256, (3, 8, 16, 16, 3), dtype=torch.uint8), torch.tensor([0, 1, -1]))] * 2
    found = validate(model, batches, TrainConfig(), ["a", "b"])
    assert found.metrics["validation_clips"] == 6
    assert 1 <= found.metrics["validation_effective_rank"] <= 2, "three different clips span two directions"
    assert sum(name.startswith("validation_spread") for name in found.metrics) == 6
    assert found.classes is not None
    assert found.classes["classes"]["macro avg"]["support"] == 4
    assert validate(model, [], TrainConfig(), ["a", "b"]).metrics == {}


def test_throughput_is_clips_a_second_and_a_cpu_has_no_gpu_memory() -> None:
    assert usage(30, 2.0, torch.device("cpu")) == {"train_clips_per_second": 15.0}
