"""Where clips stream, a run goes on within an epoch with those it has not learned from."""

import functools
import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray

from benchmarks.train_input.run import nothing_kept
from pipeline.decode.clips import clip_dataset
from pipeline.decode.sampling import SamplingConfig
from pipeline.errors import CorpusError
from pipeline.train import trainer
from pipeline.train.board import beside_driver
from pipeline.train.seen import ClipPlaces, SeenBoard, SeenClips
from tests.support.sora import Sora
from tests.train.test_survival import (
    TRAINING,
    cataloged,
    killed_driver,
    noted_step,
    trained_on_changing_machines,
    until_noted,
)

pytestmark = pytest.mark.usefixtures("ray_local")


def streamed_loop(loop: Any, *, notes: str) -> None:
    """The training loop over a stream, whose second worker is killed once, in the second epoch."""
    from pipeline.train import loop as module

    assert loop.stream is not None
    real, num_calls = module.take_step, 0
    rank = module.ray.train.get_context().get_world_rank()
    killed = Path(f"{notes}.killed")

    def fatal(standing: Any, model: Any, batch: Any, **options: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if rank == 1 and num_calls == 8 and not killed.exists():
            until_noted(Path(loop.root.removeprefix("file://")), standing.step)
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return noted_step(real, Path(notes), standing, model, batch, **options)

    module.take_step, module.SAVE_EVERY_S = fatal, 0.0
    module.train_loop(loop)


def require_each_clip_once_an_epoch(notes: Path) -> None:
    steps = [json.loads(line) for line in notes.read_text().splitlines()]
    first, second = (Counter(c for step in steps if step["epoch"] == epoch for c in step["clips"]) for epoch in (0, 1))
    assert len(first) == 20
    assert first == second
    assert set(first.values()) == {1}


def test_a_stream_goes_on_within_an_epoch_with_the_clips_that_are_left(
    tmp_path: Path, rendered: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, notes = cataloged(tmp_path / "streamed", rendered, sora), tmp_path / "steps"
    monkeypatch.setattr(trainer, "train_loop", functools.partial(streamed_loop, notes=str(notes)))
    monkeypatch.setattr(trainer, "share", functools.partial(nothing_kept, trainer.share))
    outcome = sora("train", "--root", root, *TRAINING)
    assert outcome.code == 0, outcome.err
    assert Path(f"{notes}.killed").exists()
    require_each_clip_once_an_epoch(notes)


@pytest.mark.timeout(600)
def test_a_stream_goes_on_with_fewer_workers_and_with_more(tmp_path: Path, rendered: Path, sora: Sora) -> None:
    root, notes = cataloged(tmp_path / "elastic", rendered, sora), tmp_path / "notes"
    trained_on_changing_machines(root, notes, "streamed", num_cpus=3)
    require_each_clip_once_an_epoch(notes / "steps")


def test_an_epoch_begun_in_memory_begins_again_where_clips_stream(
    tmp_path: Path, rendered: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, notes = cataloged(tmp_path / "killed", rendered, sora), tmp_path / "steps"
    killed = killed_driver(root, tmp_path / "pids")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    Path(f"{notes}.killed").touch()  # no worker is killed too
    monkeypatch.setattr(trainer, "train_loop", functools.partial(streamed_loop, notes=str(notes)))
    monkeypatch.setattr(trainer, "share", functools.partial(nothing_kept, trainer.share))
    outcome = sora("train", "--root", root, *TRAINING)
    assert outcome.code == 0, outcome.err
    require_each_clip_once_an_epoch(notes)


def test_decoders_leave_out_what_was_seen_and_open_no_video_that_has_nothing_else(rendered: Path) -> None:
    sampling = SamplingConfig(frames_per_clip=8, sample_fps=8.0, stride_s=0.5, size_px=32)
    uris = [str(path) for path in sorted(rendered.rglob("*.mp4"))[:2]]
    videos = pa.table({"video_id": ["a", "b", "gone"], "uri": [*uris, f"{uris[0]}.gone"]})
    videos = videos.append_column("label_index", pa.array([-1, -1, -1], pa.int32()))
    places = ClipPlaces(["a", "b", "gone"], [2, 2, 2])
    seen = SeenClips(places.num_clips, "")
    seen.add(np.array([1, 4, 5], np.int64))
    board = beside_driver(SeenBoard, places)
    ray.get(board.put.remote(seen.packed()))
    given = clip_dataset(videos, sampling, num_actors=1, seen=board).to_pandas()
    clips = sorted(zip(given["video_id"], given["clip_index"], strict=True))
    assert clips == [("a", 0), ("b", 0), ("b", 1)]


def test_a_stream_of_videos_that_cannot_be_decoded_is_an_error(
    tmp_path: Path, rendered: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(rendered, copies)
    root = cataloged(tmp_path / "root", copies, sora)
    for video in copies.rglob("*.mp4"):
        video.write_bytes(video.read_bytes()[:200])
    monkeypatch.setattr(trainer, "share", functools.partial(nothing_kept, trainer.share))
    outcome = sora("train", "--root", root, *TRAINING)
    assert outcome.code == CorpusError.exit_code
    assert "no clip to train on" in outcome.err
    assert not (root / "models" / "1").exists()
