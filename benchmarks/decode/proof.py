"""The reader of clips beside decoding alone, the ffmpeg command, OpenCV, decord and torchcodec.

python -m benchmarks.decode --json
python -m benchmarks.decode --quick --json      fewer and shorter videos, two rounds: two minutes once all is made

every contender: a process, one decoding thread, the same videos, frames and size (112x112 RGB)
rate: frames rightly delivered in a second of processor time, of the process and its children; start-up apart
"""

import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command
from benchmarks.decode.contenders import CEILING, OURS, PEERS, Spent, Worker, start_workers
from benchmarks.decode.corpus import workloads
from benchmarks.decode.reference import Deviation, deviation, reference_frames
from benchmarks.decode.rounds import against_peers, middle, ratio, turns
from benchmarks.decode.wanted import Workload

NAMES = (CEILING, OURS, *PEERS)
MIN_VS_DECODE_ONLY = {"320x240": 0.60, "640x360": 0.70, "1280x720": 0.88}
MIN_VS_BEST_PEER = {"320x240": 1.0, "640x360": 1.0, "1280x720": 1.0, "sparse": 2.0}
_SPARSE = ("uniform", "periodic")


def measure(workload: Workload, workers: Mapping[str, Worker], num_rounds: int) -> dict[str, dict[str, Any]]:
    """Play all rounds of one workload; what the first one delivers is compared with the reference.

    Returns:
        For each contender: cpu and wall, frames rightly delivered a second in each round; deviation.
    """
    names = [name for name in workers if workload.is_dense or name != CEILING]
    references = [reference_frames(video) for video in workload.videos]
    found: dict[str, dict[str, Any]] = {name: {"cpu": [], "wall": []} for name in names}
    with tempfile.TemporaryDirectory(prefix="sora-decode-") as folder:
        for name in names if workload.is_dense else ():  # the first delivery sets up more than those after it
            workers[name].deliver(Workload("warm_up", True, workload.videos[:1]))
        for number, name in turns(names, num_rounds):
            saved = Path(folder, f"{name}.npy") if number == 0 and name != CEILING else None
            spent = workers[name].deliver(workload, save_to=saved)
            if saved:
                found[name]["deviation"] = deviation(np.load(saved), workload.videos, references)
                saved.unlink()
            _add(found[name], spent)
            print(f"{workload.name} round {number + 1}: {name} {spent}", file=sys.stderr, flush=True)
    return found


def _add(found: dict[str, Any], spent: Spent) -> None:
    off: Deviation | None = found.get("deviation")
    num_right = spent.num_frames - off.wrong_frames + min(0, off.missing_frames) if off else spent.num_frames
    found["cpu"].append(num_right / spent.cpu_s)
    found["wall"].append(num_right / spent.wall_s)


def summary(found: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, Any]:
    """The figures of all workloads, from what `measure` found of each."""
    answer: dict[str, Any] = {"sparse": {}}
    for workload, contenders in found.items():
        rates = {name: figures["cpu"] for name, figures in contenders.items()}
        versus = against_peers(rates, OURS, list(PEERS))
        if workload in _SPARSE:
            answer["sparse"][workload] = versus
        else:
            answer[workload] = {"vs_decode_only": round(ratio(rates[OURS], rates[CEILING]), 3), **versus}
    least = [versus["vs_best_peer"] for versus in answer["sparse"].values() if versus["vs_best_peer"] is not None]
    answer["sparse"]["vs_best_peer"] = min(least, default=None)
    for unit in ("cpu", "wall"):
        answer[f"frames_per_{unit}_s"] = _each(found, lambda figures, unit=unit: middle(figures[unit]))
    answer["deviation"] = _each(found, lambda figures: asdict(figures["deviation"]) if "deviation" in figures else None)
    return answer


def _each(found: Mapping[str, Mapping[str, dict[str, Any]]], figure: Any) -> dict[str, dict[str, Any]]:
    """One figure of every contender in every workload; those that have none are left out."""
    return {
        workload: {name: value for name, figures in contenders.items() if (value := figure(figures)) is not None}
        for workload, contenders in found.items()
    }


def missed(answer: Mapping[str, Any]) -> list[str]:
    """The figures that are not reached, and wrong frames of ours, in words."""
    words = [
        f"{name}: {answer[name][key]} {key}, at least {least}"
        for key, figures in (("vs_decode_only", MIN_VS_DECODE_ONLY), ("vs_best_peer", MIN_VS_BEST_PEER))
        for name, least in figures.items()
        if answer[name][key] is not None and answer[name][key] < least
    ]
    for workload, contenders in answer["deviation"].items():
        ours = contenders[OURS]
        if ours["wrong_frames"] or ours["missing_frames"]:
            words.append(f"{workload}: {OURS} delivered wrong frames: {ours}")
    return words


def environment(workers: Mapping[str, Worker]) -> dict[str, Any]:
    """What it was measured on, and with."""
    versions = {name: version for worker in workers.values() for name, version in worker.versions.items()}
    return {"cpu_count": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(), **versions}


def table(answer: Mapping[str, Any]) -> str:
    """All rates, a row for each contender of each workload."""
    rows = [("workload", "contender", "frames / CPU s [min, max]", "frames / wall s", "off by", "wrong", "missing")]
    for workload, rates in answer["frames_per_cpu_s"].items():
        for name, (rate, span) in rates.items():
            off = answer["deviation"][workload].get(name)
            wall, _ = answer["frames_per_wall_s"][workload][name]
            right = (f"{off['mean_abs']:.2f}", off["wrong_frames"], off["missing_frames"]) if off else ("",) * 3
            rows.append((workload, name, f"{rate} {span}", wall, *right))
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where one is missed."""
    arguments = command.parse(argv, name="decode", doc=__doc__, quick_rounds=2, quick="fewer and shorter videos")
    with ExitStack() as stack:
        workers, absent = start_workers(NAMES, stack)
        for name, reason in absent.items():
            print(f"absent: {name}: {reason}", file=sys.stderr)
        todo = workloads(is_quick=arguments.quick)
        found = {workload.name: measure(workload, workers, arguments.rounds) for workload in todo}
        facts = {"environment": environment(workers), "absent": sorted(absent), "rounds": arguments.rounds}
    answer = {**summary(found), **facts}
    print(table(answer), file=sys.stderr if arguments.json else sys.stdout)
    shown = answer if arguments.json else {name: answer[name] for name in (*MIN_VS_BEST_PEER, *facts)}
    return command.give(shown, missed(answer), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
