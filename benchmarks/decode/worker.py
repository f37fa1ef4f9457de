"""One contender in a process of its own: python -m benchmarks.decode.worker NAME

stdin:   {"workload": ..., "save_to": path or null}      a line each
stdout:  {"versions": ...}, then {"cpu_s", "wall_s", "num_frames"} for every line read
"""

import gc
import importlib
import json
import os
import resource
import sys
import time
from typing import Any

import numpy as np

from benchmarks.decode.wanted import workload_from

# name: module, function that delivers, function that tells the versions; imported in the contender's environment
_FUNCTIONS = {
    "decode_only": ("ours", "decode_only", "versions"),
    "sora": ("ours", "sora", "versions"),
    "ffmpeg": ("peers", "command_line", "ffmpeg_version"),
    "opencv": ("peers", "opencv", "opencv_version"),
    "decord": ("peers", "decord", "decord_version"),
    "torchcodec_exact": ("peers", "torchcodec_exact", "torchcodec_version"),
    "torchcodec_approximate": ("peers", "torchcodec_approximate", "torchcodec_version"),
}


def cpu_seconds() -> float:
    """User and system time of this process, all its threads, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def play(deliver: Any, told: dict[str, Any]) -> dict[str, float]:
    """Deliver one workload and measure it; frames are saved where it is asked for, outside the measurement."""
    workload = workload_from(told["workload"])
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), cpu_seconds()
    delivered = deliver(workload)
    spent = {"cpu_s": cpu_seconds() - cpu_s, "wall_s": time.perf_counter() - wall_s}
    if told["save_to"]:
        np.save(told["save_to"], np.concatenate(delivered))
    return {**spent, "num_frames": sum(len(frames) for frames in delivered)}


def main() -> None:
    """Answer every line of stdin with one line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints would stand among the answers
    module_name, deliver_name, versions_name = _FUNCTIONS[sys.argv[1]]
    module = importlib.import_module(f"benchmarks.decode.{module_name}")
    print(json.dumps({"versions": getattr(module, versions_name)()}), file=answers)
    for line in sys.stdin:
        print(json.dumps(play(getattr(module, deliver_name), json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
