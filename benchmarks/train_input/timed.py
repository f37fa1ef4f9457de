"""The training loop with a stopwatch in it; runs in a Ray Train worker, imports Ray.

`pipeline.train.loop` itself: around its `take_step` stands a clock, and another around its epochs.
"""

import json
import time
from pathlib import Path
from typing import Any

from pipeline.train import loop


def timed_loop(config: loop.LoopConfig, *, times_to: str) -> None:
    """Train as `train_loop` does, and append one JSON line an epoch to a file.

    Args:
        config: As the loop takes it.
        times_to: Path of the file.
    """
    steps: list[tuple[float, float]] = []
    num_clips = 0
    plain_step, plain_epoch = loop.take_step, loop._Worker._train_epoch

    def step(standing: Any, model: Any, batch: Any, **options: Any) -> Any:
        nonlocal num_clips
        started_s = time.monotonic()
        numbers = plain_step(standing, model, batch, **options)
        steps.append((started_s, time.monotonic()))
        num_clips += len(batch.frames)
        return numbers

    def epoch(worker: Any) -> Any:
        nonlocal num_clips
        steps.clear()
        num_clips, started_s = 0, time.monotonic()
        metrics = plain_epoch(worker)
        line = {"started_s": started_s, "ended_s": time.monotonic(), "steps": steps, "num_clips": num_clips}
        with Path(times_to).open("a") as file:
            file.write(json.dumps(line) + "\n")
        return metrics

    loop.take_step, loop._Worker._train_epoch = step, epoch  # type: ignore[method-assign]
    try:
        loop.train_loop(config)
    finally:
        loop.take_step, loop._Worker._train_epoch = plain_step, plain_epoch  # type: ignore[method-assign]
