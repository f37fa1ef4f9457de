"""What is fetched of an object for what is read of it."""

import numpy as np
import pytest

from pipeline.read_ahead import AFTER_JUMP_BYTES, GrowingReadAhead

DATA = np.random.default_rng(0).integers(0, 256, size=20 << 20, dtype=np.uint8).tobytes()
MIB = 1 << 20


@pytest.fixture
def fetched() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def cache(fetched: list[tuple[int, int]]) -> GrowingReadAhead:
    def fetch(start: int, stop: int) -> bytes:
        fetched.append((start, stop))
        return DATA[start:stop]

    return GrowingReadAhead(4 * MIB, fetch, len(DATA))


def test_what_is_read_in_order_is_fetched_once_in_large_pieces(
    cache: GrowingReadAhead, fetched: list[tuple[int, int]]
) -> None:
    piece = 256 << 10
    assert b"".join(cache._fetch(start, start + piece) for start in range(0, len(DATA), piece)) == DATA
    assert cache.total_requested_bytes == len(DATA)
    assert len(fetched) == 5


def test_after_a_jump_little_is_fetched_then_more(cache: GrowingReadAhead, fetched: list[tuple[int, int]]) -> None:
    cache._fetch(0, 1000)
    for start in range(10 * MIB, 13 * MIB, 100_000):
        assert cache._fetch(start, start + 100_000) == DATA[start : start + 100_000]
    assert fetched[0] == (0, 4 * MIB)
    assert [stop - start for start, stop in fetched[1:]] == [AFTER_JUMP_BYTES, MIB, 2 * MIB]


def test_any_order_of_reads_gives_the_right_bytes(cache: GrowingReadAhead, fetched: list[tuple[int, int]]) -> None:
    random = np.random.default_rng(1)
    for _ in range(300):
        start = int(random.integers(0, len(DATA)))
        stop = start + int(random.choice([0, 1, 5_000, 3 * MIB]))
        assert cache._fetch(start, stop) == DATA[start:stop]
    assert cache._fetch(None, None) == DATA
    assert cache._fetch(len(DATA), None) == b""
    assert cache.total_requested_bytes == sum(stop - start for start, stop in fetched)
