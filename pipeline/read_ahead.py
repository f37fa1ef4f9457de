"""How a remote object is read: far ahead while it is read in order, little after a jump.

read    ----------------->            --->           -->
fetched [    4 MiB    ][    4 MiB    ][1/2 ][ 1 MiB ] [1/2 ]
"""

from typing import ClassVar

from fsspec.caching import BaseCache, Fetcher, register_cache

# What a request costs in time, some 20 ms, is what a connection moves in it at 25 MB/s: less is not worth asking for.
AFTER_JUMP_BYTES = 512 << 10


class GrowingReadAhead(BaseCache):  # type: ignore[misc]  # fsspec has no types
    """A cache of fsspec that holds the one piece last fetched.

    Args:
        blocksize: Bytes read ahead at most, and at the start of the object.
        fetcher: (start, stop) -> bytes.
        size: Of the object, in bytes.
    """

    name: ClassVar[str] = "growing_read_ahead"

    def __init__(self, blocksize: int, fetcher: Fetcher, size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._start, self._data = 0, b""
        self._ahead_bytes = blocksize

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start, stop = start or 0, self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        end = self._start + len(self._data)
        if self._start <= start and stop <= end:
            self.hit_count += 1
        elif self._start <= start <= end:
            self._replace(start, self._data[start - self._start :], max(stop, end + self._ahead_bytes))
            self._ahead_bytes = min(2 * self._ahead_bytes, self.blocksize)
        else:
            self._replace(start, b"", max(stop, start + AFTER_JUMP_BYTES))
            self._ahead_bytes = min(2 * AFTER_JUMP_BYTES, self.blocksize)
        return self._data[start - self._start : stop - self._start]

    def _replace(self, start: int, kept: bytes, stop: int) -> None:
        first, stop = start + len(kept), min(stop, self.size)
        self.miss_count += 1
        self.total_requested_bytes += stop - first
        self._start, self._data = start, kept + self.fetcher(first, stop)


register_cache(GrowingReadAhead, clobber=True)
