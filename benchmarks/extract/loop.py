"""The same decode and the same model in a loop written by hand: one process a core, plain Parquet.

videos --queue--> processes (read_clips, no sandbox; batches over the ends of videos; no commit) --> a file of each
"""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.extract.network import Network
from benchmarks.extract.task import CLIPS_A_BATCH, Task
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.reader import read_clips
from pipeline.decode.records import Clip
from pipeline.features.memory import keep_freed_memory


def extract(task: Task) -> None:
    """Start the processes, hand out the videos one by one, and wait."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_work, args=(task, queue, number)) for number in range(task.num_workers)]
    for item in (*task.videos, *[None] * len(processes)):
        queue.put(item)
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, f"a process of the loop ended with {process.exitcode}"


def _work(task: Task, queue: Any, number: int) -> None:
    keep_freed_memory()
    network, limits = Network(task.model, num_threads=1), DecodeLimits()
    rows: list[pa.Table] = []
    waiting: list[tuple[str, Clip]] = []
    for video in iter(queue.get, None):
        with open(video, "rb") as source:
            for clip in read_clips(source, task.sampling, limits):
                waiting.append((Path(video).name, clip))
                if len(waiting) == CLIPS_A_BATCH:
                    rows.append(_rows(network, waiting))
                    waiting = []
    if waiting:
        rows.append(_rows(network, waiting))
    if rows:
        pq.write_table(pa.concat_tables(rows), f"{task.output}/{number}.parquet")


def _rows(network: Network, waiting: list[tuple[str, Clip]]) -> pa.Table:
    values = network.encoded(np.stack([clip.frames for _, clip in waiting]))
    names, indices = [name for name, _ in waiting], [clip.clip_index for _, clip in waiting]
    return pa.table({"name": names, "clip_index": indices, **values, "embedding": list(values["embedding"])})
