"""One object -> one row: what kind of video it is, why it is not one, or why that cannot be told."""

from collections.abc import Mapping
from typing import Any, Literal

from pipeline import schema, storage
from pipeline.corpus import content
from pipeline.decode.probe import VideoInfo
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

Outcome = Literal["video", "failure", "ignored"]
# An error of these classes on an object that is not even named like a video says: it is something else.
_SAYS_NOT_VIDEO = ("open_failed", "no_video")


class Prober:
    """Probes objects in one sandbox that lives as long as the prober."""

    def __init__(self) -> None:
        self._sandbox = Sandbox()

    def probe(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Probe one object.

        Args:
            row: video_id, uri, version, size_bytes.
        Returns:
            `outcome` (video | failure | ignored), `reason` and `error_class` where it is no video, and the media
            columns of `videos`, null where it is none.
        """
        uri = str(row["uri"])
        is_named_video = content.is_named_video(uri)
        try:
            reason = content.reason_to_ignore(storage.read_head(uri, content.HEAD_BYTES))
            if reason is not None and not is_named_video:
                return _outcome("ignored", reason=reason)
            return _outcome("video", info=self._probe(uri))
        except DecodeError as e:
            if e.error_class in _SAYS_NOT_VIDEO and not is_named_video:
                return _outcome("ignored", reason=e.what)
            return _outcome("failure", reason=str(e), error_class=e.error_class)
        except OSError as e:
            return _outcome("failure", reason=f"{type(e).__name__}: {e}", error_class="io_error")

    def _probe(self, uri: str) -> VideoInfo:
        with storage.open_object(uri) as source:
            return self._sandbox.probe(source)


def _outcome(
    outcome: Outcome, *, info: VideoInfo | None = None, reason: str | None = None, error_class: str | None = None
) -> dict[str, Any]:
    media = {name: getattr(info, name) if info is not None else None for name in MEDIA_COLUMNS}
    message = schema.clipped_message(reason) if reason is not None else None
    return {**media, "outcome": outcome, "reason": message, "error_class": error_class}


MEDIA_COLUMNS = (
    *("container", "codec", "width", "height", "fps", "duration_s"),
    *("num_frames", "num_frames_source", "rotation_deg", "has_audio"),
)
