"""Writers that commit to one table at once: who has won, how long a loser waits, and when it gives up."""

import random
import time
from collections.abc import Callable

from deltalake.exceptions import DeltaError

from pipeline import storage
from pipeline.errors import CommitConflictError
from pipeline.s3_client import store_errors

MAX_ATTEMPTS = 40  # four writers racing for 20 keys needed at most 9
_MAX_WAIT_S = 2.0
_LOST = ("concurrent", "conflict", "metadata changed")  # deltalake's words; the last: columns were added meanwhile


def is_won(commit: Callable[[], object]) -> bool:
    """Write one log entry; False where another writer was faster, or the store failed and it is not known."""
    try:
        with store_errors():
            commit()
    except (DeltaError, OSError) as e:
        if not any(word in str(e).lower() for word in _LOST) and not storage.is_passing_fault(e):
            raise
        return False
    return True


def wait(attempt: int) -> None:
    """Sleep for a random moment that grows with every lost attempt."""
    time.sleep(random.uniform(0, min(_MAX_WAIT_S, 0.05 * 2**attempt)))


def lost(name: str, uri: str) -> CommitConflictError:
    """The error of a writer that has lost every race for a table."""
    return CommitConflictError(
        f"Other writers won {MAX_ATTEMPTS} races for table `{name}`.",
        where=uri,
        cure="run the same command again; what is committed is not done twice",
    )
