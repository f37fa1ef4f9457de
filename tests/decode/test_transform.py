"""Layout and range, there and back."""

import pytest
import torch

from pipeline.decode.transform import to_frames, to_model_input


def test_every_level_survives_the_way_there_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).repeat(6).reshape(2, 4, 8, 8, 3)
    assert torch.equal(to_frames(to_model_input(frames)), frames)


def test_model_input_is_channels_first_and_in_range() -> None:
    frames = torch.zeros(1, 2, 4, 6, 3, dtype=torch.uint8)
    frames[0, 1, 2, 3, 0] = 255
    x = to_model_input(frames)
    assert x.shape == (1, 3, 2, 4, 6)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert x[0, 0, 1, 2, 3] == 1.0
    assert x.sum() == 1.0 - (x.numel() - 1)


def test_values_outside_the_range_are_clipped() -> None:
    x = torch.full((1, 3, 1, 1, 1), 7.0)
    assert to_frames(x).unique().tolist() == [255]
    assert to_frames(-x).unique().tolist() == [0]


@pytest.mark.parametrize(
    ("transform", "bad", "said"),
    [
        (to_model_input, torch.zeros(1, 2, 4, 4, 3), "torch.float32"),
        (to_model_input, torch.zeros(2, 4, 4, 3, dtype=torch.uint8), "(2, 4, 4, 3)"),
        (to_model_input, torch.zeros(1, 3, 2, 4, 4, dtype=torch.uint8), "(1, 3, 2, 4, 4)"),
        (to_frames, torch.zeros(1, 3, 2, 4, 4, dtype=torch.uint8), "torch.uint8"),
        (to_frames, torch.zeros(1, 2, 4, 4, 3), "(1, 2, 4, 4, 3)"),
    ],
)
def test_a_wrong_tensor_is_named_in_the_message(transform: object, bad: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        transform(bad)
    assert said in str(caught.value)
