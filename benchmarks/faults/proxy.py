"""A TCP proxy before an S3 server that answers 503, resets, stalls, cuts bodies short and loses answers, by seed.

client --> one whole request --> (503 | reset | stall) --> server --> answer --> (lost | cut) --> client
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from benchmarks.faults.schedule import FaultRates

_BUSY_BODY = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: "
    + str(len(_BUSY_BODY)).encode()
    + b"\r\n\r\n"
)
_NO_BODY = (b"204", b"304")
_HEAD_LIMIT = 1 << 20


@dataclass(frozen=True)
class _Message:
    """A whole HTTP request or answer, its body still framed as it came."""

    head: bytes
    body: bytes

    @property
    def method(self) -> bytes:
        return self.head.split(b" ", 1)[0]


class FaultProxy:
    """Listens on a free port of 127.0.0.1 in a thread of its own.

    Args:
        upstream_url: The S3 server, http://host:port.
        rates: What goes wrong how often.
        seed: Of the draws, one a request in the order of their arrival.
    """

    def __init__(self, upstream_url: str, rates: FaultRates, *, seed: int):
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname, parts.port)
        self._rates = rates
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="fault-proxy")
        self._server: asyncio.Server | None = None
        self.counts: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where clients go."""
        assert self._server is not None, "the proxy is not running"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._ready.wait(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        self._server = self._loop.run_until_complete(serving)
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        while tasks := asyncio.all_tasks(self._loop):  # a connection accepted last becomes a task meanwhile
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _draw(self, method: bytes) -> str:
        """Which fault the next request meets; the answer to a HEAD has no body to cut."""
        x, start = self._rng.random(), 0.0
        for name in ("slow_down", "reset", "lost", "cut", "stall"):
            share = getattr(self._rates, name)
            if start <= x < start + share:
                return "none" if name == "cut" and method != b"GET" else name
            start += share
        return "none"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one client connection, one after the other, over one connection to the server."""
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            upstream = await asyncio.open_connection(*self._upstream, limit=_HEAD_LIMIT)
            while True:
                request = await _read_request(reader, writer)
                if not await self._pass_on(request, *upstream, writer):
                    break
        except (asyncio.IncompleteReadError, OSError):  # either side went away: so does the other
            pass
        finally:
            for one in (writer, *(upstream or ())[1:]):
                with contextlib.suppress(OSError):
                    one.close()

    async def _pass_on(
        self,
        request: _Message,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Handle one request; False where the connection is over."""
        fault = self._draw(request.method)
        self.counts[fault] += 1
        if fault == "slow_down":
            writer.write(_BUSY + (b"" if request.method == b"HEAD" else _BUSY_BODY))
            await writer.drain()
            return True
        if fault == "reset":
            return _reset(writer)
        if fault == "stall":
            await asyncio.sleep(self._rates.stall_s)
        server_writer.write(request.head + request.body)
        await server_writer.drain()
        answer = await _read_answer(server_reader, request.method)
        if fault == "lost":
            return _reset(writer)
        if fault == "cut" and answer.body:
            writer.write(answer.head + answer.body[: self._rng.randrange(len(answer.body))])
            await writer.drain()
            return False
        writer.write(answer.head + answer.body)
        await writer.drain()
        return b"\r\nconnection: close\r\n" not in answer.head.lower()


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with RST instead of FIN."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Message:
    """A whole request; the client's `Expect: 100-continue` is answered here and not passed on."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"expect:")]
    if len(kept) < len(lines):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    return _Message(b"\r\n".join(kept), await _read_body(reader, head))


async def _read_answer(reader: asyncio.StreamReader, method: bytes) -> _Message:
    head = await reader.readuntil(b"\r\n\r\n")
    while head.split(b" ", 2)[1] == b"100":
        head = await reader.readuntil(b"\r\n\r\n")
    has_body = method != b"HEAD" and head.split(b" ", 2)[1] not in _NO_BODY
    return _Message(head, await _read_body(reader, head) if has_body else b"")


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    headers = _headers(head)
    if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        return await _read_chunks(reader)
    return await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """All chunks with their framing, trailers included."""
    parts = []
    size = -1
    while size != 0:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts += [line, await reader.readexactly(size + 2) if size else b""]
    while True:
        line = await reader.readuntil(b"\r\n")
        parts.append(line)
        if line == b"\r\n":
            return b"".join(parts)


def _headers(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
