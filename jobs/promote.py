"""Make a model the champion, if its evaluation is there and not worse than the champion's by more than chance."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tyro.conf import Positional

from jobs.shell import Answer, Job, main as shell_main
from pipeline import runs, storage
from pipeline.evaluate.promotion import promote


@dataclass(frozen=True)
class PromoteConfig:
    """The model to promote."""

    version: Positional[str]
    """A version number of the root."""
    root: str
    """Where tables and models live: a path, file:// or s3:// URI."""


def run(job: Job[PromoteConfig]) -> int:
    """Promote, and say who was champion before."""
    config = job.config
    root = storage.normalize(config.root)
    with runs.recorded(root, "promote", config, ds=job.ds, selection={"version": config.version}):
        done = promote(root, config.version)
    if done.before == done.champion:
        text = f"model {done.champion} is the champion already"
    else:
        text = f"model {done.champion} is the champion; before: {done.before or 'none'}"
    return job.give(Answer(asdict(done), text))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this job."""
    return shell_main("promote", __doc__, PromoteConfig, run, argv)


if __name__ == "__main__":
    sys.exit(main())
