"""Which failed videos are taken again: those that are due, and those somebody asks for."""

from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from pipeline.errors import ConfigError, ErrorClass

Key = tuple[str, str]  # video_id, version

# What the machine or the store may be to blame for. Everything else is the file's fault, and stays until asked for.
_MAY_PASS: frozenset[ErrorClass] = frozenset({"timeout", "crashed", "out_of_memory", "io_error"})


def is_due(error_class: str, attempts: int, *, max_attempts: int) -> bool:
    """Whether a video that failed is tried again without being asked for.

    Args:
        error_class: Of the newest failure.
        attempts: Made so far, over all runs.
        max_attempts: After so many a video is given up, for ever, until somebody asks.
    """
    if error_class == "partial":  # its slices are in `features` under the model of that run; this model has none yet
        return True
    return error_class in _MAY_PASS and attempts < max_attempts


@dataclass(frozen=True)
class RetryPolicy:
    """What to take besides what was never tried.

    Args:
        retry_failed: Every failed video, given up or not.
        where: With retry_failed, only those with a failure that fulfils this SQL condition over `failures`.
        max_attempts: When a video that may pass is given up.
        since: Only videos cataloged at or after this time.
    """

    retry_failed: bool = False
    where: str | None = None
    max_attempts: int = 3
    since: datetime | None = None

    def asked_for(self, failures: pa.Table) -> set[Key]:
        """The failed versions to take because somebody asks.

        Raises:
            ConfigError: the condition is not one DuckDB understands.
        """
        if not self.retry_failed:
            return set()
        connection = duckdb.connect()
        connection.register("failures", failures)
        try:
            text = f"SELECT DISTINCT video_id, version FROM failures WHERE ({self.where or 'true'})"
            return set(connection.sql(text).fetchall())
        except duckdb.Error as e:
            expected = "an SQL condition over `failures`, as in error_class = 'timeout'"
            raise ConfigError("The condition cannot be read.", where="--where", got=e, expected=expected) from e
