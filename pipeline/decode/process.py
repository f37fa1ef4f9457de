"""One decoder process as its caller sees it: start, talk, share memory, find out how it died."""

import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pipeline
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.wire import Message, ProtocolError, printable, receive, send
from pipeline.errors import DecodeError, ErrorClass, SoraError

NUM_SLOTS = 3  # one being filled, one ready, one being copied
MAX_EXIT_S = 5.0  # between the end of the connection and the end of the process
STDERR_TAIL_BYTES = 1000
# glibc keeps what one video has freed for the next, instead of giving it back to the system: 8 % less CPU a video.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}


class DecoderProcess:
    """A confined child and the shared memory between us; good until its first fault.

    Args:
        limits: Resource limits the child takes on before it is ready.
        slot_bytes: The largest clip it will have to send.
    Raises:
        SoraError: it did not start; a machine that cannot decode must not turn every video into a failure.
    """

    def __init__(self, limits: DecodeLimits, *, slot_bytes: int):
        self.slot_bytes = slot_bytes
        self._stderr = os.fdopen(os.memfd_create("decoder-stderr"), "w+b", buffering=0)
        memory_fd = _sealed_memory(NUM_SLOTS * slot_bytes)
        try:
            self._memory = mmap.mmap(memory_fd, NUM_SLOTS * slot_bytes)
            self._sock, child_sock = socket.socketpair()
            with child_sock:
                self._process = self._start(limits, child_sock.fileno(), memory_fd)
        finally:
            os.close(memory_fd)
        try:
            self.receive(timeout_s=limits.start_s)  # its first message says that it is ready
        except DecodeError as e:  # no video was touched yet: this machine's fault, not a video's
            self.close()
            cure = "check this machine's memory and that `python -m pipeline.decode.child` can be imported"
            raise SoraError("The decoder process does not start.", where="sandbox", got=e, cure=cure) from e

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Message, *, timeout_s: float) -> None:
        """Raises DecodeError (the child is dead, or does not read) and leaves the child to be killed."""
        try:
            self._sock.settimeout(timeout_s)
            send(self._sock, message)
        except TimeoutError as e:
            raise _timeout(timeout_s) from e
        except OSError as e:
            raise self._death() from e

    def receive(self, *, timeout_s: float) -> Message:
        """Raises DecodeError (timeout, or how the child died); the child is dead or must then be killed."""
        try:
            return receive(self._sock, timeout_s=timeout_s)
        except TimeoutError as e:
            raise _timeout(timeout_s) from e
        except (EOFError, OSError) as e:
            raise self._death() from e
        except ProtocolError as e:
            raise broken_protocol(e) from e

    def copy_slot(self, slot: object, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Returns an own uint8 array of what the child put into a slot."""
        if not isinstance(slot, int) or slot not in range(NUM_SLOTS):
            raise ProtocolError("a slot that does not exist")
        shared = np.frombuffer(self._memory, np.uint8, count=int(np.prod(shape)), offset=slot * self.slot_bytes)
        return shared.reshape(shape).copy()

    def close(self) -> None:
        """Kill it and give everything back; may be called twice."""
        if self.is_alive:
            self._process.kill()
        self._process.wait()
        self._sock.close()
        self._memory.close()
        self._stderr.close()

    def _start(self, limits: DecodeLimits, socket_fd: int, memory_fd: int) -> subprocess.Popen[bytes]:
        arguments = {
            "socket_fd": socket_fd,
            "memory_fd": memory_fd,
            "memory_bytes": NUM_SLOTS * self.slot_bytes,
            "num_slots": NUM_SLOTS,
            "parent_pid": os.getpid(),
            "limits": asdict(limits),
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.decode.child", json.dumps(arguments)],
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            pass_fds=(socket_fd, memory_fd),
            start_new_session=True,
        )

    def _death(self) -> DecodeError:
        """Why the connection ended. A bug in the child shows as `crashed` with the end of its traceback."""
        if self._stderr.closed:
            return DecodeError("the decoder process was closed under a running job", error_class="crashed")
        try:
            code = self._process.wait(MAX_EXIT_S)
        except subprocess.TimeoutExpired:
            return DecodeError("the decoder process hung up and lives on", error_class="crashed")
        if code == -signal.SIGXCPU:
            return DecodeError("the CPU time for this video is used up", error_class="timeout")
        if code == -signal.SIGKILL:
            return DecodeError("the decoder process was killed by the system", error_class="out_of_memory")
        tail = self._stderr_tail()
        error_class: ErrorClass = "out_of_memory" if "MemoryError" in tail else "crashed"
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DecodeError(f"the decoder process died: {name}", error_class=error_class, got=tail or None)

    def _stderr_tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        tail = os.pread(self._stderr.fileno(), STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
        return printable(tail.decode(errors="replace")[-300:]) or ""


def broken_protocol(error: ProtocolError) -> DecodeError:
    """The error of a child that no longer behaves like our program: it may have been taken over."""
    return DecodeError("the decoder process sent nonsense", error_class="crashed", got=printable(error))


def _timeout(timeout_s: float) -> DecodeError:
    return DecodeError("the decoder hangs", error_class="timeout", got=f"no answer in {timeout_s:.1f} s")


def _sealed_memory(size_bytes: int) -> int:
    """Shared memory that the child cannot shrink under us, which would end us with SIGBUS."""
    fd = os.memfd_create("decoder-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size_bytes)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def _environment() -> dict[str, str]:
    """A fresh one: no credential, proxy or preloaded library of ours reaches the child."""
    package_root = str(Path(pipeline.__file__).resolve().parent.parent)
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": package_root, **one_thread, **_KEEP_MEMORY}
