"""Files that ask the decoder to open something else: playlists, session descriptions, an MP4 with its media elsewhere.

All addresses lead nowhere: 192.0.2.0/24 and 2001:db8::/32 are reserved for examples, `.example` for names.
"""

from random import Random

PLAIN_SCHEMES = ("http", "https", "tcp", "udp", "rtp")
SCHEMES = (*PLAIN_SCHEMES, "rtmp", "rtsp", "ftp", "tls", "gopher", "mmsh", "srt", "hls+http")
HOSTS = ("192.0.2.1:8080", "192.0.2.1:80", "127.0.0.1:80", "[2001:db8::1]:80", "video.example:80")
FILES = ("a.ts", "a.mp4", "key", "a.m3u8")
LOCAL = ("file:///etc/passwd", "/etc/passwd", "subfile,,start,0,end,64,,:/etc/passwd", "pipe:0", "fd:0")
NESTED = ("concat:{0}|{0}", "crypto+{0}", "async:{0}", "cache:{0}")

# the suffix is what a reader that looks at names would go by
TEXTS = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{0}\n#EXT-X-ENDLIST\n",
    "m3u": '#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXT-X-MAP:URI="{0}"\n'
    "#EXTINF:5,\n{0}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{0}'\nduration 5\nfile '{0}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 192.0.2.1\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:{0}\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT5S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet '
    'mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "asf": "[Reference]\r\nRef1={0}\r\nRef2={0}\r\n",
    "asx": '<ASX version="3.0"><ENTRY><REF HREF="{0}"/></ENTRY></ASX>',
    "mov": "RTSPtext{0}\n",
    "ram": "{0}\n",
    "idx": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n# {0}\n",
    "xml": '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><AssetList><Asset>'
    "<ChunkList><Chunk><Path>{0}</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>",
}
FOLLOWED = ("m3u8", "m3u", "ffconcat", "sdp")  # what FFmpeg as it is built into PyAV goes after when it may
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"dinf"}


def address(rng: Random) -> str:
    """An address that a video has no business with; most are plain ones, which FFmpeg would follow first."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(LOCAL)
    scheme = rng.choice(PLAIN_SCHEMES if kind < 0.7 else SCHEMES)
    url = f"{scheme}://{rng.choice(HOSTS)}/{rng.choice(FILES)}"
    return url if kind < 0.85 else rng.choice(NESTED).format(url)


def playlist(rng: Random, target: str) -> tuple[bytes, str]:
    """Returns a text that refers to the target, and the suffix that goes with it."""
    suffix = rng.choices(list(TEXTS), [3 if suffix in FOLLOWED else 1 for suffix in TEXTS])[0]
    return TEXTS[suffix].format(target).encode(), suffix


def with_external_data(rng: Random, data: bytes, target: str) -> bytes | None:
    """The MP4 with every track's media at another address; None where the file has no data reference to change."""
    if b"dref" not in data or data[4:8] not in {b"ftyp", b"moov", b"mdat", b"wide", b"free"}:
        return None
    reference = _url(target) if rng.random() < 0.5 else _alias(target)
    changed = b"".join(_rewritten(kind, body, reference) for kind, body in _boxes(data))
    return changed if changed != data else None


def _rewritten(kind: bytes, body: bytes, reference: bytes) -> bytes:
    if kind in _PARENTS:
        body = b"".join(_rewritten(inner, part, reference) for inner, part in _boxes(body))
    elif kind == b"dref":
        body = bytes(4) + (1).to_bytes(4, "big") + reference
    return _box(kind, body)


def _url(target: str) -> bytes:
    return _box(b"url ", bytes(4) + target.encode() + b"\0")  # flags 0: not in this file


def _alias(target: str) -> bytes:
    """The record of a Macintosh alias, whose colons FFmpeg reads as slashes: the only reference that it follows."""
    path = target.removeprefix("file://").replace("/", ":").encode()
    path += b" " * (len(path) % 2)
    tag = (2).to_bytes(2, "big") + len(path).to_bytes(2, "big") + path
    levels = (1).to_bytes(2, "big") * 2
    head = bytes(4) + bytes(10) + bytes(28) + bytes(12) + b"\x06passwd" + bytes(57) + bytes(16) + levels + bytes(16)
    return _box(b"alis", head + tag + b"\xff\xff\0\0")  # codespell:ignore alis


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    boxes, start = [], 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        end = start + size if 8 <= size <= len(data) - start else len(data)
        boxes.append((data[start + 4 : start + 8], data[start + 8 : end]))
        start = end
    return boxes


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body
