"""A planted root of real videos, some names of which are hostile, and what `sora report` makes of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jobs import cli
from pipeline import tables
from tests.support.chromium import Tab, tab
from tests.support.planted import DS, Planted, planted_root
from tests.support.videos import encode_video

HOSTILE_NAME = "<script>window.stolen=1</script>.mp4"
HOSTILE_LABEL = '"><img src=x onerror="window.stolen=1">'
HOSTILE_MESSAGE = "</pre></script><script>window.stolen=1</script>"
TWINS = ("walk/first.mp4", "walk/twin.mp4")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root of twelve videos that can be decoded: two are twins, one is hostile; two more are not there."""
    place = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(0)
    names = [*TWINS, HOSTILE_NAME, *(f"run/{index}.mp4" for index in range(9)), "gone/0.mp4", "gone/1.mp4"]
    videos = {}
    for index, name in enumerate(names):
        path = place / "corpus" / name
        if not name.startswith("gone"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_video(48, width=64 if index % 2 else 48, height=48))
        label = HOSTILE_LABEL if name == HOSTILE_NAME else name.split("/")[0]
        columns = {"codec": "h264", "width": 64, "height": 48, "duration_s": 3.0, "has_audio": False}
        videos[f"file://{path}"] = Planted(generator.normal(size=(3, 16)), label=label, columns=columns)
    uris = list(videos)
    near = videos[uris[0]].vectors + 0.01 * generator.normal(size=(3, 16))
    videos[uris[1]] = Planted(near, label="walk", columns=videos[uris[1]].columns)
    root = planted_root(str(place / "root"), videos)
    failure = {"video_id": "f" * 32, "version": "v1", "run_key": "r", "ds": DS, "attempts": 1}
    video = {"video_id": "f" * 32, "uri": "file:///failed.mp4", "version": "v1", "status": "failed"}
    tables.append_rows(root, "videos", [video])
    reason = {"stage": "probe", "error_class": "corrupt", "message": HOSTILE_MESSAGE}
    tables.append_rows(root, "failures", [{**failure, **reason, "uri": "file:///failed.mp4"}])
    return root


@pytest.fixture(scope="module")
def page(planted: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the planted root."""
    output = tmp_path_factory.mktemp("page") / "report.html"
    assert cli.main(["report", "--root", planted, "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    """One browser for the tests of a file; every page that is opened starts with no messages."""
    with tab() as one:
        yield one
