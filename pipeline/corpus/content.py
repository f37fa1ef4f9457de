"""What an object is, from its first bytes: possibly video, or surely something else."""

import filetype

HEAD_BYTES = 4096
# Image formats whose files may hold a sequence: they go to the probe like video.
_MOVING_IMAGES = {"image/gif", "image/heic", "image/heif", "image/avif", "image/webp", "image/apng"}
_VIDEO_SUFFIXES = (
    *(".264", ".265", ".266", ".3g2", ".3gp", ".amv", ".asf", ".av1", ".avi", ".avif", ".divx", ".dv", ".f4v", ".flv"),
    *(".gif", ".h264", ".h265", ".heic", ".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4s", ".m4v", ".mjpeg", ".mkv"),
    *(".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts"),
    *(".vob", ".vvc", ".webm", ".wmv", ".y4m"),
)


def is_named_video(uri: str) -> bool:
    """Whether the name claims to be video; then unreadable content is a failure, not something to ignore."""
    return uri.lower().endswith(_VIDEO_SUFFIXES)


def reason_to_ignore(head: bytes) -> str | None:
    """Why these first bytes are surely not video, or None where only a probe can tell.

    Args:
        head: The first HEAD_BYTES of the object, or all of it.
    """
    if not head:
        return "empty object"
    kind = filetype.guess_mime(head)
    if kind is not None:
        return None if kind.startswith("video/") or kind in _MOVING_IMAGES else kind
    return "text" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    for cut in range(4):  # the last character may be cut off
        try:
            head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return True
    return False
