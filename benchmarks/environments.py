"""Virtual environments of other tools: each has the pinned versions it is compared in, and none of ours.

name, requirements --venv, pip--> .cache/peers/<name>-<digest>/bin/python, made once
"""

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import SoraError

PEERS = Path(__file__).parents[1] / ".cache" / "peers"
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


def python_of(name: str, requirements: Sequence[str], *, folder: Path = PEERS, run: Run = _run) -> Path:
    """The Python of an environment with exactly these packages and what they need; installed on the first call.

    Args:
        name: What the environment is called on disk.
        requirements: Pinned, as pip takes them: "torch==2.13.0".
        folder: Where environments are kept.
        run: Runs a command and says how it ended.
    Returns:
        The path of the interpreter.
    Raises:
        SoraError: the environment cannot be made; nothing is left that would be taken for one.
    """
    home = folder / f"{name}-{_digest(requirements)}"
    if not home.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}-unfinished-", dir=folder) as unfinished:
            fresh = Path(unfinished, "environment")
            _must(run, [sys.executable, "-m", "venv", str(fresh)], name, requirements)
            pip = [str(fresh / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements]
            _must(run, pip, name, requirements)
            fresh.rename(home)
    return home / "bin" / "python"


def _digest(requirements: Sequence[str]) -> str:
    meaning = json.dumps([platform.python_version(), *requirements])
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]


def _must(run: Run, command: Sequence[str], name: str, requirements: Sequence[str]) -> None:
    ended = run(command)
    if ended.returncode:
        raise SoraError(
            f"the environment of {name} cannot be installed",
            where=" ".join(command),
            got=f"exit code {ended.returncode}: {ended.stderr.strip()[-1000:]}",
            expected=f"{', '.join(requirements)} installed by pip from its default registry",
            cure="see that pip reaches its registry and that the disk has room, then run the same command again",
        )
