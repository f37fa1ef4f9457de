"""One video -> what a first look at all its packets says, or why that cannot be said."""

from collections.abc import Mapping
from typing import Any

from pipeline import schema, storage
from pipeline.decode.records import Preview
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

PREVIEW_COLUMNS = ("motion_score", "cut_candidates_s", "content_digest", "perceptual_digest")


class Previewer:
    """Previews videos in one sandbox that lives as long as the previewer."""

    def __init__(self) -> None:
        self._sandbox = Sandbox()

    def preview(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Read one video in full.

        Args:
            row: uri and version.
        Returns:
            The preview columns of `videos` and `bytes_read`; `error_class` and `reason`. The latter are null where it
            went well, the others where it did not.
        """
        try:
            found = self._preview(str(row["uri"]), str(row["version"]))
            return {**_outcome(found=found), "bytes_read": self._sandbox.bytes_read}
        except DecodeError as e:
            return _outcome(reason=str(e), error_class=e.error_class)
        except FileNotFoundError:
            return _outcome(reason="The object is gone.", error_class="input_changed")
        except OSError as e:
            return _outcome(reason=f"{type(e).__name__}: {e}", error_class="io_error")

    def _preview(self, uri: str, version: str) -> Preview:
        listed = storage.info(uri).version
        if listed != version:
            what = "The object is no longer the version that was cataloged."
            raise DecodeError(what, error_class="input_changed", where=uri, got=listed, expected=version)
        with storage.open_object(uri) as source:
            return self._sandbox.preview(source)


def _outcome(
    *, found: Preview | None = None, reason: str | None = None, error_class: str | None = None
) -> dict[str, Any]:
    seen = {name: getattr(found, name) if found is not None else None for name in PREVIEW_COLUMNS}
    message = schema.clipped_message(reason) if reason is not None else None
    return {**seen, "bytes_read": None, "reason": message, "error_class": error_class}
