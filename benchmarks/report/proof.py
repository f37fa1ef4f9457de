"""The report of a large root, made by the command, opened in headless Chromium, held against what is promised."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report.corpus import write_root
from pipeline import storage
from tests.support.chromium import tab

MAX_BUILD_S, MAX_BYTES, MAX_OPEN_S = 120.0, 20_000_000, 2.0


def report_scale(folder: Path, *, num_videos: int) -> dict[str, Any]:
    """Plant a root below `folder`, and report on it.

    Returns:
        `build_s`: the whole command, start-up included; `bytes` of the file; `open_s` until the page's load event;
        `messages`: what the browser complained of; `pictures` on the page; `write_s`, seconds to plant the root.
    """
    start_s = time.monotonic()
    root = write_root(folder, num_videos=num_videos)
    write_s = time.monotonic() - start_s
    command = [sys.executable, "-m", "jobs.cli", "report", "--root", root, "--json"]
    start_s = time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    build_s = time.monotonic() - start_s
    made = json.loads(done.stdout)
    with tab() as page:
        page.look(width=1440, dark=False)
        open_s = page.open(f"file://{storage.local_path(made['output'])}")
        messages = list(page.messages)
    return {
        "videos": num_videos,
        "build_s": round(build_s, 1),
        "bytes": made["bytes"],
        "open_s": round(open_s, 2),
        "pictures": made["pictures"],
        "messages": messages,
        "write_s": round(write_s, 1),
    }


def missed_figures(answer: dict[str, Any]) -> list[str]:
    """The figures that are not reached, in words."""
    checks = {
        f"build: {answer['build_s']} s, at most {MAX_BUILD_S}": answer["build_s"] > MAX_BUILD_S,
        f"file: {answer['bytes']} bytes, at most {MAX_BYTES}": answer["bytes"] > MAX_BYTES,
        f"open: {answer['open_s']} s, at most {MAX_OPEN_S}": answer["open_s"] > MAX_OPEN_S,
        f"the browser complains: {answer['messages']}": bool(answer["messages"]),
    }
    return [words for words, is_missed in checks.items() if is_missed]
