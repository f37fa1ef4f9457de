"""One run of one contender in a process of its own: python -m benchmarks.extract.worker NAME TASK.json

The functions are imported here, in the contender's environment. Prints the versions that it ran with as one JSON line.
"""

import importlib
import json
import os
import sys

from benchmarks.extract.task import task_from

# name: module, function, packages whose versions are told
_FUNCTIONS = {
    "loop": ("loop", "extract", ("av", "torch")),
    "ray_read_videos": ("documented", "read_videos", ("ray", "decord", "torch")),
    "daft": ("documented", "read_video_frames", ("daft", "av", "torch")),
    "dataloader": ("documented", "data_loader", ("torchcodec", "torch")),
}


def main() -> None:
    """Do the task, then tell the versions on the last line of stdout."""
    from importlib.metadata import version

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints would stand before the answer
    module, function, packages = _FUNCTIONS[sys.argv[1]]
    getattr(importlib.import_module(f"benchmarks.extract.{module}"), function)(task_from(sys.argv[2]))
    print(json.dumps({package: version(package) for package in packages}), file=answers, flush=True)


if __name__ == "__main__":
    main()
