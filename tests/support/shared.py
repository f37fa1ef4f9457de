"""Where the real test video lies."""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def shared_videos() -> Path:
    """The folder named by SORA_TEST_VIDEOS, else ../shared/videos seen from the project's root."""
    return Path(os.environ.get("SORA_TEST_VIDEOS", PROJECT_ROOT.parent / "shared" / "videos"))
