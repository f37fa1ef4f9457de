"""What is done to a video before the decoder gets it: a pure function of the corpus, a seed and an index."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from benchmarks.fuzz.addresses import address, playlist, with_external_data
from benchmarks.fuzz.corpus import Corpus
from benchmarks.fuzz.lengths import length_fields

PLAIN_EVERY = 8  # every eighth file is a whole one, until each of them was had
ADDRESS_SHARE = 1 / 12
HEADER_BYTES = 4096
MAX_CASE_BYTES = 4_000_000
LENGTHS = (0, 1, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
MAGICS = (
    b"\0\0\0\x20ftypisom\0\0\0\0",
    b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska",
    b"RIFF\xff\xff\xff\xffAVI LIST",
    b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
    b"OggS\0\x02",
    b"DKIF\0\0\x20\0VP80",
    b"GIF89a",
    b"\0\0\0\x01\x67",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b"\x47\x40\0\x10",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
    b".RMF\0\0\0\x12",
    b"nut/multimedia container\0",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"BIKi",
    b"SMK2",
    b"YUV4MPEG2 W64 H64 F25:1\nFRAME\n",
)
FOURCCS = (
    b"avc1 hvc1 hev1 av01 vp08 vp09 vvc1 mp4v s263 jpeg mjp2 apcn apch SVQ1 SVQ3 cvid rle rpza smc 8BPS CFHD "
    b"H264 HEVC XVID DIVX MP42 MPG4 WMV1 WMV2 WMV3 WVC1 MJPG FFV1 HFYU ULY0 LAGS ZMBV VMnc tscc DXSB VP80 VP90 AV01 "
    b"VP31 VP60 VP62 IV31 IV41 IV50 SNOW dvsd theo FLV1 G2M4 AVdn icpf M8RG SHQ0 Hap1 mjpa DVDM ap4h ASV1 mp4a"
).split()


@dataclass(frozen=True)
class Case:
    """One file of the fuzz: where it came from, what was done to it, and its bytes."""

    index: int
    source: str
    steps: tuple[str, ...]
    data: bytes
    suffix: str = ""  # the name a playlist would have; the sandbox shows none to FFmpeg

    def __str__(self) -> str:
        return f"{self.index}: {self.source}, {' + '.join(self.steps) or 'as it is'}, {len(self.data)} bytes"


def case(corpus: Corpus, *, seed: int, index: int) -> Case:
    """The file with this index: whole ones first among others, the rest with one to three mutations.

    Every eighth file is whole while there are any left. One in twelve of the rest refers to another file or address.
    """
    if index % PLAIN_EVERY == 0 and index // PLAIN_EVERY < len(corpus.plain):
        plain = corpus.plain[index // PLAIN_EVERY]
        return Case(index, plain.name, (), plain.data)
    rng = Random(f"{seed}/{index}")
    source = rng.choice(corpus.sources)
    data, steps, suffix, num_steps = source.data, [], "", rng.choices((1, 2, 3), (6, 3, 1))[0]
    if rng.random() < ADDRESS_SHARE:
        data, words, suffix = _refer_elsewhere(rng, data)
        steps, num_steps = [f"address {words}"], rng.choices((0, 1), (3, 1))[0]
    for name in rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=num_steps):
        data, words = MUTATIONS[name](rng, data or b"\0", corpus)
        data = data[:MAX_CASE_BYTES]
        steps.append(f"{name} {words}")
    return Case(index, source.name, tuple(steps), data, suffix)


def _truncate(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    end = rng.randrange(len(data)) if rng.random() < 0.7 else rng.randrange(min(len(data), HEADER_BYTES))
    return data[:end], f"at {end}"


def _flip_header(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    return _flipped(rng, data, min(len(data), HEADER_BYTES), _magnitude(rng, 64))


def _flip_anywhere(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    return _flipped(rng, data, len(data), _magnitude(rng, 2000))


def _overwrite(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    start, end = _span(rng, data)
    fill = rng.choice(("00", "ff", "random"))
    block = rng.randbytes(end - start) if fill == "random" else bytes.fromhex(fill) * (end - start)
    return data[:start] + block + data[end:], f"{start}..{end} with {fill}"


def _delete(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    start, end = _span(rng, data)
    return data[:start] + data[end:], f"{start}..{end}"


def _duplicate(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    start, end = _span(rng, data)
    times = min(_magnitude(rng, 64), 1 + MAX_CASE_BYTES // max(end - start, 1))
    return data[:end] + data[start:end] * times + data[end:], f"{start}..{end} x {times}"


def _swap(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:], f"{a}..{b} and {c}..{d}"


def _splice(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    other = rng.choice(corpus.sources)
    head, tail = rng.randrange(len(data) + 1), rng.randrange(len(other.data))
    return data[:head] + other.data[tail:], f"{head} bytes, then {other.name} from {tail}"


def _change_length(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    fields = length_fields(data)
    if not fields:
        data, words = _change_integer(rng, data, corpus)
        return data, f"none known; integer {words}"
    changes = []
    for field in rng.choices(fields, k=rng.choice((1, 1, 1, 2, 4))):
        old = field.read(data)
        value = _odd_length(rng, old)
        data = field.written(data, value)
        changes.append(f"{field.of} at {field.offset}: {old} -> {value}")
    return data, "; ".join(changes)


def _change_integer(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    num_bytes = rng.choice((1, 2, 3, 4, 8))
    order: Literal["big", "little"] = "big" if rng.random() < 0.5 else "little"
    offset = rng.randrange(len(data) if rng.random() < 0.3 else min(len(data), HEADER_BYTES))
    value = _odd_length(rng, int.from_bytes(data[offset : offset + num_bytes], order)) % (1 << 8 * num_bytes)
    raw = value.to_bytes(num_bytes, order)
    return data[:offset] + raw + data[offset + num_bytes :], f"of {num_bytes} bytes at {offset} to {value:#x}, {order}"


def _change_fourcc(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    there = [fourcc for fourcc in FOURCCS if fourcc in data]
    if not there:
        data, words = _flip_header(rng, data, corpus)
        return data, f"none there; flip_header {words}"
    old, new = rng.choice(there), rng.choice(FOURCCS)
    return data.replace(old, new.ljust(4)), f"{old!r} to {new!r}"


def _prepend(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    texts = (b"\xef\xbb\xbf", b"<!DOCTYPE html>\n<html>\n", b"ID3\x04\0\0\0\0\0\x0a", b"#!/bin/sh\n", b"\n" * 40)
    text = rng.choice((*texts, rng.randbytes(_magnitude(rng, 100_000))))
    return text + data, f"{len(text)} bytes, {text[:6]!r}"


def _garbage(rng: Random, data: bytes, corpus: Corpus) -> tuple[bytes, str]:
    magic, num_bytes = rng.choice((b"", *MAGICS)), _magnitude(rng, 300_000)
    return magic + rng.randbytes(num_bytes), f"{num_bytes} bytes after {magic[:8]!r}"


def _refer_elsewhere(rng: Random, data: bytes) -> tuple[bytes, str, str]:
    target = address(rng)
    external = with_external_data(rng, data, target)
    if external is not None and rng.random() < 0.5:
        return external, f"data reference to {target}", "mp4"
    text, suffix = playlist(rng, target)
    place = rng.choices(("instead", "before", "after"), (3, 1, 1))[0]
    changed = {"instead": text, "before": text + data, "after": data + b"\n" + text}[place]
    return changed, f"{suffix} {place}, to {target}", suffix


Mutation = Callable[[Random, bytes, Corpus], tuple[bytes, str]]
MUTATIONS: dict[str, Mutation] = {
    "truncate": _truncate,
    "flip_header": _flip_header,
    "flip": _flip_anywhere,
    "overwrite": _overwrite,
    "delete": _delete,
    "duplicate": _duplicate,
    "swap": _swap,
    "splice": _splice,
    "length": _change_length,
    "integer": _change_integer,
    "fourcc": _change_fourcc,
    "prepend": _prepend,
    "garbage": _garbage,
}
WEIGHTS = dict.fromkeys(MUTATIONS, 2)
WEIGHTS |= {"length": 6, "flip_header": 4, "flip": 4, "integer": 4, "garbage": 1, "prepend": 1}


def _flipped(rng: Random, data: bytes, num_bytes: int, num_bits: int) -> tuple[bytes, str]:
    changed = bytearray(data)
    for _ in range(num_bits):
        changed[rng.randrange(num_bytes)] ^= 1 << rng.randrange(8)
    return bytes(changed), f"{num_bits} bits of the first {num_bytes} bytes"


def _odd_length(rng: Random, old: int) -> int:
    return rng.choice(
        (*LENGTHS, old + rng.randint(-16, 16), old * 2, old // 2, old << 8, old ^ (1 << rng.randrange(32)))
    )


def _magnitude(rng: Random, largest: int) -> int:
    """A number in [1, largest], each order of magnitude as likely as the next."""
    return round(math.exp(rng.uniform(0, math.log(largest))))


def _span(rng: Random, data: bytes) -> tuple[int, int]:
    length = _magnitude(rng, len(data))
    start = rng.randrange(len(data) - length + 1)
    return start, start + length
