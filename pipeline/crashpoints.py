"""Places where a driver can be made to die, so that the fault harness can show that nothing is lost there."""

import os

EXIT_CODE = 137  # as after kill -9
POINTS = (
    "planned",  # work is known, nothing is started
    "task_done",  # a worker has written a file no commit names
    "before_commit",  # several files wait
    "before_log_entry",  # keys are checked, the log entry is not written
    "after_log_entry",  # the log entry is there, nobody was told
    "between_commits",  # vectors are committed, failures are not
    "before_run_row",  # everything is committed, the run is not noted
)


def crash_point(name: str) -> None:
    """Die here, at once and without any clean-up, where the environment asks for it: SORA_CRASH_AT=name."""
    assert name in POINTS, f"a crash point must be one of {POINTS}, got {name!r}"
    if os.environ.get("SORA_CRASH_AT") == name:
        os._exit(EXIT_CODE)
