"""Networks in eight bits: near the float ones, saved and loaded with their ranges, and never mistaken for them."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.decode.transform import to_model_input
from pipeline.features.engine import EIGHT_BITS
from pipeline.features.engine_choice import choose_engine, probe_clips
from pipeline.model.autoencoder import VideoAutoencoder, build_model
from pipeline.model.checkpoint import load_checkpoint, save_checkpoint
from pipeline.model.config import ModelConfig, sora_xs
from pipeline.model.quantization import QuantizedConv, is_quantized, quantize

SAMPLING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 1.0, "size_px": 32}
SMALL_ARTICLE = ModelConfig("article", "article", widths=(8, 16), depths=(1, 2), latent_channels=16, embedding_dim=8)


def network(config: ModelConfig) -> VideoAutoencoder:
    torch.manual_seed(0)
    return build_model(config, num_classes=0).eval()


def clips(seed: int, number: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, 2, 4, 4, generator=generator) * 2 - 1
    return F.interpolate(coarse, size=(8, 32, 32), mode="trilinear")


@pytest.mark.parametrize("config", [sora_xs(), SMALL_ARTICLE], ids=["sora_xs", "article"])
def test_vectors_of_eight_bits_are_near_the_float_ones_on_clips_it_was_not_calibrated_on(config: ModelConfig) -> None:
    exact = network(config)
    integer = deepcopy(exact)
    quantize(integer, [clips(0), clips(1)])
    assert is_quantized(integer)
    assert not is_quantized(exact)
    with torch.inference_mode():
        before, after = exact.embed(clips(2)), integer.embed(clips(2))
        rebuilt = (exact.reconstruct(clips(2)) - integer.reconstruct(clips(2))).abs().mean()
    assert not torch.equal(before, after), "eight bits that change nothing are none"
    assert ((after - before).norm(dim=1) < 0.03 * before.norm(dim=1)).all()
    assert rebuilt < 0.02


def test_a_checkpoint_of_eight_bits_gives_the_same_vectors_and_has_a_digest_of_its_own(tmp_path: Path) -> None:
    exact = network(sora_xs())
    before = save_checkpoint(tmp_path / "exact", exact, labels=[], sampling=SAMPLING, metrics={})
    integer = deepcopy(exact)
    quantize(integer, [clips(0)])
    after = save_checkpoint(tmp_path / "integer", integer, labels=[], sampling=SAMPLING, metrics={})
    assert before != after
    loaded = load_checkpoint(tmp_path / "integer").model
    assert is_quantized(loaded)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.embed(clips(2)), integer.embed(clips(2)), rtol=0, atol=0)
    assert not is_quantized(load_checkpoint(tmp_path / "exact").model)


def test_ranges_cover_all_batches_and_always_zero() -> None:
    one, two, both = (network(sora_xs()) for _ in range(3))
    quantize(one, [clips(0)])
    quantize(two, [clips(1)])
    quantize(both, [clips(0), clips(1)])
    for a, b, ab in zip(*(layers(model) for model in (one, two, both)), strict=True):
        low = torch.minimum(a.input_range[0], b.input_range[0])
        high = torch.maximum(a.input_range[1], b.input_range[1])
        torch.testing.assert_close(ab.input_range, torch.stack([low, high]))
        assert low < 0 < high


def test_a_convolution_of_eight_bits_rounds_by_half_a_level_and_clips_what_it_has_not_seen() -> None:
    torch.manual_seed(0)
    exact = nn.Conv3d(4, 4, 1, bias=True)
    nn.init.zeros_(exact.weight)
    exact.weight.data[range(4), range(4)] = 1.0  # passes its input on
    nn.init.constant_(exact.bias, 0.25)
    layer = QuantizedConv(exact)
    layer.input_range.copy_(torch.tensor([-1.0, 1.0]))
    x = torch.linspace(-1, 1, 4 * 512).reshape(1, 4, 1, 1, 512)
    assert (layer(x) - 0.25 - x).abs().max() <= 0.51 * 2 / 255
    far = layer(torch.full((1, 4, 1, 1, 1), 3.0)) - 0.25
    torch.testing.assert_close(far, torch.full_like(far, 1.0), rtol=0, atol=2 / 255)


def test_the_engine_of_a_network_of_eight_bits_is_its_own_and_its_vectors_do_not_depend_on_the_batch() -> None:
    model = network(sora_xs())
    quantize(model, [clips(0)])
    engine = choose_engine(model, device=torch.device("cpu"), wanted="auto")
    assert engine.name == EIGHT_BITS
    frames = probe_clips(6, (8, 32, 32, 3))
    whole = engine.run(frames)
    alone = [engine.run(frames[index : index + 1]) for index in range(len(frames))]
    torch.testing.assert_close(whole.embedding, torch.cat([one.embedding for one in alone]), rtol=0, atol=1e-5)
    with torch.inference_mode():
        assert F.cosine_similarity(whole.embedding, model.embed(to_model_input(frames))).min() > 0.9999


def test_it_is_refused_without_clips_and_off_the_cpu() -> None:
    with pytest.raises(ValueError, match="at least one"):
        quantize(network(sora_xs()), [])
    model = network(sora_xs())
    quantize(model, [clips(0)])
    with pytest.raises(ValueError, match="run on CPUs"):
        layers(model)[0](torch.empty(1, 24, 1, 1, 1, device="meta"))


def layers(model: VideoAutoencoder) -> list[QuantizedConv]:
    return [module for module in model.modules() if isinstance(module, QuantizedConv)]
