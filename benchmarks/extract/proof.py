"""The whole extraction, video in and committed table out, beside four other ways to do the same work.

python -m benchmarks.extract --json
python -m benchmarks.extract --quick --json      fewer videos, one round, no look at one worker and at ten times as many

sora             `sora extract` of a cataloged root, with its sandbox, its checks and its commits
loop             the same decode and model in a multiprocessing loop, plain Parquet
ray_read_videos  Ray Data: read_videos, map_batches, write_parquet
daft             Daft: read_video_frames, groupby, a class that embeds, write_parquet
dataloader       PyTorch: DataLoader over torchcodec, plain Parquet

All take the same videos, sampling and checkpoint, may use every core, and give each clip the same three values: vector,
reconstruction error, motion. Every run is a process, timed from outside, from its start to its end. A round is two runs
of every contender in turn, over a small corpus and over a whole one that contains it: the rate is what the second had
more, a second that it took longer; so what happens once, at the start or at the end, is in start_up_s and not in the
rate. `sora catalog` is timed apart: the others keep no catalog.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.decode.rounds import middle, ratio, turns
from benchmarks.extract import growth
from benchmarks.extract.contenders import (
    LOOP,
    OURS,
    PEERS,
    Outcome,
    Prepared,
    peer_python,
    prepared,
    run_other,
    run_ours,
)
from benchmarks.extract.corpus import sizes, write_corpora, write_model
from benchmarks.extract.outcome import Agreement, Run, agreement, clips_per_s, start_up_s
from benchmarks.extract.remote import from_s3
from pipeline.errors import SoraError

VERSUS = {"vs_loop": LOOP, "vs_ray_read_videos": "ray_read_videos", "vs_daft": "daft", "vs_dataloader": "dataloader"}
MIN_VERSUS = {"vs_loop": 0.90, "vs_ray_read_videos": 2.0, "vs_daft": 2.0, "vs_dataloader": 2.0}
MIN_OF_LINEAR, MAX_TENFOLD_OVER_ONCE, MAX_GROWTH_MB = 0.9, 1.1, 50.0
_GROWTH_ROUNDS = 3  # of one worker and two, of ten times the corpus, of S3 and disk: minutes each
_SAME_COSINE = 0.9999  # of the loop, which decodes with our reader
Runs = Mapping[str, Sequence[tuple[Run, Run]]]  # of each contender, one pair of small and whole a round


class Field:
    """The contenders that can run, and what their runs have shown so far.

    Args:
        corpora: `small` and `whole`, cataloged.
        folder: Where runs put their files for as long as they last.
    """

    def __init__(self, corpora: Mapping[str, Prepared], folder: Path):
        self._corpora, self._folder = corpora, folder
        self.pythons = {OURS: Path(sys.executable), LOOP: Path(sys.executable)}
        self.absent: dict[str, str] = {}
        self.runs: dict[str, list[tuple[Run, Run]]] = {}
        self.first: dict[str, Outcome] = {}  # of the whole corpus
        for name in PEERS:
            try:
                self.pythons[name] = peer_python(name)
            except SoraError as e:
                self.absent[name] = str(e)

    def play(self, num_rounds: int) -> None:
        """Every contender in turn; one that fails is absent from then on, unless it is one of ours."""
        for number, name in turns(list(self.pythons), num_rounds):
            if name in self.absent:
                continue
            try:
                small, whole = (self._outcome(name, self._corpora[corpus]) for corpus in ("small", "whole"))
            except SoraError as e:
                if name not in PEERS:
                    raise
                self.absent[name] = str(e)
                self.runs.pop(name, None)
                continue
            self.first.setdefault(name, whole)
            self.runs.setdefault(name, []).append((small.run, whole.run))
            print(f"round {number + 1}: {name} {small.run} {whole.run}", file=sys.stderr, flush=True)

    def _outcome(self, name: str, work: Prepared) -> Outcome:
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self._folder) as empty:
            if name == OURS:
                return run_ours(work, Path(empty))
            return run_other(name, self.pythons[name], work, Path(empty))


def summary(runs: Runs, agreements: Mapping[str, Agreement]) -> dict[str, Any]:
    """The figures, from the runs of every contender that is there."""
    rates = {name: [clips_per_s(*pair) for pair in pairs] for name, pairs in runs.items()}
    starts_s = {name: [start_up_s(*pair) for pair in pairs] for name, pairs in runs.items()}
    versus = {key: round(ratio(rates[OURS], rates[n]), 3) if n in rates else None for key, n in VERSUS.items()}
    return {
        "clips_per_s": middle(rates[OURS])[0],
        **versus,
        "start_up_s": middle(starts_s[OURS])[0],
        "rows": {name: pairs[0][1].num_rows for name, pairs in runs.items()},
        "agreement": {name: asdict(found) for name, found in agreements.items()},
        "contenders": {
            name: {
                "clips_per_s": middle(rates[name]),
                "start_up_s": middle(starts_s[name]),
                "wall_s": middle([whole.wall_s for _, whole in runs[name]]),
            }
            for name in runs
        },
    }


def missed(answer: Mapping[str, Any]) -> list[str]:
    """The figures that are not reached, in words."""
    words = [
        f"{answer[name]} {name}, at least {least}"
        for name, least in MIN_VERSUS.items()
        if answer[name] is not None and answer[name] < least
    ]
    if answer["driver_rss_growth_mb"] > MAX_GROWTH_MB:
        words.append(f"the driver grew by {answer['driver_rss_growth_mb']} MB, at most {MAX_GROWTH_MB}")
    if answer["scaling"] and answer["scaling"]["of_linear"] < MIN_OF_LINEAR:
        words.append(f"2 workers reach {answer['scaling']['of_linear']} of linear, at least {MIN_OF_LINEAR}")
    if answer["cost"] and answer["cost"]["tenfold_over_once"] > MAX_TENFOLD_OVER_ONCE:
        words.append(f"a clip of ten times the corpus costs {answer['cost']['tenfold_over_once']} times as much")
    loop = answer["agreement"][LOOP]
    if loop["missing"] or loop["extra"] or (loop["min_cosine"] or 0.0) < _SAME_COSINE:
        words.append(f"the loop, which decodes as we do, has other vectors: {loop}")
    if answer["s3"] and (answer["s3"]["missing"] or (answer["s3"]["min_cosine"] or 0.0) < _SAME_COSINE):
        words.append(f"from S3 come other vectors than from disk: {answer['s3']}")
    return words


def table(answer: Mapping[str, Any]) -> str:
    """A row for each contender."""
    rows = [("contender", "clips / s [min, max]", "start-up, s", "whole run, s", "rows", "median cosine", "centred")]
    for name, figures in answer["contenders"].items():
        same = answer["agreement"].get(name, {})
        columns = (" ".join(map(str, figures[key])) for key in ("clips_per_s", "start_up_s", "wall_s"))
        cosines = (same.get("median_cosine", ""), same.get("median_centred_cosine", ""))
        rows.append((name, *columns, answer["rows"][name], *cosines))
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]))


def measure(folder: Path, *, num_rounds: int, is_quick: bool) -> dict[str, Any]:
    """Make the corpora below a folder, play all rounds, and look at how our own job grows."""
    load = round(os.getloadavg()[0], 2)
    wanted, model = sizes(is_quick=is_quick), write_model(folder / "model")
    corpora = write_corpora(folder, wanted, is_quick=is_quick)
    works = {name: prepared(corpus, model, folder / f"root-{name}") for name, corpus in corpora.items()}
    field = Field(works, folder)
    field.play(num_rounds)
    ours = field.first[OURS].vectors
    agreements = {n: agreement(ours, o.vectors, o.run.num_rows) for n, o in field.first.items() if n != OURS}
    small, whole = works["small"], works["whole"]
    versions = {name: version for outcome in field.first.values() for name, version in outcome.versions.items()}
    has_growth, num_pairs = wanted.tenfold > 0, min(num_rounds, _GROWTH_ROUNDS)
    return {
        **summary(field.runs, agreements),
        **growth.driver_memory(folder, wanted),
        "scaling": growth.scaling(small, whole, folder, num_rounds=num_pairs) if has_growth else None,
        "cost": growth.cost_growth(small, model, folder, wanted, num_rounds=num_pairs) if has_growth else None,
        "s3": from_s3(works, model, folder, num_rounds=num_pairs) if has_growth else None,
        "catalog_s": {name: round(work.catalog_s, 1) for name, work in works.items()},
        "absent": field.absent,
        "rounds": num_rounds,
        "environment": {
            "cpu_count": os.cpu_count(),
            "load_before": load,
            "machine": platform.machine(),
            "python": platform.python_version(),
            **versions,
        },
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where one is missed."""
    arguments = command.parse(argv, name="extract", doc=__doc__, quick_rounds=1, quick="fewer and shorter videos")
    with tempfile.TemporaryDirectory(prefix="sora-extract-") as folder:
        answer = measure(Path(folder), num_rounds=arguments.rounds, is_quick=arguments.quick)
    print(table(answer), file=sys.stderr if arguments.json else sys.stdout)
    return command.give(answer, missed(answer), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
