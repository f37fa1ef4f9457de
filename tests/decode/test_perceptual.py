"""The perceptual digest follows what a picture looks like, not how bright or contrasted it is."""

import numpy as np
import pytest

from pipeline.decode.perceptual import hamming_distance, perceptual_digest


def blocks(seed: int) -> np.ndarray:
    """A picture of 8 x 8 grey blocks: uint8 (32, 32)."""
    return np.random.default_rng(seed).integers(60, 190, (8, 8)).repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)


PICTURE = blocks(0)


@pytest.mark.parametrize(
    ("what", "copy"),
    [
        ("brighter", PICTURE + 40),
        ("darker", PICTURE - 40),
        ("less contrast", (PICTURE * 0.7).astype(np.uint8)),
        ("noise", PICTURE + np.random.default_rng(1).integers(0, 4, PICTURE.shape).astype(np.uint8)),
    ],
)
def test_a_copy_differs_in_few_bits(what: str, copy: np.ndarray) -> None:
    assert hamming_distance(str(perceptual_digest([PICTURE])), str(perceptual_digest([copy]))) <= 2, what


def test_another_picture_and_a_turned_one_differ_in_many() -> None:
    for other in (np.random.default_rng(2).permutation(PICTURE.reshape(-1)).reshape(32, 32), PICTURE.T, PICTURE[::-1]):
        assert hamming_distance(str(perceptual_digest([PICTURE])), str(perceptual_digest([other]))) >= 20


def test_a_plain_picture_has_no_bits_and_none_has_no_digest() -> None:
    for level in (0, 16, 255):
        assert perceptual_digest([np.full((32, 32), level, np.uint8)]) == "0" * 16
    assert perceptual_digest([]) is None
    with pytest.raises(AssertionError, match=r"\(16, 16\)"):
        perceptual_digest([np.zeros((16, 16), np.uint8)])


def test_distance_counts_bits() -> None:
    assert hamming_distance("0" * 16, "f" * 16) == 64
    assert hamming_distance("0000000000000001", "0000000000000003") == 1


def test_the_first_frame_counts_half() -> None:
    others = [blocks(seed) for seed in range(50, 54)]
    first, all_of_them = str(perceptual_digest([PICTURE])), str(perceptual_digest([PICTURE, *others]))
    assert hamming_distance(first, all_of_them) <= 12
    assert hamming_distance(first, str(perceptual_digest(others))) > 20
