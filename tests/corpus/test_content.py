"""Video is told by content: names only decide whether unreadable content is a failure."""

import pytest

from pipeline.corpus import content

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(100)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty object"),
        (b"path,label\na,b\n", "text"),
        ("ünïcode ".encode() * 50, "text"),
        ("é".encode()[:1].join([b"abc", b""]), "text"),  # a character cut in the middle
        (PNG, "image/png"),
        (b"PK\x03\x04" + bytes(60), "application/zip"),
        (b"ID3" + bytes(60), "audio/mpeg"),
        (MP4, None),
        (b"GIF89a" + bytes(60), None),
        (b"\x1aE\xdf\xa3" + bytes(60), None),
        (b"\x00\x00\x00\x01\x67\x42\x00\x1e", None),  # a raw H.264 stream: only the probe can tell
    ],
)
def test_what_is_surely_not_video_is_told_by_its_first_bytes(head: bytes, reason: str | None) -> None:
    assert content.reason_to_ignore(head) == reason


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("s3://b/a.MP4", True),
        ("s3://b/a.h264", True),
        ("s3://b/a.csv", False),
        ("s3://b/mp4", False),
        ("s3://b/x", False),
    ],
)
def test_some_names_claim_to_be_video(uri: str, named: bool) -> None:
    assert content.is_named_video(uri) is named
