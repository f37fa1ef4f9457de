"""Kill, overlap and starve real extractions by seed, and show that no row is lost or doubled.

python -m benchmarks.faults --schedules 100 --json
python -m benchmarks.faults --seed 17 --schedules 1 --figures          repeats one schedule, and measures nothing else
python -m benchmarks.faults --schedules 0 --figures redone_share       measures one figure
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.faults.cluster import FaultCluster, fault_cluster
from benchmarks.faults.figures import FIGURES, Settings, missed_figures
from benchmarks.faults.play import Outcome, play
from benchmarks.faults.schedule import KINDS, S3_KINDS, Schedule, schedule
from benchmarks.faults.workload import Workload, local_workload, s3_workload
from jobs import shell

Say = Callable[[str], None]


class Field:
    """Workloads on disk and on S3, and a Ray cluster, each prepared when it is first needed."""

    def __init__(self, folder: Path, num_clips: int, stack: ExitStack):
        self._folder, self._num_clips, self._stack = folder, num_clips, stack
        self._ready: dict[bool, Workload] = {}
        self._cluster: FaultCluster | None = None

    @property
    def cluster(self) -> FaultCluster:
        if self._cluster is None:
            self._cluster = self._stack.enter_context(fault_cluster())
        return self._cluster

    def workload(self, *, on_s3: bool) -> Workload:
        if on_s3 not in self._ready:
            prepare = s3_workload if on_s3 else local_workload
            folder = self._folder / ("s3" if on_s3 else "local")
            self._ready[on_s3] = self._stack.enter_context(prepare(folder, num_clips=self._num_clips))
        return self._ready[on_s3]


def main(argv: Sequence[str] | None = None) -> int:
    """Play the schedules, measure the figures, print them; 1 where one is missed."""
    arguments = _parser().parse_args(argv)
    shell.prepare()
    signal.signal(signal.SIGTERM, _stop)  # so that the processes of a stopped proof are cleared away
    say = _teller(sys.stderr if arguments.json else sys.stdout)
    seeds = range(arguments.seed, arguments.seed + arguments.schedules)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sora-faults-")))
        field = Field(folder, arguments.clips, stack)
        answer = summary([_played(schedule(seed, arguments.only), field, say) for seed in seeds])
    for name in arguments.figures:  # after the field is cleared: they want the machine for themselves
        say(f"measures {name}")
        with tempfile.TemporaryDirectory(prefix="sora-faults-") as figures:
            settings = Settings(Path(figures), arguments.redone_videos, arguments.pairs, arguments.fuzz_files)
            answer[name] = FIGURES[name].measure(settings)
        say(f"  {name}: {answer[name]}")
    missed = missed_figures(answer)
    print(json.dumps(answer) if arguments.json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    for figure in missed:
        say(f"missed: {figure}")
    return int(bool(missed))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the schedules came to; the other figures are None until they are measured."""
    differences = [outcome.difference for outcome in outcomes if outcome.difference is not None]
    kinds = Counter(outcome.schedule.kind for outcome in outcomes)
    exact = Counter(outcome.schedule.kind for outcome in outcomes if outcome.is_exact)
    return {
        "schedules": len(outcomes),
        "exact": sum(exact.values()),
        **{
            name: sum(getattr(one, name) for one in differences)
            for name in ("missing", "duplicates", "foreign", "changed", "partial_unsaid")
        },
        "kills": sum(outcome.kills for outcome in outcomes),
        "min_kills": min((outcome.kills for outcome in outcomes), default=None),
        "untidy": sum(len(outcome.untidy) for outcome in outcomes),
        "failing_seeds": [one.schedule.seed for one in outcomes if not one.is_exact or one.untidy],
        "kinds": {kind: {"schedules": kinds[kind], "exact": exact[kind]} for kind in KINDS if kinds[kind]},
        **dict.fromkeys(FIGURES),
    }


def _played(planned: Schedule, field: Field, say: Say) -> Outcome:
    """On disk all drivers join one cluster; on S3 each has a Ray of its own, whose workers know the store by it."""
    say(str(planned))
    on_s3 = planned.kind in S3_KINDS
    started_s = time.monotonic()
    outcome = play(planned, field.workload(on_s3=on_s3), None if on_s3 else field.cluster)
    assert outcome.difference is not None
    verdict = "exact" if outcome.is_exact else f"NOT EXACT {asdict(outcome.difference)}"
    lost = f", {outcome.difference.partial_unsaid} `partial` rows lost" if outcome.difference.partial_unsaid else ""
    requests = f", requests {outcome.requests}" if outcome.requests else ""
    took_s = time.monotonic() - started_s
    say(f"  -> {verdict}{lost}; {outcome.kills} kills, exit codes {outcome.codes}{requests}, {took_s:.0f} s")
    for words in outcome.untidy:
        say(f"  untidy: {words}")
    return outcome


def _stop(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _teller(stream: Any) -> Say:
    def say(text: str) -> None:
        print(text, file=stream, flush=True)

    return say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=100, help="how many seeds are played")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--only", choices=KINDS, help="make every schedule one of this kind")
    parser.add_argument("--json", action="store_true", help="print one JSON line; the schedules go to stderr")
    parser.add_argument("--clips", type=int, default=40, help="whole clips in the corpus, besides the broken ones")
    parser.add_argument(
        "--figures", nargs="*", choices=FIGURES, default=list(FIGURES), help="what is measured besides; all unless told"
    )
    parser.add_argument("--redone-videos", type=int, default=2400, help="videos behind redone_share")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs behind s3_fault_ratio and overhead_ratio")
    parser.add_argument("--fuzz-files", type=int, default=5000, help="damaged videos behind fuzz")
    return parser


if __name__ == "__main__":
    sys.exit(main())
