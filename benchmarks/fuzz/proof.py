"""Send thousands of damaged and hostile videos through the decoder's sandbox, and show that nothing but rows comes out.

python -m benchmarks.fuzz --files 5000 --seed 0 --json
python -m benchmarks.fuzz --seed 0 --only-index 17 --write 17.mp4     what was done to one file, what came of it
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.fuzz.corpus import load_corpus
from benchmarks.fuzz.mutations import case
from benchmarks.fuzz.summary import summary
from benchmarks.fuzz.worker import LIMITS, Result, examine
from pipeline.decode.sandbox import Sandbox
from tests.support.shared import PROJECT_ROOT

NUM_WORKERS = 2
MAX_OPENLY = 400  # files that are tried without the decoder process, those with addresses first
SAY_EVERY = 250
SILENCE_S = 3 * (LIMITS.wall_s + LIMITS.stall_s) + LIMITS.start_s  # probe, clips and a good video: then a worker hangs
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def fuzz(folder: Path, *, num_files: int, seed: int, num_workers: int = NUM_WORKERS) -> dict[str, Any]:
    """Examine the files 0 to num_files - 1 of a seed; the counts do not depend on the number of workers.

    Args:
        folder: Where `fuzz.jsonl` is written, one line for each file.
    Returns:
        The figures of `summary.summary`, wall_s, and what files do without the decoder process.
    """
    started_s = time.monotonic()
    slices = [range(first, num_files, num_workers) for first in range(num_workers)]
    with ThreadPoolExecutor(num_workers) as pool:
        played = list(pool.map(lambda indices: _played(seed, indices), slices))
    results = [results for results, _ in played]
    no_count = next((reason for _, reason in played if reason), None)
    answer = {**summary(results, no_count), **_openly(seed, num_files, no_count)}
    answer["wall_s"] = round(time.monotonic() - started_s, 1)
    folder.mkdir(parents=True, exist_ok=True)
    in_order = sorted((result for one in results for result in one), key=lambda result: result.index)
    (folder / "fuzz.jsonl").write_text("".join(json.dumps(asdict(result)) + "\n" for result in in_order))
    return answer


def missed(answer: dict[str, Any]) -> list[str]:
    """The figures that are not what they must be, in words; one that could not be measured is not missed."""
    zeros = ("parent_crashes", "hangs", "good_videos_lost", "outbound_connections", "outbound_without_confinement")
    wrong = [f"{name}: {answer[name]}, must be 0" for name in zeros if answer[name]]
    if answer["classified"] != answer["files"]:
        wrong.append(f"classified: {answer['classified']} of {answer['files']}")
    return wrong


def _played(seed: int, indices: range) -> tuple[list[Result], str | None]:
    """All results of a slice. A worker that dies or hangs costs the file it was at, and another goes on behind it."""
    results: list[Result] = []
    while True:
        rest = indices[len(results) :]
        with _started("benchmarks.fuzz.worker", seed, [rest.start, rest.stop, rest.step]) as (worker, connection):
            assert connection.poll(SILENCE_S), "the worker does not start"
            no_count, ending = connection.recv(), "died"  # EOFError: it ended before it was ready; its stderr says why
            try:
                while len(results) < len(indices) and connection.poll(SILENCE_S):
                    results.append(Result(**connection.recv()))
                    if len(results) % SAY_EVERY == 0 or len(results) == len(indices):
                        _say(f"worker {indices.start}: {len(results)} of {len(indices)} files")
                ending = "hang"
            except EOFError:
                pass
            if len(results) == len(indices):
                return results, no_count
            worker.kill()
            index, detail = indices[len(results)], f"the worker ended with {worker.wait()}"
            _say(f"index {index}: {ending}, {detail}")
            results.append(Result(index, str(case(load_corpus(), seed=seed, index=index)), ending, detail=detail))


def _openly(seed: int, num_files: int, no_count: str | None) -> dict[str, Any]:
    """Attempts to reach an address by the same files without the decoder process, with the whitelists and without."""
    if no_count:
        return {"outbound_without_confinement": None, "outbound_without_whitelists": None}
    indices = _openly_indices(seed, num_files)
    _say(f"{len(indices)} files without the decoder process")
    found: list[dict[str, int]] = []
    with _started("benchmarks.fuzz.openly", seed, indices) as (_, connection):
        while len(found) < len(indices):
            found.append(connection.recv())
    return {
        "openly_files": len(found),
        "outbound_without_confinement": sum(one["guarded"] for one in found),
        "outbound_without_confinement_indices": [one["index"] for one in found if one["guarded"]],
        "outbound_without_whitelists": sum(one["careless"] for one in found),
        "openly_files_that_try_without_whitelists": sum(one["careless"] > 0 for one in found),
        "openly_exit_codes": dict(Counter(str(one["code"]) for one in found)),
        "openly_crashing_indices": [one["index"] for one in found if one["code"]],
    }


def _openly_indices(seed: int, num_files: int) -> list[int]:
    corpus = load_corpus()
    hostile: list[int] = []
    others: list[int] = []
    for index in range(num_files):
        one = case(corpus, seed=seed, index=index)
        (hostile if one.suffix else others).append(index)
    num_hostile = min(len(hostile), MAX_OPENLY * 3 // 4)
    num_others = min(len(others), MAX_OPENLY - num_hostile)
    return hostile[:num_hostile] + others[:: max(1, len(others) // max(num_others, 1))][:num_others]


@contextmanager
def _started(module: str, seed: int, indices: list[int]) -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    ours, theirs = Pipe(duplex=False)
    arguments = json.dumps({"fd": theirs.fileno(), "seed": seed, "indices": indices})
    command = [sys.executable, "-m", module, arguments]
    env, descriptors = {**os.environ, **ONE_THREAD}, [theirs.fileno()]
    with (
        ours,
        subprocess.Popen(command, pass_fds=descriptors, cwd=PROJECT_ROOT, env=env, stdin=subprocess.DEVNULL) as worker,
    ):
        theirs.close()
        try:
            yield worker, ours
        except BaseException:  # raised again; whatever it is, also Ctrl-C, the worker must not outlive it
            worker.kill()
            raise


def _only(seed: int, index: int, file: Path | None) -> Result:
    one = case(load_corpus(), seed=seed, index=index)
    if file:
        file.write_bytes(one.data)
    with Sandbox(LIMITS) as sandbox:
        return examine(sandbox, one)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fuzz and print its figures; 1 where one is missed."""
    parser = argparse.ArgumentParser("python -m benchmarks.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000, help="how many files are examined")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--folder", type=Path, help="keep fuzz.jsonl there: what came of each file")
    parser.add_argument("--only-index", type=int, help="examine this file alone")
    parser.add_argument("--write", type=Path, help="with --only-index: write the mutated file there")
    arguments = parser.parse_args(argv)
    if arguments.only_index is not None:
        result = _only(arguments.seed, arguments.only_index, arguments.write)
        print(json.dumps(asdict(result)) if arguments.json else f"{result.case}\n{result.ending} {result.detail}")
        return 0
    with tempfile.TemporaryDirectory(prefix="sora-fuzz-") as folder:
        answer = fuzz(arguments.folder or Path(folder), num_files=arguments.files, seed=arguments.seed)
    print(json.dumps(answer) if arguments.json else "\n".join(f"{name}: {value}" for name, value in answer.items()))
    for words in missed(answer):
        _say(f"missed: {words}")
    return int(bool(missed(answer)))


if __name__ == "__main__":
    sys.exit(main())
