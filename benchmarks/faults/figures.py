"""The figures that schedules do not give: how each is measured, and when it is missed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import overhead, sandbox_cost, times
from benchmarks.fuzz import proof as fuzz
from benchmarks.plan import proof as plan
from benchmarks.readers import proof as readers

MAX_REDONE_SHARE, MAX_S3_FAULT_RATIO = 0.05, 1.5
MIN_KILLS = 10
_PLAN_VIDEOS = 1_000_000
_FUZZ_SEED = 0
_S3_CLIPS = 60
_SANDBOX_ROUNDS = 12


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    folder: Empty, and removed afterwards.
    num_pairs: Pairs of runs behind each ratio.
    """

    folder: Path
    num_redone_videos: int
    num_pairs: int
    num_fuzz_files: int


@dataclass(frozen=True)
class Figure:
    """measure: gives the value of its key in the JSON line. missed: what of it is not reached, in words."""

    measure: Callable[[Settings], Any]
    missed: Callable[[Any], list[str]]


def missed_figures(answer: dict[str, Any]) -> list[str]:
    """The figures that are not reached, in words; one that was not measured is not missed."""
    checks = {
        f"{answer['exact']} of {answer['schedules']} schedules were exact": answer["exact"] < answer["schedules"],
        f"{answer['untidy']} runs ended with a traceback or a wrong exit code": answer["untidy"] > 0,
        f"{answer['min_kills']} kills in a schedule, at least {MIN_KILLS}": (answer["min_kills"] or 99) < MIN_KILLS,
    }
    missed = [words for words, is_missed in checks.items() if is_missed]
    measured = {name: figure for name, figure in FIGURES.items() if answer[name] is not None}
    return missed + [f"{name} {words}" for name, figure in measured.items() for words in figure.missed(answer[name])]


def _at_most(limit: float) -> Callable[[float], list[str]]:
    return lambda value: [f"is {value:.3f}, at most {limit}"] if value > limit else []


def _overhead(settings: Settings) -> float:
    pairs = overhead.overhead(settings.folder, num_rounds=settings.num_pairs, num_videos=928)
    return float(pairs["overhead_ratio"])


FIGURES: dict[str, Figure] = {
    "redone_share": Figure(
        lambda settings: times.redone_share(settings.folder, num_videos=settings.num_redone_videos),
        _at_most(MAX_REDONE_SHARE),
    ),
    "s3_fault_ratio": Figure(
        lambda settings: times.s3_fault_ratio(settings.folder, num_clips=_S3_CLIPS, num_pairs=settings.num_pairs),
        _at_most(MAX_S3_FAULT_RATIO),
    ),
    "overhead_ratio": Figure(_overhead, _at_most(overhead.MAX_OVERHEAD_RATIO)),
    "sandbox_ratio": Figure(
        lambda settings: sandbox_cost.sandbox_ratio(_SANDBOX_ROUNDS), _at_most(sandbox_cost.MAX_SANDBOX_RATIO)
    ),
    "fuzz": Figure(
        lambda settings: fuzz.fuzz(settings.folder, num_files=settings.num_fuzz_files, seed=_FUZZ_SEED),
        fuzz.missed,
    ),
    "readers": Figure(lambda settings: readers.reader_polling(settings.folder), readers.missed),
    "plan": Figure(lambda settings: plan.plan_scale(settings.folder, num_videos=_PLAN_VIDEOS), plan.missed_figures),
}
