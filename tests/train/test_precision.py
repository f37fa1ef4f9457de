"""bfloat16 is used where it is right and faster, and nowhere else; what decides is kept with the run."""

import math

import pytest
import torch

from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import ConfigError
from pipeline.model.autoencoder import build_model
from pipeline.model.config import ModelConfig
from pipeline.train.average import WeightAverage
from pipeline.train.config import TrainConfig
from pipeline.train.precision import Choice, Trial, choose, decide, try_out
from pipeline.train.standing import Standing
from pipeline.train.step import make_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TINY = ModelConfig("tiny", "sora", (4, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6)
SAMPLING = SamplingConfig(frames_per_clip=8, sample_fps=8.0, stride_s=1.0, size_px=16)
CASES = {
    "right and fast": (Trial(0.001, 0.999, 1.8), "bf16", "1.80 times"),
    "right and slow": (Trial(0.001, 0.999, 0.25), "fp32", "0.25 times"),
    "right and hardly faster": (Trial(0.001, 0.999, 1.05), "fp32", "1.05 times"),
    "another loss": (Trial(0.03, 0.999, 4.0), "fp32", "3.00%"),
    "another gradient": (Trial(0.001, 0.5, 4.0), "fp32", "0.5000"),
    "no loss at all": (Trial(math.nan, 0.999, 4.0), "fp32", "not right"),
    "an endless loss": (Trial(math.inf, 0.999, 4.0), "fp32", "not right"),
    "no gradient": (Trial(0.001, math.nan, 4.0), "fp32", "not right"),
}


def _network():
    torch.manual_seed(0)
    return build_model(TINY, num_classes=3)


@pytest.mark.parametrize("name", CASES)
def test_only_what_is_right_and_faster_is_used(name):
    trial, precision, words = CASES[name]
    choice = decide(trial)
    assert choice.precision == precision
    assert words in choice.reason


@pytest.mark.parametrize("terms", [{}, {"instance_weight": 1.0}])
def test_the_self_test_runs_here_and_leaves_the_network_as_it_was(terms):
    network = _network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trial = try_out(network, SAMPLING, TrainConfig(**terms), CPU)
    assert 0 <= trial.loss_difference < 0.02, "bfloat16 of this machine is right, though it may be slow"
    assert trial.gradient_cosine <= 1 or math.isnan(trial.gradient_cosine), "some CPUs give none, which is found out"
    assert trial.speedup > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_float32_against_itself_is_exact(monkeypatch):
    from pipeline.train import precision

    real = precision.forward
    monkeypatch.setattr(precision, "forward", lambda *given: real(*given[:3], "fp32"))
    trial = try_out(_network(), SAMPLING, TrainConfig(), CPU)
    assert (trial.loss_difference, trial.gradient_cosine) == (0, pytest.approx(1))


@pytest.mark.parametrize("wrong", [lambda g: g.flip(0), lambda g: g * float("nan"), lambda g: g + 1e30])
def test_one_kernel_with_a_wrong_gradient_is_found(monkeypatch, wrong):
    from pipeline.train import precision

    real = precision.forward

    def faulty(network, shown, config, asked):
        kernel = network.get_parameter("encoder.stages_to_latent.2.0.temporal.weight")
        hook = kernel.register_hook(wrong if asked == "bf16" else lambda gradient: gradient)
        output, loss, terms = real(network, shown, config, "fp32")
        hooks.append(hook)
        return output, loss, terms

    hooks = []
    real_once = precision._once

    def once(*given):
        found = real_once(*given)
        hooks.pop().remove()
        return found

    monkeypatch.setattr(precision, "forward", faulty)
    monkeypatch.setattr(precision, "_once", once)
    assert "kernel's gradient" in decide(try_out(_network(), SAMPLING, TrainConfig(), CPU)).reason


def test_what_is_asked_for_is_not_tested():
    for asked in ("fp32", "bf16"):
        assert choose(_network(), SAMPLING, TrainConfig(precision=asked), CPU) == Choice(asked, "asked for")
    with pytest.raises(ConfigError, match="precision"):
        TrainConfig(precision="fp16")


def test_a_resumed_run_computes_with_what_it_began_with(tmp_path):
    standings = [
        Standing(network, WeightAverage(network, decay=0.9), make_optimizer(network, TrainConfig()))
        for network in (_network(), _network())
    ]
    first, resumed = standings
    first.choice = Choice("bf16", "1.80 times as fast")
    for parameter in first.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    first.optimizer.step()
    first.save(tmp_path, labels=["a", "b", "c"], sampling={}, metrics={})
    resumed.load(tmp_path)
    assert resumed.choice == first.choice
