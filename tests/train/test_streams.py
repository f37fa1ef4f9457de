"""Where clips stream, a run goes on within an epoch with those it has not learned from."""

import functools
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.train_input.run import _nothing_kept
from pipeline.train import trainer
from tests.support.sora import Sora
from tests.train.test_survival import TRAINING, cataloged, noted_step, trained_on_changing_machines, until_noted

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
            until_noted(Path(loop.root.removeprefix("file://")))
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return noted_step(real, Path(notes), standing, model, batch, **options)

    module.take_step, module.SAVE_EVERY_S = fatal, 0.0
    module.train_loop(loop)


def require_each_clip_once_an_epoch(notes: Path, *, num_taken_again: int) -> None:
    """Every clip in both epochs, in the first once, in the second with a few more than once."""
    steps = [json.loads(line) for line in notes.read_text().splitlines()]
    first, second = (Counter(c for step in steps if step["epoch"] == epoch for c in step["clips"]) for epoch in (0, 1))
    assert len(first) == 20
    assert set(first.values()) == {1}
    assert set(first) == set(second)
    assert second.total() <= len(second) + num_taken_again


def test_a_stream_goes_on_within_an_epoch_with_the_clips_that_are_left(
    tmp_path: Path, rendered: Path, sora: Sora, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, notes = cataloged(tmp_path / "streamed", rendered, sora), tmp_path / "steps"
    monkeypatch.setattr(trainer, "train_loop", functools.partial(streamed_loop, notes=str(notes)))
    monkeypatch.setattr(trainer, "share", functools.partial(_nothing_kept, trainer.share))
    outcome = sora("train", "--root", root, *TRAINING)
    assert outcome.code == 0, outcome.err
    assert Path(f"{notes}.killed").exists()
    require_each_clip_once_an_epoch(notes, num_taken_again=4)  # the step before the kill


@pytest.mark.timeout(600)
def test_a_stream_goes_on_with_fewer_workers_and_with_more(tmp_path: Path, rendered: Path, sora: Sora) -> None:
    root, notes = cataloged(tmp_path / "elastic", rendered, sora), tmp_path / "notes"
    trained_on_changing_machines(root, notes, "streamed", num_cpus=3)
    require_each_clip_once_an_epoch(notes / "steps", num_taken_again=8)  # the steps at the loss and at the growth
