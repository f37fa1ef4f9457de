"""A child that was taken over can send anything: nothing but sound messages comes through."""

import json
import math
import socket
import threading

import numpy as np
import pytest

from pipeline.decode.limits import DecodeLimits
from pipeline.decode.records import Preview
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.wire import (
    LENGTHS,
    MAX_CUT_CANDIDATES,
    PTS_DTYPE,
    Message,
    ProtocolError,
    clip_from,
    error_from,
    info_from,
    preview_from,
    preview_message,
    receive,
    send,
)

CONFIG = SamplingConfig(frames_per_clip=2, sample_fps=10.0, size_px=16)
FRAMES = np.zeros((2, 16, 16, 3), np.uint8)
CLIP = {"slot": 0, "clip_index": 0, "end_s": 0.2}
PTS_S = [0.0, 0.1]


def _packed(pts_s: list[float]) -> bytes:
    return np.array(pts_s, PTS_DTYPE).tobytes()


INFO = {
    "container": "matroska,webm",
    "codec": "vp9",
    "width": 64,
    "height": 48,
    "fps": 25.0,
    "duration_s": None,
    "num_frames": None,
    "num_frames_source": "estimated",
    "rotation_deg": 0,
    "has_audio": False,
}


def test_a_message_arrives_as_it_was_sent() -> None:
    left, right = socket.socketpair()
    with left, right:
        send(left, Message("data", {"offset": 7}, b"bytes"))
        assert receive(right, timeout_s=1) == Message("data", {"offset": 7}, b"bytes")


@pytest.mark.parametrize(
    "raw",
    [
        LENGTHS.pack(1 << 30, 0),
        LENGTHS.pack(2, 1 << 30) + b"{}",
        LENGTHS.pack(2, 0) + b"{}",
        LENGTHS.pack(2, 0) + b"[]",
        LENGTHS.pack(2, 0) + b"\xff\xfe",
        LENGTHS.pack(60000, 0) + b"[" * 60000,
    ],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(raw)
        with pytest.raises(ProtocolError):
            receive(right, timeout_s=1)


def test_half_a_message_does_not_block_for_ever() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(LENGTHS.pack(10, 0) + b"{")
        with pytest.raises(TimeoutError):
            receive(right, timeout_s=0.05)


def test_a_sound_clip_and_sound_facts_pass() -> None:
    assert clip_from(Message("clip", CLIP, _packed(PTS_S)), CONFIG, 0, FRAMES).num_frames == 2
    assert info_from(Message("info", INFO), DecodeLimits()).codec == "vp9"


@pytest.mark.parametrize(
    "lie",
    [
        {"clip_index": 1},
        {"end_s": 0.3},
        {"end_s": -1.0},
        {"end_s": float("nan")},
        {"end_s": "0.2"},
        {"end_s": 10**400},
    ],
)
def test_a_clip_that_cannot_be_is_refused(lie: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        clip_from(Message("clip", {**CLIP, **lie}, _packed(PTS_S)), CONFIG, 0, FRAMES)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        _packed([0.0]),
        _packed([0.0, 0.1])[:-1],
        _packed([0.0, 0.1, 0.2]),
        _packed([0.1, 0.0]),
        _packed([0.0, 9.0]),
        _packed([-1.0, 0.0]),
        _packed([math.nan, 0.1]),
        _packed([0.0, math.nan]),
        _packed([0.0, math.inf]),
        _packed([-math.inf, 0.0]),
    ],
)
def test_times_that_cannot_be_are_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        clip_from(Message("clip", CLIP, payload), CONFIG, 0, FRAMES)


@pytest.mark.parametrize(
    "lie",
    [
        {"container": "hls"},
        {"container": 5},
        {"codec": "<script>"},
        {"codec": None},
        {"width": -64},
        {"width": 10**12},
        {"height": 1.5},
        {"num_frames": True},
        {"fps": 0},
        {"duration_s": float("inf")},
        {"rotation_deg": 45},
        {"num_frames_source": "guessed"},
        {"has_audio": "yes"},
        {"extra": 1},
    ],
)
def test_facts_that_cannot_be_are_refused(lie: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        info_from(Message("info", json.loads(json.dumps({**INFO, **lie}))), DecodeLimits())


PREVIEW = {"motion_score": 4.5, "content_digest": "0123456789abcdef" * 2, "perceptual_digest": "f" * 16}


@pytest.mark.parametrize("cuts_s", [None, (), (0.5, 2.0)])
def test_a_sound_preview_arrives_as_it_was_sent(cuts_s: tuple[float, ...] | None) -> None:
    sent = Preview(**PREVIEW, cut_candidates_s=cuts_s)
    assert preview_from(preview_message(sent), DecodeLimits()) == sent
    silent = Preview(None, cuts_s, "0" * 32, None)
    assert preview_from(preview_message(silent), DecodeLimits()) == silent


def test_of_too_many_cuts_the_first_ones_arrive() -> None:
    sent = Preview(**PREVIEW, cut_candidates_s=tuple(float(second) for second in range(1, 40_000)))
    left, right = socket.socketpair()
    with left, right:
        writer = threading.Thread(target=send, args=(left, preview_message(sent)))
        writer.start()
        arrived = preview_from(receive(right, timeout_s=5), DecodeLimits())
        writer.join()
    assert arrived.cut_candidates_s == tuple(float(second) for second in range(1, MAX_CUT_CANDIDATES + 1))


@pytest.mark.parametrize(
    ("lie", "payload"),
    [
        ({"motion_score": -1.0}, b""),
        ({"motion_score": math.nan}, b""),
        ({"motion_score": "4"}, b""),
        ({"content_digest": None}, b""),
        ({"content_digest": "0" * 31}, b""),
        ({"content_digest": "'; DROP TABLE videos; --" + "0" * 8}, b""),
        ({"perceptual_digest": "F" * 16}, b""),
        ({"perceptual_digest": 7}, b""),
        ({"knows_cuts": None}, b""),
        ({"knows_cuts": False}, _packed([1.0])),
        ({}, _packed([1.0])[:-1]),
        ({}, _packed([2.0, 1.0])),
        ({}, _packed([1.0, 1.0])),
        ({}, _packed([0.0])),
        ({}, _packed([-1.0, 1.0])),
        ({}, _packed([1.0, math.nan])),
        ({}, _packed([1.0, math.inf])),
        ({}, _packed([1e6])),
    ],
)
def test_a_preview_that_cannot_be_is_refused(lie: dict[str, object], payload: bytes) -> None:
    fields = json.loads(json.dumps({**PREVIEW, "knows_cuts": True, **lie}))
    with pytest.raises(ProtocolError):
        preview_from(Message("preview", fields, payload), DecodeLimits())


def test_an_error_text_is_made_short_and_printable() -> None:
    error = error_from(Message("error", {"error_class": "corrupt", "what": "\x1b[31m" + "x" * 10_000}))
    assert len(str(error)) < 400
    assert str(error).isprintable()
    for lie in ("pwned", [], None):
        with pytest.raises(ProtocolError):
            error_from(Message("error", {"error_class": lie, "what": "x"}))
