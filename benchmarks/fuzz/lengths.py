"""Where a container says how long its parts are: the sizes and counts of MP4 boxes, EBML elements and RIFF chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MAX_FIELDS = 4000
_MP4_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"moof", b"traf", b"mvex"}
_MP4_LEADING_BYTES = {b"meta": 4, b"stsd": 8, b"dref": 8}  # of their body, before the boxes inside
_MP4_COUNTS = {b"stts": 4, b"ctts": 4, b"stsc": 4, b"stco": 4, b"co64": 4, b"stss": 4, b"elst": 4, b"stsd": 4}
_MP4_SIZES = {
    b"stsz": (4, 8),
    b"trun": (4,),  # codespell:ignore trun
    b"tfhd": (4,),
    b"mvhd": (12, 16),
    b"mdhd": (12, 16),
    b"tkhd": (76, 80),
}
_EBML_PARENTS = {
    bytes.fromhex(number)
    for number in ("1a45dfa3", "18538067", "1654ae6b", "ae", "e0", "1f43b675", "a0", "1c53bb6b", "bb", "b7", "114d9b74")
}
_RIFF_PARENTS = {b"RIFF", b"LIST"}


@dataclass(frozen=True)
class Field:
    """A number inside a file: where it lies, how it is written, and of what it is."""

    offset: int
    num_bytes: int
    order: Literal["big", "little"]
    of: str
    is_ebml_size: bool = False

    def read(self, data: bytes) -> int:
        value = int.from_bytes(data[self.offset : self.offset + self.num_bytes], self.order)
        return value & self._mask if self.is_ebml_size else value

    def written(self, data: bytes, value: int) -> bytes:
        """Returns the file with another number here, cut to the bits there are."""
        if self.is_ebml_size:  # its length is spelled by the leading zeros, which stay
            value = (value & self._mask) | (self._mask + 1)
        raw = (value % (1 << 8 * self.num_bytes)).to_bytes(self.num_bytes, self.order)
        return data[: self.offset] + raw + data[self.offset + self.num_bytes :]

    @property
    def _mask(self) -> int:
        return (1 << 7 * self.num_bytes) - 1


def length_fields(data: bytes) -> list[Field]:
    """The length fields of an MP4, Matroska or AVI file, at most 4000; empty for anything else."""
    if data[:4] == b"RIFF":
        walk = _riff(data, 0, len(data))
    elif data[:4] == b"\x1a\x45\xdf\xa3":
        walk = _ebml(data, 0, len(data))
    elif data[4:8] in {b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"free", b"wide"}:
        walk = _mp4(data, 0, len(data))
    else:
        return []
    return [field for _, field in zip(range(MAX_FIELDS), walk, strict=False)]


def _mp4(data: bytes, start: int, end: int) -> Iterator[Field]:
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        name, body = kind.decode("latin-1"), start + 8
        yield Field(start, 4, "big", name)
        if size == 1:
            yield Field(body, 8, "big", f"{name}, 64 bits")
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        box_end = min(start + size, end) if size else end
        for place in (_MP4_COUNTS.get(kind), *_MP4_SIZES.get(kind, ())):
            if place is not None and body + place + 4 <= box_end:
                yield Field(body + place, 4, "big", f"{name} + {place}")
        if kind in _MP4_PARENTS or kind in _MP4_LEADING_BYTES:
            yield from _mp4(data, body + _MP4_LEADING_BYTES.get(kind, 0), box_end)
        start = max(box_end, start + 8)


def _ebml(data: bytes, start: int, end: int) -> Iterator[Field]:
    while start < end:
        id_bytes = 9 - data[start].bit_length()
        size_at = start + id_bytes
        if size_at >= end or id_bytes > 4 or not data[size_at]:
            return
        field = Field(size_at, 9 - data[size_at].bit_length(), "big", data[start:size_at].hex(), is_ebml_size=True)
        yield field
        body, size = size_at + field.num_bytes, field.read(data)
        body_end = min(body + size, end)  # an unknown size is all ones, and lasts to the end
        if data[start:size_at] in _EBML_PARENTS:
            yield from _ebml(data, body, body_end)
        start = body_end


def _riff(data: bytes, start: int, end: int) -> Iterator[Field]:
    while start + 8 <= end:
        kind, field = data[start : start + 4], Field(start + 4, 4, "little", data[start : start + 4].decode("latin-1"))
        yield field
        body_end = min(start + 8 + field.read(data), end)
        if kind in _RIFF_PARENTS:
            yield from _riff(data, start + 12, body_end)
        start = body_end + body_end % 2
