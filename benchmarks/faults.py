"""Kill, overlap and starve real extractions by seed, and show that no row is lost or doubled.

python -m benchmarks.faults --schedules 100 --json
python -m benchmarks.faults --seed 17 --schedules 1 --no-figures      repeats one schedule
"""

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.fault_figures import redone_share, s3_fault_ratio
from benchmarks.fault_play import Outcome, play
from benchmarks.fault_schedule import KINDS, S3_KINDS, Schedule, schedule
from benchmarks.fault_workload import Workload, local_workload, s3_workload
from jobs import shell

MAX_REDONE_SHARE, MAX_S3_FAULT_RATIO = 0.05, 1.5


class _Workloads:
    """The workload on disk and the one on S3, each prepared when a schedule first needs it."""

    def __init__(self, folder: Path, num_clips: int, stack: ExitStack):
        self.folder, self._num_clips, self._stack = folder, num_clips, stack
        self._ready: dict[bool, Workload] = {}

    def get(self, *, on_s3: bool) -> Workload:
        if on_s3 not in self._ready:
            prepare = s3_workload if on_s3 else local_workload
            folder = self.folder / ("s3" if on_s3 else "local")
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
        workloads = _Workloads(folder, arguments.clips, stack)
        outcomes = [_played(schedule(seed, arguments.only), workloads, say) for seed in seeds]
        answer = summary(outcomes)
        kinds = set() if arguments.no_figures else {arguments.only} if arguments.only else set(KINDS)
        if "driver" in kinds:
            say("work redone after a killed driver")
            answer["redone_share"] = redone_share(folder / "figures", num_videos=arguments.redone_videos)
        if "s3_faults" in kinds:
            say("time lost to a faulty S3")
            answer["s3_fault_ratio"] = s3_fault_ratio(workloads.get(on_s3=True), num_pairs=arguments.pairs)
    missed = missed_figures(answer)
    print(json.dumps(answer) if arguments.json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    for figure in missed:
        say(f"missed: {figure}")
    return int(bool(missed))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of the schedules played; redone_share and s3_fault_ratio are None until they are measured."""
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
        "untidy": sum(len(outcome.untidy) for outcome in outcomes),
        "failing_seeds": [one.schedule.seed for one in outcomes if not one.is_exact or one.untidy],
        "redone_share": None,
        "s3_fault_ratio": None,
        "kinds": {kind: {"schedules": kinds[kind], "exact": exact[kind]} for kind in KINDS if kinds[kind]},
    }


def missed_figures(answer: dict[str, Any]) -> list[str]:
    """The figures that are not reached, in words."""
    share, ratio = answer["redone_share"], answer["s3_fault_ratio"]
    checks = {
        f"{answer['exact']} of {answer['schedules']} schedules were exact": answer["exact"] < answer["schedules"],
        f"{answer['untidy']} runs ended with a traceback or a wrong exit code": answer["untidy"] > 0,
        f"redone_share {share}, at most {MAX_REDONE_SHARE}": share is not None and share > MAX_REDONE_SHARE,
        f"s3_fault_ratio {ratio}, at most {MAX_S3_FAULT_RATIO}": ratio is not None and ratio > MAX_S3_FAULT_RATIO,
    }
    return [words for words, is_missed in checks.items() if is_missed]


def _played(planned: Schedule, workloads: _Workloads, say: Callable[[str], None]) -> Outcome:
    say(str(planned))
    outcome = play(planned, workloads.get(on_s3=planned.kind in S3_KINDS))
    assert outcome.difference is not None
    verdict = "exact" if outcome.is_exact else f"NOT EXACT {asdict(outcome.difference)}"
    lost = f", {outcome.difference.partial_unsaid} `partial` rows lost" if outcome.difference.partial_unsaid else ""
    requests = f", requests {outcome.requests}" if outcome.requests else ""
    say(f"  -> {verdict}{lost}; {outcome.kills} kills, exit codes {outcome.codes}{requests}")
    for words in outcome.untidy:
        say(f"  untidy: {words}")
    return outcome


def _stop(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _teller(stream: Any) -> Callable[[str], None]:
    def say(text: str) -> None:
        print(text, file=stream, flush=True)

    return say


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=100, help="how many seeds are played")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--only", choices=KINDS, help="make every schedule one of this kind")
    parser.add_argument("--json", action="store_true", help="print one JSON line; the schedules go to stderr")
    parser.add_argument("--clips", type=int, default=30, help="whole clips in the corpus, besides the broken ones")
    parser.add_argument("--no-figures", action="store_true", help="leave redone_share and s3_fault_ratio out")
    parser.add_argument("--redone-videos", type=int, default=4000, help="videos of the redone_share run")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs behind s3_fault_ratio")
    return parser


if __name__ == "__main__":
    sys.exit(main())
