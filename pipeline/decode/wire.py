"""Messages between the caller and its decoder process: a JSON header, then raw bytes. Never pickle.

caller -> child    probe, preview, clips (a job)    data (bytes it asked for)    free (a slot of shared memory)
child -> caller    ready, read (offset, length)    info    preview (its cuts as bytes)
                   clip (a filled slot; its pts_s as bytes)    end    error

Of small messages there are a few a video, and on small videos they are what the process apart costs.
"""

import json
import re
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.limits import FORMATS, DecodeLimits
from pipeline.decode.records import Clip, Preview, VideoInfo
from pipeline.decode.sampling import TIME_TOLERANCE_S, SamplingConfig, clip_timestamps
from pipeline.errors import ERROR_CLASSES, DecodeError, ErrorClass

LENGTHS = struct.Struct(">II")
PTS_DTYPE = np.dtype("<f8")
MAX_HEADER_BYTES = 64 * 1024  # the largest is an error: three texts of at most 1000 characters each
BLOCK_BYTES = 256 * 1024  # the child reads its source in such blocks; most of J-HMDB fits in one
MAX_CUT_CANDIDATES = BLOCK_BYTES // PTS_DTYPE.itemsize  # what one message holds: 24 hours, a cut every 2.6 s


class ProtocolError(Exception):
    """The other side sent what no sound one sends."""


@dataclass(frozen=True)
class Message:
    """One message: its type, the other fields of its header, and the raw bytes behind it."""

    type: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


def send(sock: socket.socket, message: Message) -> None:
    """Raises OSError when the other side is gone, TimeoutError when it does not read."""
    header = json.dumps({"type": message.type, **message.fields}).encode()
    sock.sendall(LENGTHS.pack(len(header), len(message.payload)) + header + message.payload)


def receive(sock: socket.socket, *, timeout_s: float | None = None) -> Message:
    """Take one whole message.

    Args:
        timeout_s: Until its last byte; None waits for ever.
    Raises:
        EOFError: the other side is gone. TimeoutError. ProtocolError: not a message.
    """
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    header_length, payload_length = LENGTHS.unpack(_exactly(sock, LENGTHS.size, deadline_s))
    if header_length > MAX_HEADER_BYTES or payload_length > BLOCK_BYTES:
        raise ProtocolError(f"a message of {header_length} + {payload_length} bytes")
    body = _exactly(sock, header_length + payload_length, deadline_s)
    try:
        fields = json.loads(body[:header_length])
        return Message(str(fields.pop("type")), fields, body[header_length:])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ProtocolError(f"a header that is no message: {type(e).__name__}") from e


def info_from(message: Message, limits: DecodeLimits) -> VideoInfo:
    """Check the facts that a child claims about a video; ProtocolError where it could not have read them."""
    fields = dict(message.fields)
    _require(set(fields) == set(VideoInfo.__dataclass_fields__), "info with the wrong fields")
    container, codec = fields["container"], fields["codec"]
    _require(isinstance(container, str) and not FORMATS.isdisjoint(container.split(",")), "an unknown container")
    _require(isinstance(codec, str) and re.fullmatch("[a-z0-9_]{1,32}", codec) is not None, "an unknown codec")
    for name in ("width", "height", "num_frames"):
        _require(fields[name] is None or _is_count(fields[name], limits.max_frames), f"an absurd {name}")
    for name in ("fps", "duration_s"):
        _require(fields[name] is None or (_is_finite(fields[name]) and fields[name] > 0), f"an absurd {name}")
    _require(fields["rotation_deg"] in (0, 90, 180, 270), "an absurd rotation_deg")
    _require(fields["num_frames_source"] in ("container", "estimated"), "an unknown num_frames_source")
    _require(isinstance(fields["has_audio"], bool), "has_audio that is no bool")
    return VideoInfo(**fields)


def preview_message(preview: Preview) -> Message:
    """The message that `preview_from` reads; of too many cut candidates the first ones."""
    cuts_s = preview.cut_candidates_s
    fields = {
        "motion_score": preview.motion_score,
        "content_digest": preview.content_digest,
        "perceptual_digest": preview.perceptual_digest,
        "knows_cuts": cuts_s is not None,
    }
    return Message("preview", fields, np.array((cuts_s or ())[:MAX_CUT_CANDIDATES], PTS_DTYPE).tobytes())


