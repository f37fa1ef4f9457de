"""The packets of a stream, past what damage the container has. Runs on untrusted bytes."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.decode.opening import container_is_out_of_memory

VideoPacket: TypeAlias = "Packet[VideoStream]"
MAX_DEMUX_ERRORS = 16  # in a row, without a packet between them: some demuxers repeat one error for ever


def all_packets(
    container: InputContainer, stream: VideoStream, on_error: Callable[[], None]
) -> Iterator["VideoPacket | None"]:
    """Packets to the end of the file; the last is an empty one or None, which makes a decoder give out the rest.

    Args:
        on_error: Called for each error of the container.
    """
    errors_in_a_row = 0
    while errors_in_a_row < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                errors_in_a_row = 0
                yield packet
            return
        except av.error.FFmpegError as e:
            if container_is_out_of_memory(e):
                raise
            errors_in_a_row += 1
            on_error()
    yield None
