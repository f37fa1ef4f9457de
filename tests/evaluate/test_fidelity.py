"""PSNR and SSIM against values known by arithmetic; e_t alone is decoded without z."""

import pytest
import torch

from pipeline.evaluate.fidelity import psnr, ssim
from pipeline.evaluate.pca import pooled_differences, pooled_pixels
from pipeline.model.autoencoder import build_model
from pipeline.model.config import article, sora_xs

CLIPS = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("offset", "expected"), [(0.1, 20.0), (0.01, 40.0), (0.0, 100.0)])
def test_psnr_of_an_offset_is_its_logarithm(offset: float, expected: float) -> None:
    assert psnr(CLIPS, CLIPS + offset).tolist() == pytest.approx([expected] * 2, abs=1e-2)


def test_ssim_is_1_of_equals_and_the_formula_of_flat_pictures() -> None:
    assert ssim(CLIPS, CLIPS).tolist() == pytest.approx([1.0] * 2, abs=1e-5)
    a, b = torch.full_like(CLIPS, 0.2), torch.full_like(CLIPS, 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert ssim(a, b).tolist() == pytest.approx([expected] * 2, abs=1e-3)


def test_e_alone_is_decoded_as_if_z_were_zero() -> None:
    model, x = build_model(sora_xs(), num_classes=0).eval(), 2 * CLIPS - 1
    with torch.inference_mode():
        before = model.reconstruct(x)
        alone = model.reconstruct_from_steps(x)
        assert alone is not None
        assert alone.shape == x.shape
        assert not torch.allclose(alone, before)
        torch.nn.init.zeros_(model.encoder.latent.weight)
        assert torch.allclose(model.reconstruct(x), alone, atol=1e-5)


def test_a_network_that_does_not_decode_from_e_says_so() -> None:
    assert build_model(article(), num_classes=0).reconstruct_from_steps(CLIPS[:1, :, :2, :8, :8]) is None


def test_pixels_and_differences_have_the_same_size_and_stills_do_not_move() -> None:
    still = CLIPS[:, :, :1].expand(-1, -1, 4, -1, -1)
    assert pooled_pixels(CLIPS).shape == (2, 3 * 4 * 16 * 16)
    assert pooled_differences(still).abs().max() == 0
    assert pooled_differences(CLIPS[:, :, :1]).abs().max() == 0
