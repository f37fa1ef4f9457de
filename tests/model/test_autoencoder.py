"""Both networks keep one interface; their sizes are pinned; what they give for a clip depends on that clip alone."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.errors import ConfigError
from pipeline.model.autoencoder import build_model
from pipeline.model.config import ModelConfig, named_config

NAMES = ["article", "sora_xs"]
TINY = {
    "article": ModelConfig("tiny", "article", (4, 8), (0, 1), latent_channels=8, embedding_dim=6),
    "sora_xs": ModelConfig("tiny", "sora", (4, 8, 8, 12), (1, 1, 1, 1), latent_channels=4, embedding_dim=6),
}


def _model(name, *, num_classes=3, config=None):
    torch.manual_seed(0)
    return build_model(config or TINY[name], num_classes=num_classes).eval()


def _clips(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _wake(model):
    """Move every zero of a new network, so that no residual branch hides."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize(
    ("name", "num_parameters", "gmac"),
    [("article", 3_065_688, 31.693), ("sora_xs", 838_157, 0.297)],  # the article: 3.07 M, 31.7 GMAC; xs: at most 0.3
)
def test_the_size_of_a_network_is_what_the_page_says(name, num_parameters, gmac):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build_model(named_config(name), num_classes=21).eval()
        model(torch.zeros(1, 3, 16, 64, 64))
    lasting = [p for name, p in model.named_parameters() if not name.startswith(("project_", "describe"))]
    assert sum(parameter.numel() for parameter in lasting) == num_parameters
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "num_parameters", "gmac"),
    [("sora_xs", 0.62e6, 0.161), ("sora_s", 3.7e6, 0.8), ("sora_m", 8.7e6, 2.7), ("sora_l", 25e6, 6.8)],
)
def test_the_size_of_an_encoder_is_what_the_page_says(name, num_parameters, gmac):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = build_model(named_config(name), num_classes=0).eval()
        model.encode(torch.zeros(1, 3, 16, 64, 64))
    assert sum(p.numel() for p in model.encoder.parameters()) == pytest.approx(num_parameters, rel=0.02)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, rel=0.04)


@pytest.mark.parametrize(
    ("name", "latent", "steps"),
    [("article", (2, 128, 8, 32, 32), (2, 16, 64)), ("sora_xs", (2, 16, 4, 8, 8), (2, 4, 64))],
)
def test_the_codes_of_a_clip_of_16x64x64_have_these_shapes(name, latent, steps):
    model = build_model(named_config(name), num_classes=0).eval()
    with torch.inference_mode():
        codes = model.encode(_clips(2, 3, 16, 64, 64))
    assert (tuple(codes.latent.shape), tuple(codes.steps.shape)) == (latent, steps)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(16, 32, 32), (7, 33, 50), (1, 1, 1), (5, 17, 2), (18, 16, 40)])
def test_any_size_comes_back_as_it_went_in(name, size):
    model, x = _model(name), _clips(2, 3, *size)
    output = model(x)
    assert output.reconstruction.shape == x.shape
    assert (output.embedding.shape, output.embedding.dtype) == ((2, model.embedding_dim), torch.float32)
    assert output.logits is not None
    assert output.logits.shape == (2, 3)
    assert output.latent.shape == model.encode(x).latent.shape


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_the_same_as_a_clip_that_stands_still(name):
    model, x = _wake(_model(name)), _clips(1, 3, 7, 16, 16)
    longer = torch.cat([x, x[:, :, -1:]], dim=2)
    torch.testing.assert_close(model(x).embedding, model(longer).embedding)
    torch.testing.assert_close(model(x).reconstruction, model(longer).reconstruction[:, :, :7])


@pytest.mark.parametrize("name", NAMES)
def test_every_door_gives_the_same_answer(name):
    model, x = _wake(_model(name)), _clips(2, 3, 8, 16, 16)
    output, codes = model(x), model.encode(x)
    torch.testing.assert_close(model.embed(x), output.embedding)
    torch.testing.assert_close(codes.steps.mean(dim=1), output.embedding)
    torch.testing.assert_close(codes.latent, output.latent)
    torch.testing.assert_close(model.reconstruct(x), output.reconstruction)


@pytest.mark.parametrize("name", NAMES)
def test_a_clips_embedding_does_not_depend_on_its_neighbours(name):
    model, x = _wake(_model(name)), _clips(4, 3, 8, 16, 16)
    alone = torch.cat([model.embed(clip[None]) for clip in x])
    torch.testing.assert_close(model.embed(x), alone, atol=1e-5, rtol=1e-5)
    assert (alone[0] - alone[1]).abs().max() > 1e-3  # and it does depend on the clip


@pytest.mark.parametrize("name", NAMES)
def test_the_embedding_keeps_its_length(name):
    lengths = _wake(_model(name)).embed(
        _clips(3, 3, 8, 16, 16) * torch.tensor([0.1, 0.5, 1.0])[:, None, None, None, None]
    )
    assert lengths.norm(dim=1).std() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_without_classes_there_is_no_head(name):
    assert _model(name, num_classes=0)(_clips(1, 3, 4, 16, 16)).logits is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(3, 16, 64, 64), r"\(B, C, T, H, W\).*\(3, 16, 64, 64\)"),
        (torch.zeros(1, 16, 64, 64, 3), r"C = 3.*\(1, 16, 64, 64, 3\)"),
        (torch.zeros(0, 3, 16, 64, 64), r"no size 0.*\(0, 3, 16, 64, 64\)"),
        (torch.zeros(1, 3, 16, 64, 64, dtype=torch.uint8), r"torch\.uint8"),
    ],
)
def test_a_wrong_input_is_named_at_the_door(name, x, words):
    with pytest.raises(ValueError, match=words):
        _model(name)(x)


def test_a_negative_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match="-1"):
        build_model(TINY["article"], num_classes=-1)


def test_z_is_48_times_smaller_than_the_clip():
    x = _clips(1, 3, 16, 64, 64)
    latent = build_model(named_config("sora_xs"), num_classes=0).encode(x).latent
    assert x.numel() / latent.numel() == 48


@pytest.mark.parametrize("name", NAMES)
def test_a_new_network_tells_of_every_clip_what_is_true_of_an_empty_one(name):
    output = _model(name)(_clips(2, 3, 8, 32, 32))
    assert torch.equal(output.described, torch.ones_like(output.described))
    assert torch.equal(output.described_places, torch.ones_like(output.described_places))
