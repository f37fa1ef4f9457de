"""A job that stands still ends by itself and says where it stood; one that moves is left alone."""

import subprocess
import sys

PROGRAM = """
import sys, time
from jobs.watchdog import Watchdog

def a_thing_that_hangs(seconds):
    time.sleep(seconds)

watchdog = Watchdog("extract", 1.0)
with watchdog.watching():
    for _ in range(4):
        time.sleep(0.5)
        watchdog.feed()
    print("moved", flush=True)
    a_thing_that_hangs(float(sys.argv[1]))
print("ended")
"""


def run(hang_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(hang_s)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_job_that_stands_still_says_what_hangs_and_can_be_repeated() -> None:
    stuck = run(30)
    assert (stuck.returncode, stuck.stdout) == (20, "moved\n")
    assert "No progress for 1 s" in stuck.stderr
    assert "a_thing_that_hangs" in stuck.stderr


def test_a_job_that_moves_is_left_alone() -> None:
    moving = run(0.1)
    assert (moving.returncode, moving.stdout) == (0, "moved\nended\n")
