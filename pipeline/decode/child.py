"""The decoder process: `python -m pipeline.decode.child`, started by `process.py`, never by hand.

It holds a socket to its caller and a piece of shared memory, and nothing else: bytes come in over the socket, frames
go out through the slots, and whatever is left of it after a fault is thrown away.
"""

import gc
import importlib
import io
import json
import mmap
import os
import pkgutil
import socket
import sys
from collections import OrderedDict
from dataclasses import asdict
from typing import BinaryIO, cast

import av
import numpy as np

from pipeline.decode.confinement import allow_cpu, confine
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.opening import out_of_memory
from pipeline.decode.preview import preview
from pipeline.decode.probe import probe
from pipeline.decode.reader import read_clips
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.wire import BLOCK_BYTES, PTS_DTYPE, Message, preview_message, receive, send
from pipeline.errors import DecodeError

MAX_BLOCKS = 16  # 4 MiB: the index at one end of a file and the frames at the other stay in reach of each other


class Caller:
    """The line to the process that wants the frames, and the slots they travel in."""

    def __init__(self, sock: socket.socket, memory: mmap.mmap, num_slots: int):
        self.sock = sock
        self._slots = np.frombuffer(memory, dtype=np.uint8).reshape(num_slots, -1)
        self._free = list(range(num_slots))

    def read(self, offset: int, length: int) -> bytes:
        """Ask for source bytes; slots that are freed meanwhile are noted."""
        send(self.sock, Message("read", {"offset": offset, "length": length}))
        return self._wait_for("data").payload

    def give(self, clip: Clip) -> None:
        """Put a clip into a free slot; waits while the caller still holds all of them."""
        if not self._free:
            self._wait_for("free")
        slot = self._free.pop()
        self._slots[slot, : clip.frames.size] = clip.frames.reshape(-1)
        fields = {"slot": slot, "clip_index": clip.clip_index, "end_s": clip.end_s}
        send(self.sock, Message("clip", fields, clip.pts_s.astype(PTS_DTYPE).tobytes()))

    def _wait_for(self, wanted: str) -> Message:
        while True:
            message = receive(self.sock)
            if message.type == "free":
                self._free.append(message.fields["slot"])
            if message.type == wanted:
                return message

    def take_back(self) -> None:
        """Wait until every slot is free again, so that no late message meets the next job."""
        while len(self._free) < len(self._slots):
            self._wait_for("free")


class RemoteFile(io.RawIOBase):
    """The source as a seekable file: blocks are fetched from the caller, the latest 4 MiB are kept.

    Args:
        first_block: Came with the job; the whole of a small file.
    """

    def __init__(self, caller: Caller, size_bytes: int, first_block: bytes):
        self._caller, self._size_bytes, self._position = caller, size_bytes, 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict({0: first_block})

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, before the start of the file")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most size bytes, and at most to the end of one block."""
        index, start = divmod(self._position, BLOCK_BYTES)
        if self._position >= self._size_bytes:
            return b""
        data = self._block(index)[start : None if size < 0 else start + size]
        self._position += len(data)
        return data

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            offset = index * BLOCK_BYTES
            self._blocks[index] = self._caller.read(offset, min(BLOCK_BYTES, self._size_bytes - offset))
            if len(self._blocks) > MAX_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(index)
        return self._blocks[index]


def serve(caller: Caller, limits: DecodeLimits) -> None:
    """Do one job after another until the caller hangs up."""
    send(caller.sock, Message("ready"))
    while True:
        try:
            job = receive(caller.sock)
        except EOFError:
            return
        allow_cpu(limits.cpu_s)
        try:
            _do(job, caller, limits)
        except DecodeError as e:
            fields = {"error_class": e.error_class, "what": e.what, "got": e.got, "expected": e.expected}
            send(caller.sock, Message("error", {name: value and str(value)[:1000] for name, value in fields.items()}))
        except MemoryError as e:
            send(caller.sock, Message("error", {"error_class": "out_of_memory", "what": out_of_memory(e).what}))
        else:
            send(caller.sock, Message("end"))
        caller.take_back()


def _do(job: Message, caller: Caller, limits: DecodeLimits) -> None:
    source = cast(BinaryIO, RemoteFile(caller, job.fields["size_bytes"], job.payload))
    if job.type == "probe":
        send(caller.sock, Message("info", asdict(probe(source, limits))))
        return
    if job.type == "preview":
        send(caller.sock, preview_message(preview(source, limits)))
        return
    for clip in read_clips(source, SamplingConfig(**job.fields["config"]), limits):
        caller.give(clip)


def _import_all_of_av() -> None:
    """PyAV imports parts of itself when a file first needs them; no file can be opened any more by then."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def main() -> None:
    """Start from the single argument that `process.py` passes: JSON with the descriptors and the limits."""
    arguments = json.loads(sys.argv[1])
    socket_fd, memory_fd = arguments["socket_fd"], arguments["memory_fd"]
    memory = mmap.mmap(memory_fd, arguments["memory_bytes"])  # keeps a duplicate, at the lowest free number
    lowest_socket_fd = os.dup(socket_fd)
    os.close(memory_fd)
    os.close(socket_fd)
    limits = DecodeLimits(**arguments["limits"])
    caller = Caller(socket.socket(fileno=lowest_socket_fd), memory, arguments["num_slots"])
    _import_all_of_av()
    gc.freeze()  # what was imported stays: it need not be looked through at every collection
    confine(limits, parent_pid=arguments["parent_pid"], highest_fd=lowest_socket_fd)
    serve(caller, limits)


if __name__ == "__main__":
    main()
