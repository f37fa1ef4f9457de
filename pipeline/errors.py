"""Every error a user can meet, and the closed set of reasons why a video could not be used.

SoraError                  exit code 30: needs a person
├── ConfigError            exit code 2: an option, a root or a CSV is wrong
├── CorpusError            exit code 2: the corpus is missing, empty or unreadable
├── DecodeError            one video (or slice) is bad: a row in `failures`, the job goes on
├── CheckpointError        exit code 2: a model reference or checkpoint folder is missing or damaged
└── TableError             exit code 2: the root has no such table, or a table is not ours
    └── CommitConflictError    exit code 20: other writers kept winning; try again
"""

from typing import Literal, get_args

ErrorClass = Literal[
    "open_failed",  # no demuxer on the whitelist takes these bytes
    "no_video",  # a readable container without a video stream
    "unsupported_codec",  # a video stream that no whitelisted decoder takes
    "corrupt",  # opened, but not one whole frame could be decoded
    "partial",  # some slices were decoded before the damage; they are kept
    "too_large",  # pixels, bytes, duration or stream count over the limit
    "timeout",  # wall clock or CPU time used up
    "crashed",  # the decoder process died of a signal
    "out_of_memory",  # the decoder process reached its memory limit
    "input_changed",  # the object is no longer the version that was cataloged
    "io_error",  # the store could not be read, after retries
]
ERROR_CLASSES: frozenset[str] = frozenset(get_args(ErrorClass))


class SoraError(Exception):
    """A failure with what happened, where, what was got, what was expected and what cures it.

    Args:
        what: One sentence: what went wrong.
        where: The uri, video_id, file or option it concerns.
        got: The offending value.
        expected: What would have been right.
        cure: What the reader can do now.
    """

    exit_code = 30

    def __init__(
        self, what: str, *, where: object = None, got: object = None, expected: object = None, cure: object = None
    ):
        self.what, self.where, self.got, self.expected, self.cure = what, where, got, expected, cure
        details = [f"  {name}: {value}" for name, value in self.parts().items() if value is not None]
        super().__init__("\n".join([what, *details]))

    def parts(self) -> dict[str, object]:
        """Everything but the first sentence, by name."""
        return {"where": self.where, "got": self.got, "expected": self.expected, "cure": self.cure}

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), dict(self.__dict__))


class ConfigError(SoraError):
    """An option, a root, a CSV or a configuration value is wrong."""

    exit_code = 2


class CorpusError(SoraError):
    """The corpus cannot be listed: missing, empty, or no permission."""

    exit_code = 2


class DecodeError(SoraError):
    """One video cannot be decoded; `error_class` says why, from the closed set."""

    def __init__(
        self,
        what: str,
        *,
        error_class: ErrorClass,
        where: object = None,
        got: object = None,
        expected: object = None,
        cure: object = None,
    ):
        assert error_class in ERROR_CLASSES, f"error_class must be one of {sorted(ERROR_CLASSES)}, got {error_class!r}"
        super().__init__(what, where=where, got=got, expected=expected, cure=cure)
        self.error_class: ErrorClass = error_class


class CheckpointError(SoraError):
    """A model reference leads nowhere, or its files are damaged."""

    exit_code = 2


class TableError(SoraError):
    """A table is missing, or is not one of ours."""

    exit_code = 2


class CommitConflictError(TableError):
    """Other writers won every attempt; nothing of this commit is visible."""

    exit_code = 20


def _rebuild(kind: type[SoraError], state: dict[str, object]) -> SoraError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    details = [f"  {name}: {state[name]}" for name in ("where", "got", "expected", "cure") if state[name] is not None]
    Exception.__init__(error, "\n".join([str(state["what"]), *details]))
    return error
