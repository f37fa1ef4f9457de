"""How much of its time a trainer computes, with Ray Data decoding beside it on the same machine.

python -m benchmarks.train_input --json
python -m benchmarks.train_input --quick --json      fewer clips

The real `sora train` of sora_xs on clips of J-HMDB, batches of 8, one worker, twice in every round: with clips streamed
(every epoch decodes) and with clips kept (the job decodes them before the first epoch, so the first is as the others).
busy_share         streamed: seconds inside steps over all seconds of the epochs
busy_share_cached  the same of the epochs after the first, with clips kept
Both count the wait for an epoch's first batch; `between_steps` leaves it out, which is what long epochs tend to.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.decode.rounds import middle, turns
from benchmarks.extract.corpus import jhmdb, placed
from benchmarks.train_input.run import CACHED, STREAMED
from benchmarks.train_input.shares import (
    Epoch,
    busy_share,
    busy_share_between_steps,
    clips_per_s,
    first_wait_s,
    step_s,
)
from pipeline.errors import SoraError
from tests.support.shared import PROJECT_ROOT

MIN_BUSY_SHARE = 0.95
NUM_VIDEOS, NUM_VIDEOS_QUICK = 900, 120
_EPOCHS = 3
_FIGURES = {
    "busy_share": busy_share,
    "between_steps": busy_share_between_steps,
    "first_wait_s": first_wait_s,
    "step_s": step_s,
    "clips_per_s": clips_per_s,
}


def epochs_of(lines: str) -> list[Epoch]:
    """The epochs in the file of a run, those of attempts before a restart included."""
    told = [json.loads(line) for line in lines.splitlines()]
    return [Epoch(**{**epoch, "steps": [tuple(step) for step in epoch["steps"]]}) for epoch in told]


def summary(found: Mapping[str, Sequence[Sequence[Epoch]]]) -> dict[str, Any]:
    """The figures of both modes, the median of the rounds.

    Args:
        found: For each mode the epochs of each round.
    """
    measured = {STREAMED: found[STREAMED], CACHED: [epochs[1:] for epochs in found[CACHED]]}
    modes = {
        mode: {name: _rounded([figure(epochs) for epochs in rounds]) for name, figure in _FIGURES.items()}
        for mode, rounds in measured.items()
    }
    return {
        "busy_share": modes[STREAMED]["busy_share"][0],
        "busy_share_cached": modes[CACHED]["busy_share"][0],
        "modes": modes,
        "steps_per_epoch": len(found[STREAMED][0][0].steps),
    }


def _rounded(values: Sequence[float]) -> list[Any]:
    """[median, [min, max]], to a thousandth: `middle` keeps hundredths."""
    figure, span = middle([1000 * value for value in values])
    return [round(figure / 1000, 4), [round(value / 1000, 4) for value in span]]


def missed(answer: Mapping[str, Any]) -> list[str]:
    """The figures that are not reached, in words."""
    names = ("busy_share", "busy_share_cached")
    return [f"{answer[name]} {name}, at least {MIN_BUSY_SHARE}" for name in names if answer[name] < MIN_BUSY_SHARE]


def trained(root: Path, mode: str, folder: Path, name: str) -> list[Epoch]:
    """One run on a cataloged root, under a name of its own."""
    times_to = folder / f"{name}.jsonl"
    options = {"--root": root, "--name": name, "--epochs": _EPOCHS, "--validation-fraction": 0.1}
    arguments = [str(part) for option in options.items() for part in option]
    _must([sys.executable, "-m", "benchmarks.train_input.run", mode, str(times_to), *arguments])
    return epochs_of(times_to.read_text())


def measure(folder: Path, *, num_rounds: int, is_quick: bool) -> dict[str, Any]:
    """Make a cataloged root below a folder and train on it in turn."""
    load = os.getloadavg()[0]
    number = NUM_VIDEOS_QUICK if is_quick else NUM_VIDEOS
    corpus, root = placed(folder / "corpus", jhmdb(number), "clip"), folder / "root"
    _must([sys.executable, "-m", "jobs.catalog", str(corpus), "--root", str(root)])
    found: dict[str, list[list[Epoch]]] = {STREAMED: [], CACHED: []}
    for number, mode in turns(list(found), num_rounds):
        epochs = trained(root, mode, folder, f"{mode}-{number}")
        found[mode].append(epochs)
        print(f"round {number + 1}: {mode} {busy_share(epochs):.3f} of all epochs", file=sys.stderr, flush=True)
    environment = {"cpu_count": os.cpu_count(), "load_before": load, "machine": platform.machine()}
    return {**summary(found), "rounds": num_rounds, "environment": {**environment, "python": platform.python_version()}}


def _must(command: Sequence[str]) -> None:
    ended = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SoraError(
            "a run of the benchmark ended with an error",
            where=" ".join(command),
            got=f"exit code {ended.returncode}: {ended.stderr.strip()[-2000:]}",
            expected="exit code 0",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where one is missed."""
    arguments = command.parse(argv, name="train_input", doc=__doc__, quick_rounds=1, quick="fewer clips")
    with tempfile.TemporaryDirectory(prefix="sora-train-input-") as folder:
        answer = measure(Path(folder), num_rounds=arguments.rounds, is_quick=arguments.quick)
    return command.give(answer, missed(answer), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
