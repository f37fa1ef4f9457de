"""One job in a decoder process: hand it source bytes as it asks, take what it yields, never wait for ever."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

from pipeline.decode.limits import DecodeLimits
from pipeline.decode.process import DecoderProcess, broken_protocol
from pipeline.decode.wire import BLOCK_BYTES, Message, ProtocolError, error_from
from pipeline.errors import DecodeError

MAX_REREADS = 8  # containers are read back and forth, but not for ever
FREE_REREAD_BYTES = 64 << 20  # so that small files may be reread as often as they like

T = TypeVar("T")


class Job:
    """Drives one request to its end; `is_over` says whether the child is then fit for another.

    Args:
        source: Seekable binary file; what it raises becomes io_error.
    """

    def __init__(self, child: DecoderProcess, source: BinaryIO, limits: DecodeLimits):
        self.is_over = False
        self.bytes_read = 0  # of the source
        self.read_s = 0.0  # waiting for the source
        self._child, self._source, self._limits = child, source, limits
        self._wall_left_s = limits.wall_s  # only time spent waiting for the child counts, not the caller's own
        self._size_bytes = self._from_source(lambda: source.seek(0, os.SEEK_END))
        self._bytes_left = MAX_REREADS * self._size_bytes + FREE_REREAD_BYTES

    def run(self, kind: str, fields: dict[str, Any], take: Callable[[Message], T]) -> Iterator[T]:
        """Send the request and yield what `take` makes of each answer.

        Raises:
            DecodeError: what the child reports (it is fit for another job then, unless it ran out of memory), or what
                became of it.
        """
        first_block = self._bytes_at(0, min(BLOCK_BYTES, self._size_bytes))  # saves small files a round trip
        self._send(Message(kind, {"size_bytes": self._size_bytes, **fields}, first_block))
        while (message := self._next()).type != "end":
            if message.type == "read":
                self._send(Message("data", payload=self._read(message)))
            elif message.type == "error":
                error = _checked(error_from, message)
                self.is_over = error.error_class != "out_of_memory"
                raise error
            else:
                answer = _checked(take, message)
                if "slot" in message.fields:
                    self._send(Message("free", {"slot": message.fields["slot"]}))
                yield answer
        self.is_over = True

    def _next(self) -> Message:
        started_s = time.monotonic()
        message = self._child.receive(timeout_s=min(self._limits.stall_s, self._wall_left_s))
        self._wall_left_s = max(self._wall_left_s - (time.monotonic() - started_s), 0.0)
        return message

    def _send(self, message: Message) -> None:
        self._child.send(message, timeout_s=self._limits.stall_s)

    def _read(self, message: Message) -> bytes:
        offset, length = message.fields.get("offset"), message.fields.get("length")
        if not (isinstance(offset, int) and isinstance(length, int)):
            raise broken_protocol(ProtocolError("a read without a place"))
        if not (0 <= offset < self._size_bytes and 0 < length <= BLOCK_BYTES):
            raise broken_protocol(ProtocolError("a read outside the file"))
        return self._bytes_at(offset, length)

    def _bytes_at(self, offset: int, length: int) -> bytes:
        self._bytes_left -= length
        self.bytes_read += length
        if self._bytes_left < 0:
            raise DecodeError("the decoder reads the file over and over", error_class="timeout", got=self._size_bytes)
        return self._from_source(lambda: _read_fully(self._source, offset, length))

    def _from_source(self, do: Callable[[], T]) -> T:
        started_s = time.monotonic()
        try:
            return do()
        except Exception as e:  # any store may be behind it, each with errors of its own
            got = f"{type(e).__name__}: {e}"
            raise DecodeError("the source could not be read", error_class="io_error", got=got) from e
        finally:
            self.read_s += time.monotonic() - started_s


def _read_fully(source: BinaryIO, offset: int, length: int) -> bytes:
    """At most length bytes, fewer only at the end of the file; a raw file may give them in pieces."""
    source.seek(offset)
    data = source.read(length)
    while data and len(data) < length:
        more = source.read(length - len(data))
        if not more:
            break
        data += more
    return data


def _checked(parse: Callable[[Message], T], message: Message) -> T:
    try:
        return parse(message)
    except ProtocolError as e:
        raise broken_protocol(e) from e
