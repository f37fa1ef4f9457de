"""What the first bytes of a packet say about how it can be decoded: pure, no video library.

Both answers are promises about every later frame, so only what the standards promise counts, never a container's flag.
"""

_H264_IDR = 5
_H264_SLICES = range(1, 6)
_HEVC_IRAP = range(16, 22)  # BLA, IDR and CRA pictures
_HEVC_SLICES = range(32)
_START_CODE = b"\0\0\1"
_MAX_NALS = 32  # parameter sets and messages before the first slice; there are a few


def is_restart(codec: str, extradata: bytes, payload: bytes | memoryview) -> bool:
    """Whether this packet, and every frame shown after its own, decodes without anything that came before.

    Args:
        codec: FFmpeg's name of a codec whose frames lean on each other; anything but H.264 and HEVC says False.
        extradata: The codec's header from the container: avcC or hvcC, or empty before start codes.
        payload: The packet, which the container calls a key frame.
    """
    if codec == "h264":
        return _first_slice(payload, _nal_length_bytes(extradata, 4), 0, 0x1F, _H264_SLICES) == _H264_IDR
    if codec == "hevc":
        return _first_slice(payload, _nal_length_bytes(extradata, 21), 1, 0x3F, _HEVC_SLICES) in _HEVC_IRAP
    return False


def can_skip_nonref(codec: str, extradata: bytes) -> bool:
    """Whether FFmpeg's skip_frame=nonref leaves out nothing that any other frame is made of.

    H.264 marks such pictures (nal_ref_idc = 0). HEVC marks what no picture of the same temporal layer needs, which is
    the same only where there is one layer.
    """
    if codec == "hevc":
        is_hvcc = len(extradata) > 22 and extradata[0] == 1
        return is_hvcc and (extradata[21] >> 3) & 7 == 1  # numTemporalLayers, ISO/IEC 14496-15
    return codec == "h264"


def _nal_length_bytes(extradata: bytes, place: int) -> int:
    """Bytes of the length before each unit, 0 where start codes part them (ISO/IEC 14496-15)."""
    return (extradata[place] & 3) + 1 if len(extradata) > place and extradata[0] == 1 else 0


def _first_slice(payload: bytes | memoryview, length_bytes: int, shift: int, mask: int, slices: range) -> int | None:
    """The type of the first unit that carries a picture; None where there is none."""
    position = 0
    for _ in range(_MAX_NALS):
        if length_bytes:
            start = position + length_bytes
            position = start + int.from_bytes(payload[position:start], "big")
        else:
            start = bytes(payload).find(_START_CODE, position) + len(_START_CODE)
            position = start
            if start < len(_START_CODE):
                return None
        if start >= len(payload):
            return None
        unit_type = (payload[start] >> shift) & mask
        if unit_type in slices:
            return unit_type
    return None
