"""The Haar transform loses nothing, and its bands mean what they are said to mean."""

import pytest
import torch

from pipeline.model.haar import fold, haar, inverse_haar, pad_to_multiple, unfold


def test_the_round_trip_is_exact_to_the_bit_on_a_binary_grid():
    levels = torch.randint(0, 256, (2, 3, 6, 10, 14), generator=torch.Generator().manual_seed(0))
    x = levels.float() / 128 - 1
    assert torch.equal(inverse_haar(haar(x)), x)


def test_the_round_trip_is_exact_to_rounding_on_any_input():
    x = torch.randn(2, 3, 4, 8, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(inverse_haar(haar(x)), x, atol=2e-6, rtol=0)


def test_energy_is_halved_whatever_the_input():
    x = torch.randn(1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(haar(x).square().sum(), x.square().sum() / 2)


def test_a_still_grey_clip_is_all_mean():
    bands = haar(torch.full((1, 3, 2, 4, 4), 0.5))
    assert torch.equal(bands[:, :3], torch.full((1, 3, 1, 2, 2), 1.0))
    assert bands[:, 3:].count_nonzero() == 0


def test_the_temporal_band_is_the_residual_frame():
    x = torch.zeros(1, 3, 2, 2, 2)
    x[:, 1, 0] = 1.0  # green falls from 1 to 0
    bands = haar(x).flatten()
    assert bands.nonzero().flatten().tolist() == [1, 4 * 3 + 1]
    assert bands[4 * 3 + 1] == 1.0


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2), (2, 1, 3)])
def test_unfold_undoes_fold(factors):
    x = torch.randn(2, 5, 4, 6, 12)
    assert torch.equal(unfold(fold(x, factors), factors), x)


def test_padding_repeats_the_last_frame_row_and_column():
    x = torch.arange(3.0).reshape(1, 1, 1, 1, 3)
    assert pad_to_multiple(x, (2, 1, 4)).flatten().tolist() == [0, 1, 2, 2, 0, 1, 2, 2]
    assert pad_to_multiple(x, (1, 1, 3)) is x
