"""requirements.txt -> Swift in a virtual environment of its own, built once for a set of pinned versions."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.errors import SoraError

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
CACHE_FOLDER = Path(__file__).parents[3] / ".cache"
INSTALL_LIMIT_S = 600  # the wheels are 12 MB; 11 s on a machine with a package cache near by


def swift_python() -> Path:
    """Build Swift's virtual environment when it is missing.

    Returns:
        The Python of that environment.
    Raises:
        SoraError: it could not be built; the message has the commands that would.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE_FOLDER / f"swift-{key}"
    CACHE_FOLDER.mkdir(exist_ok=True)
    with open(CACHE_FOLDER / f"swift-{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once must not build the same folder
        if not (folder / "complete").exists():
            _build(folder)
    return folder / "bin" / "python"


def _build(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]
    _run([sys.executable, "-m", "venv", str(folder)], folder)
    _run(install, folder)
    (folder / "complete").touch()  # last: a half-built folder is built again


def _run(command: list[str], folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, env=environment)
        trouble = done.stderr.strip()[-2000:] if done.returncode else None
    except subprocess.TimeoutExpired:
        trouble = f"no end after {INSTALL_LIMIT_S} s"
    if trouble is None:
        return
    python = folder / "bin" / "python"
    raise SoraError(
        "The S3 server for the tests (OpenStack Swift) could not be installed.",
        where=" ".join(command),
        got=trouble,
        expected="a virtual environment with the versions of tests/support/swift/requirements.txt",
        cure=f"with a package index in reach: {sys.executable} -m venv {folder} && "
        f"{python} -m pip install -r {REQUIREMENTS} && touch {folder / 'complete'}",
    )
