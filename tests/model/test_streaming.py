"""Slice by slice and all at once a causal network gives the same codes; no other may be streamed."""

import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.model.autoencoder import build_model
from pipeline.model.config import NAMED_CONFIGS, named_config
from pipeline.model.streaming import StreamEncoder


def _model(name="sora_xs_causal"):
    torch.manual_seed(0)
    return build_model(named_config(name), num_classes=0).eval()


@pytest.mark.parametrize("name", ["sora_xs_causal", "sora_s_causal"])
@torch.inference_mode()
def test_slices_give_the_codes_of_the_whole(name):
    model = _model(name)
    x = torch.rand(2, 3, 32, 32, 48) * 2 - 1
    whole, stream = model.encode(x), StreamEncoder(model)
    parts = [stream.push(part) for part in x.split([4, 8, 16, 4], dim=2)]
    latent = torch.cat([part.latent for part in parts], dim=2)
    steps = torch.cat([part.steps for part in parts], dim=1)
    assert (latent - whole.latent).abs().max() < 1e-5
    assert (steps - whole.steps).abs().max() < 1e-5


@torch.inference_mode()
def test_a_causal_network_sees_no_later_frame_and_the_plain_one_does():
    x = torch.rand(1, 3, 16, 32, 32) * 2 - 1
    other = x.clone()
    other[:, :, 8:] *= -1
    for name, is_same in (("sora_xs_causal", True), ("sora_xs", False)):
        model = _model(name)
        assert torch.allclose(model.encode(x).steps[:, :2], model.encode(other).steps[:, :2], atol=1e-6) is is_same


@torch.inference_mode()
def test_what_came_before_matters():
    model, x = _model(), torch.rand(1, 3, 8, 32, 32) * 2 - 1
    stream = StreamEncoder(model)
    stream.push(x[:, :, :4])
    assert not torch.allclose(stream.push(x[:, :, 4:]).steps, StreamEncoder(model).push(x[:, :, 4:]).steps, atol=1e-4)


@pytest.mark.parametrize("name", ["sora_xs", "article"])
def test_a_network_that_looks_ahead_is_refused_with_the_cure(name):
    with pytest.raises(ConfigError, match="causal"):
        StreamEncoder(_model(name))


@pytest.mark.parametrize(
    "shape", [(1, 3, 6, 32, 32), (1, 3, 4, 30, 32), (1, 1, 4, 32, 32), (3, 4, 32, 32), (1, 3, 0, 32, 32)]
)
def test_slices_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        StreamEncoder(_model()).push(torch.zeros(shape))


@torch.inference_mode()
def test_a_stream_keeps_its_batch_and_size():
    stream = StreamEncoder(_model())
    stream.push(torch.zeros(1, 3, 4, 32, 32))
    with pytest.raises(ValueError, match="start of the stream"):
        stream.push(torch.zeros(2, 3, 4, 32, 32))


def test_every_size_of_ours_has_a_causal_twin():
    ours = {name for name in NAMED_CONFIGS if name.startswith("sora") and not name.endswith("_causal")}
    assert {f"{name}_causal" for name in ours} == {name for name in NAMED_CONFIGS if name.endswith("_causal")}


def test_the_memory_of_a_stream_is_two_steps_a_block_however_much_was_pushed():
    stream = StreamEncoder(_model())
    for num_frames in (32, 4):
        stream.push(torch.zeros(1, 3, num_frames, 32, 32))
        held = sum(past.untyped_storage().nbytes() for past in stream._past.values())
        assert held == sum(past.numel() * past.element_size() for past in stream._past.values())
        assert all(past.grad_fn is None for past in stream._past.values())


def test_frames_that_are_still_bytes_are_refused():
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        StreamEncoder(_model()).push(torch.zeros(1, 3, 4, 32, 32, dtype=torch.uint8))
