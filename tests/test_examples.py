"""The programs in examples/ run, say what they promise, and stay short."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.planted import Planted, planted_root
from tests.support.shared import PROJECT_ROOT

EXAMPLES = sorted((PROJECT_ROOT / "examples").glob("*.py"))
SAID = {"nearest_clips.py": "twin.mp4", "classify_videos.py": "accuracy 1.000", "nightly_check.py": "all is well"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two classes that a straight cut tells apart, five sources, and a twin of the first video."""
    generator = np.random.default_rng(0)
    videos = {}
    for index in range(20):
        centre = np.eye(8)[index % 2] * 5
        vectors = centre + 0.3 * generator.normal(size=(2, 8))
        attributes = {"source_group": f"film {index // 4}"}
        videos[f"{index:02d}.mp4"] = Planted(vectors, label=f"action {index % 2}", attributes=attributes)
    videos["twin.mp4"] = Planted(videos["00.mp4"].vectors + 0.001)
    return planted_root(str(tmp_path_factory.mktemp("examples") / "root"), videos)


def run(example: Path, root: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(example), root], capture_output=True, text=True, cwd=PROJECT_ROOT)


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES} == set(SAID)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_is_short(example: Path, root: str) -> None:
    done = run(example, root)
    assert done.returncode == 0, done.stderr
    assert SAID[example.name] in done.stdout
    assert len(example.read_text().splitlines()) < 60


def test_the_nightly_check_finds_a_night_that_went_wrong(tmp_path: Path) -> None:
    broken = Planted(np.array([[np.nan, 1.0]]))
    done = run(PROJECT_ROOT / "examples" / "nightly_check.py", planted_root(str(tmp_path), {"a.mp4": broken}))
    assert done.returncode == 1
    assert "not finite" in done.stdout
