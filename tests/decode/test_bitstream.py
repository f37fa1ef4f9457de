"""Where decoding may start anew, by the bytes of hand-made packets."""

import struct

import pytest

from pipeline.decode.bitstream import can_skip_nonref, is_restart

AVCC = bytes([1, 100, 0, 31, 0xFF])  # lengths of 4 bytes
AVCC_SHORT = bytes([1, 100, 0, 31, 0xFD])  # lengths of 2 bytes


def hvcc(num_layers: int) -> bytes:
    return bytes([1, *[0] * 20, num_layers << 3 | 0b111, 0])  # lengths of 4 bytes


def units(*types: int, length_format: str = ">I") -> bytes:
    return b"".join(struct.pack(length_format, 3) + bytes([kind, 0, 0]) for kind in types)


@pytest.mark.parametrize(
    ("codec", "extradata", "payload", "expected"),
    [
        ("h264", AVCC, units(9, 7, 8, 0x65), True),  # delimiter, parameter sets, IDR
        ("h264", AVCC, units(6, 0x61), False),  # a recovery point: open GOP or intra refresh
        ("h264", AVCC_SHORT, units(7, 0x65, length_format=">H"), True),
        ("h264", b"", b"\0\0\0\1\x09\x10\0\0\1\x65\0", True),
        ("h264", b"", b"\0\0\0\1\x09\x10\0\0\1\x41\0", False),
        ("h264", AVCC, b"", False),
        ("h264", AVCC, b"\xff\xff\xff\xff\x65", True),  # a length that lies is the decoder's business
        ("h264", AVCC, units(6, 6), False),
        ("h264", AVCC, units(*[6] * 1000, 0x65), False),
        ("h264", b"", b"\0" * 100, False),
        ("hevc", hvcc(1), units(32 << 1, 33 << 1, 19 << 1), True),  # IDR
        ("hevc", hvcc(1), units(21 << 1), True),  # CRA
        ("hevc", hvcc(1), units(1 << 1), False),  # TRAIL
        ("vp9", b"", b"\x82", False),
    ],
)
def test_only_a_picture_that_resets_the_decoder_is_a_restart(
    codec: str, extradata: bytes, payload: bytes, expected: bool
) -> None:
    assert is_restart(codec, extradata, memoryview(payload)) is expected


@pytest.mark.parametrize(
    ("codec", "extradata", "expected"),
    [
        ("h264", b"", True),
        ("hevc", hvcc(1), True),
        ("hevc", hvcc(2), False),  # what its own layer does not need, a higher one may
        ("hevc", b"", False),
        ("vp9", b"", False),
    ],
)
def test_frames_are_skipped_only_where_nothing_leans_on_them(codec: str, extradata: bytes, expected: bool) -> None:
    assert can_skip_nonref(codec, extradata) is expected