def preview_from(message: Message, limits: DecodeLimits) -> Preview:
    """Check what a child claims to have seen of a video; ProtocolError where it could not have."""
    fields, score = message.fields, message.fields.get("motion_score")
    _require(score is None or (_is_finite(score) and score >= 0), "an absurd motion_score")
    _require(_is_hex(fields.get("content_digest"), 32), "a content_digest that is none")
    perceptual = fields.get("perceptual_digest")
    _require(perceptual is None or _is_hex(perceptual, 16), "a perceptual_digest that is none")
    knows_cuts = fields.get("knows_cuts")
    _require(isinstance(knows_cuts, bool) and (knows_cuts or not message.payload), "cuts that are not known")
    _require(len(message.payload) % PTS_DTYPE.itemsize == 0, "half a cut")
    cuts_s = np.frombuffer(message.payload, PTS_DTYPE)
    # Written so that a NaN fails each of them.
    _require(bool((cuts_s > 0).all() and (cuts_s <= limits.max_duration_s).all()), "a cut outside the video")
    _require(bool((cuts_s[1:] > cuts_s[:-1]).all()), "cuts that run backwards")
    return Preview(
        motion_score=None if score is None else float(score),
        cut_candidates_s=tuple(cuts_s.tolist()) if knows_cuts else None,
        content_digest=fields["content_digest"],
        perceptual_digest=perceptual,
    )


def clip_from(message: Message, config: SamplingConfig, clip_index: int, frames: NDArray[np.uint8]) -> Clip:
    """Build the clip that must come next; ProtocolError where its times or counts cannot be.

    Args:
        frames: uint8 (T, H, W, C), a copy that the child cannot touch any more.
    """
    fields = message.fields
    wanted_s = clip_timestamps(config, clip_index)
    start_s, end_s = float(wanted_s[0]), fields.get("end_s")
    _require(fields.get("clip_index") == clip_index, "a clip out of turn")
    _require(len(message.payload) == PTS_DTYPE.itemsize * len(wanted_s), "too many or too few pts_s")
    shown_s = np.frombuffer(message.payload, PTS_DTYPE)
    # Written so that a NaN fails each of them, and an infinity the last.
    _require(bool(shown_s[0] >= 0 and (shown_s[1:] >= shown_s[:-1]).all()), "pts_s that run backwards")
    _require(bool((shown_s <= wanted_s + 2 * TIME_TOLERANCE_S).all()), "frames shown before their time")
    if not (_is_finite(end_s) and start_s < end_s <= start_s + config.clip_duration_s):
        raise ProtocolError("an absurd end_s")
    return Clip(clip_index, start_s, float(end_s), len(set(shown_s.tolist())), frames, shown_s)


def error_from(message: Message) -> DecodeError:
    """The error that a child reports, its texts made short and printable."""
    error_class, what = message.fields.get("error_class"), message.fields.get("what")
    if not isinstance(error_class, str) or error_class not in ERROR_CLASSES:
        raise ProtocolError("an unknown error class")
    texts = {name: printable(message.fields.get(name)) for name in ("got", "expected")}
    return DecodeError(printable(what) or "decoding failed", error_class=cast(ErrorClass, error_class), **texts)


def printable(text: object) -> str | None:
    """At most 300 characters of a text that an attacker may have written, safe in any log."""
    if text is None:
        return None
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text)[:300])


def _exactly(sock: socket.socket, length: int, deadline_s: float | None) -> bytes:
    buffer = bytearray(length)
    view = memoryview(buffer)
    while view:
        if deadline_s is not None:
            sock.settimeout(max(deadline_s - time.monotonic(), 1e-3))
        received = sock.recv_into(view)
        if not received:
            raise EOFError("the other side closed the connection")
        view = view[received:]
    return bytes(buffer)


def _require(holds: bool, claim: str) -> None:
    if not holds:
        raise ProtocolError(claim)


def _is_count(value: object, limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= limit


def _is_hex(value: object, num_digits: int) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{num_digits}}}", value) is not None


def _is_finite(value: object) -> TypeGuard[float]:
    # Compared, because math.isfinite raises on an integer of 400 digits; a NaN compares false.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
