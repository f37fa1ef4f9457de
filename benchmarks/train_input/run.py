"""One `sora train` with a stopwatch in its loop, in a process of its own.

python -m benchmarks.train_input.run streamed|cached TIMES.jsonl --root ROOT ...    the arguments of `sora train`

streamed   clips are never kept: Ray Data decodes beside the trainer in every epoch, as where they exceed memory
cached     whatever the job decides; where the clips fit, it decodes them once, before the first epoch, and keeps them
"""

import functools
import sys
from collections.abc import Sequence
from typing import Any

from jobs.shell import prepare
from jobs.train import main as train

STREAMED, CACHED = "streamed", "cached"


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and give the job's exit code."""
    mode, times_to, *arguments = sys.argv[1:] if argv is None else argv
    prepare()  # before Ray is imported
    from benchmarks.train_input.timed import timed_loop
    from pipeline.train import trainer

    trainer.train_loop = functools.partial(timed_loop, times_to=times_to)
    if mode == STREAMED:
        trainer.share = functools.partial(nothing_kept, trainer.share)
    return train(arguments)


def nothing_kept(share: Any, **resources: Any) -> Any:
    """The job's own decision, told that there is no memory for decoded clips."""
    return share(**{**resources, "object_store_bytes": 0})


if __name__ == "__main__":
    sys.exit(main())
