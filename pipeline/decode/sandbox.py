"""The door to decoding: untrusted bytes are parsed in a child process that may crash, hang or fill up, and we go on.

source --bytes--> Sandbox --blocks over a socket--> child (no network, no files, no secrets)
clips  <---------- Sandbox <--shared memory---------'
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from pipeline.decode.job import Job
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.process import DecoderProcess, broken_protocol
from pipeline.decode.records import Clip, Preview, VideoInfo
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.wire import Message, ProtocolError, clip_from, info_from, preview_from
from pipeline.errors import SoraError

START_WAITS_S = (0.1, 0.3, 1.0, 3.0, 10.0)  # a machine short of memory kills for a while what starts on it
MIN_SLOT_BYTES = 1 << 20  # five clips of 16 x 64 x 64; a larger clip starts a new child once

T = TypeVar("T")


class Sandbox:
    """Decodes videos one at a time in a child process, started when first needed and replaced after every fault.

    Not thread-safe: one Sandbox for each thread. A new job ends the one whose iterator was left unfinished.

    Args:
        limits: What one video may cost.
        recycle_after: Jobs until the child is replaced, against slow leaks in the decoders.
    """

    def __init__(self, limits: DecodeLimits | None = None, *, recycle_after: int = 1000):
        self._limits = limits or DecodeLimits()
        self._recycle_after = recycle_after
        self._child: DecoderProcess | None = None
        self._num_jobs = 0
        self._is_busy = False
        self.bytes_read = 0  # of the latest source
        self.read_s = 0.0  # that took

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def child_pid(self) -> int | None:
        """The process that would do the next job; None before the first and after a fault."""
        return self._child.pid if self._child else None

    def probe(self, source: BinaryIO) -> VideoInfo:
        """What the headers of a video say.

        Args:
            source: Seekable binary file holding one container; its name is never looked at.
        Raises:
            DecodeError: any class but partial.
        """
        return self._ask("probe", source, info_from)

    def preview(self, source: BinaryIO) -> Preview:
        """A first look at a video, as `pipeline.decode.preview.preview` takes it.

        Args:
            source: Seekable binary file holding one container; its name is never looked at.
        Raises:
            DecodeError: any class but partial.
        """
        return self._ask("preview", source, preview_from)

    def read_clips(self, source: BinaryIO, config: SamplingConfig) -> Iterator[Clip]:
        """The clips of a video, as `pipeline.decode.reader.read_clips` yields them, bit for bit.

        The child decodes ahead by up to three clips. Leaving the iterator early costs one start of a child.

        Args:
            source: Seekable binary file holding one container; its name is never looked at.
        Raises:
            DecodeError: any class; with partial, every good clip was yielded before.
        """
        shape, slot_bytes = _clip_shape(config)
        clip_indices = count()

        def take(message: Message) -> Clip:
            assert self._child is not None
            frames = self._child.copy_slot(message.fields.get("slot"), shape)
            return clip_from(message, config, next(clip_indices), frames)

        yield from self._run("clips", {"config": vars(config)}, source, slot_bytes, take)

    def make_ready(self, config: SamplingConfig) -> None:
        """Start a child now, if none is there, so that the next job need not wait for it."""
        self._ready_child(_clip_shape(config)[1])

    def close(self) -> None:
        """End the child; the next job starts another."""
        if self._child:
            self._child.close()
        self._child, self._num_jobs, self._is_busy = None, 0, False

    def _ask(self, kind: str, source: BinaryIO, parse: Callable[[Message, DecodeLimits], T]) -> T:
        """A job with one answer."""
        answers = list(self._run(kind, {}, source, MIN_SLOT_BYTES, lambda message: parse(message, self._limits)))
        if len(answers) != 1:
            raise broken_protocol(ProtocolError(f"{len(answers)} answers to a {kind}"))
        return answers[0]

    def _run(
        self, kind: str, fields: dict[str, Any], source: BinaryIO, slot_bytes: int, take: Callable[[Message], T]
    ) -> Iterator[T]:
        child = self._ready_child(slot_bytes)
        job = Job(child, source, self._limits)
        self._is_busy = True
        try:
            yield from job.run(kind, fields, take)
        finally:
            self.bytes_read, self.read_s = job.bytes_read, job.read_s
            if self._child is child:
                self._is_busy = False
                self._num_jobs += 1
                if not job.is_over or self._num_jobs >= self._recycle_after:
                    self.close()

    def _ready_child(self, slot_bytes: int) -> DecoderProcess:
        child = self._child
        if child and (self._is_busy or not child.is_alive or child.slot_bytes < slot_bytes):
            self.close()
        if self._child is None:
            self._child = self._new_child(slot_bytes)
        return self._child

    def _new_child(self, slot_bytes: int) -> DecoderProcess:
        """A machine short of memory may kill some children for a while; one that never starts any cannot decode."""
        for wait_s in START_WAITS_S:
            with contextlib.suppress(SoraError, OSError):
                return DecoderProcess(self._limits, slot_bytes=slot_bytes)
            time.sleep(wait_s)
        try:
            return DecoderProcess(self._limits, slot_bytes=slot_bytes)
        except OSError as e:  # of this process; the source is not touched yet, and not to blame
            cure = "check this machine's memory and its limits on processes and open files"
            raise SoraError("No decoder process can be made.", where="sandbox", got=e, cure=cure) from e


def _clip_shape(config: SamplingConfig) -> tuple[tuple[int, int, int, int], int]:
    """(T, H, W, C) of a clip's frames, and the bytes of a slot for them."""
    shape = (config.frames_per_clip, config.size_px, config.size_px, 3)
    return shape, max(MIN_SLOT_BYTES, math.prod(shape))
