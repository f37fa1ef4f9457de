"""Opens the video in a byte source and nothing else: no address, no sibling file, no decoder off the whitelist."""

import errno
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

import av
import av.error
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from pipeline.decode.limits import CODECS, FORMATS, DecodeLimits
from pipeline.errors import DecodeError, ErrorClass

av.logging.set_level(None)  # FFmpeg's own log costs a lock and the GIL for each line

NOT_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails  # cover art in sound files, chapter pictures
AVIO_BUFFER_BYTES = 64 * 1024
ROOM_BYTES = 256 << 20  # no honest packet or table needs more at once: an 8K frame without compression is 100 MB


class _Bytes:
    """A source as PyAV may see it: without the name by which FFmpeg guesses playlists, and with its errors kept."""

    def __init__(self, source: BinaryIO):
        self._source = source
        self.error: DecodeError | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except Exception as e:  # any store may be behind it, each with errors of its own
            raise self._failed(e) from e

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._source.seek(offset, whence)
        except Exception as e:  # any store may be behind it, each with errors of its own
            raise self._failed(e) from e

    def tell(self) -> int:
        return self._source.tell()

    def _failed(self, e: Exception) -> DecodeError:
        self.error = DecodeError("the source could not be read", error_class="io_error", got=f"{type(e).__name__}: {e}")
        return self.error


@contextmanager
def open_video(source: BinaryIO, limits: DecodeLimits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the container and its first video stream, ready to decode on one thread.

    Args:
        source: Seekable binary file holding one container.
    Raises:
        DecodeError: open_failed, no_video, unsupported_codec, too_large, out_of_memory or io_error.
    """
    data = _Bytes(source)
    with _open_container(data, limits) as container:
        stream = _first_video(container)
        _check_stream(stream, limits)
        stream.codec_context.thread_count = 1  # parallelism is one process a core; more threads can deadlock with torch
        # not when opening: a decoder that refuses the size there hides it, and the reason with it
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all  # sound is then not even read where the container has an index
        yield container, stream
        if data.error:  # FFmpeg takes a failed read for the end of the file
            raise data.error


@contextmanager
def ffmpeg_errors_as(what: str, error_class: ErrorClass) -> Iterator[None]:
    """Raise what FFmpeg and a lack of memory raise inside as DecodeError: out_of_memory, or the given class."""
    try:
        yield
    except (MemoryError, av.error.FFmpegError) as e:
        if is_out_of_memory(e):
            raise out_of_memory(e) from e
        raise DecodeError(what, error_class=error_class, got=str(e)) from e


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyAV or Python means that no memory was left."""
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


def container_is_out_of_memory(error: BaseException) -> bool:
    """Whether a container cannot be read for want of memory, rather than because a damaged length asks for gigabytes.

    FFmpeg says the same of both. Where 256 MiB can still be had, the length is a lie, and the file is damaged.
    """
    if not is_out_of_memory(error):
        return False
    try:
        mmap.mmap(-1, ROOM_BYTES).close()  # addresses only, which is what the decoder process is short of
    except OSError:
        return True
    return False


def out_of_memory(error: BaseException) -> DecodeError:
    """The error of a video that needs more memory than the decoder process may have."""
    return DecodeError("no memory left to decode this video", error_class="out_of_memory", got=str(error)[:200] or None)


def _open_container(data: _Bytes, limits: DecodeLimits) -> InputContainer:
    data.seek(0)
    try:
        return av.open(
            data,
            mode="r",
            options={
                "format_whitelist": ",".join(sorted(FORMATS)),
                "protocol_whitelist": "",
                "max_streams": str(limits.max_streams),
                "codec_whitelist": ",".join(sorted(CODECS)),
            },
            buffer_size=AVIO_BUFFER_BYTES,
            metadata_errors="replace",  # tags are often not UTF-8, and nobody reads them here
            io_open=_refuse_address,
        )
    except (MemoryError, av.error.FFmpegError, UnicodeDecodeError) as e:
        if data.error:
            raise data.error from e
        if container_is_out_of_memory(e):
            raise out_of_memory(e) from e
        raise DecodeError(
            "these bytes are no video container that is accepted",
            error_class="open_failed",
            got=f"{type(e).__name__}: {e}",
            expected="a self-contained video file, such as MP4, Matroska, AVI or MPEG-TS",
        ) from e


def _refuse_address(url: str, flags: int, options: Mapping[str, str]) -> NoReturn:
    raise DecodeError("the file refers to another file or address", error_class="open_failed", got=str(url)[:200])


def _first_video(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & NOT_VIDEO:
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise DecodeError("no video stream", error_class="no_video", got=kinds, expected="a video stream besides cover art")


def _check_stream(stream: VideoStream, limits: DecodeLimits) -> None:
    # PyAV leaves the context None where FFmpeg has no decoder at all; its type hints do not say so
    name = getattr(stream.codec_context, "name", None)
    if name not in CODECS:
        raise DecodeError("no decoder on the whitelist", error_class="unsupported_codec", got=name)
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > limits.max_pixels:
        raise DecodeError(
            "the picture is too large",
            error_class="too_large",
            got=f"{width}x{height}",
            expected=f"at most {limits.max_pixels} pixels",
        )
