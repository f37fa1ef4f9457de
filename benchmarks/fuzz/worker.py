"""One process of the fuzz: a slice of the indices through one Sandbox, with whole videos between them.

`python -m benchmarks.fuzz.worker`, started by `proof.py`. It stands for the process that decodes in
production: it must not die, not grow and not lose a good video, whatever the files are.
"""

import hashlib
import io
import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.fuzz.corpus import Corpus, Source, load_corpus
from benchmarks.fuzz.mutations import Case, case
from benchmarks.fuzz.network import NoOwnNetworkError, enter_own_network, num_attempts
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError

SAMPLING = SamplingConfig(frames_per_clip=8, sample_fps=8.0, stride_s=2.0, size_px=32)
LIMITS = DecodeLimits(cpu_s=10.0, wall_s=20.0, stall_s=10.0)
CONTROL_EVERY = 25  # files between two good videos


@dataclass
class Result:
    """What came of one file. `ending` is `clips`, a class of error, or one of `escaped`, `hang` and `died`."""

    index: int
    case: str = ""
    ending: str = ""
    num_clips: int = 0
    detail: str = ""
    probe_s: float = 0.0
    clips_s: float = 0.0
    child_pid: int | None = None
    rss_bytes: int = 0
    descriptors: int = 0
    attempts: int | None = None  # so far, in our network and the decoders' own; None where they cannot be counted
    lost_controls: list[str] = field(default_factory=list)
    num_controls: int = 0


def examine(sandbox: Sandbox, one: Case) -> Result:
    """Send one file through the sandbox as production does: probe, then all clips."""
    result = Result(one.index, str(one))
    started_s = clips_from_s = time.monotonic()
    try:
        sandbox.probe(io.BytesIO(one.data))
        clips_from_s = time.monotonic()
        for _ in sandbox.read_clips(io.BytesIO(one.data), SAMPLING):
            result.num_clips += 1
        result.ending = "clips" if result.num_clips else "escaped"
        result.detail = "" if result.num_clips else "neither a clip nor an error"
    except DecodeError as e:
        result.ending, result.detail = e.error_class, str(e)[:400]
    except Exception as e:  # noqa: BLE001  # what escapes is what this proof looks for
        result.ending, result.detail = "escaped", f"{type(e).__name__}: {e}"[:400]
    ended_s = time.monotonic()
    is_probed = clips_from_s > started_s
    result.probe_s = (clips_from_s if is_probed else ended_s) - started_s
    result.clips_s = ended_s - clips_from_s if is_probed else 0.0
    result.child_pid = sandbox.child_pid
    return result


def clips_digest(sandbox: Sandbox, source: Source) -> str:
    """Every bit of the clips of a whole video, as one hash; how it failed where it did."""
    digest = hashlib.sha256()
    try:
        for clip in sandbox.read_clips(io.BytesIO(source.data), SAMPLING):
            digest.update(f"{clip.clip_index} {clip.start_s} {clip.end_s} {clip.num_frames}".encode())
            digest.update(clip.pts_s.tobytes() + clip.frames.tobytes())
    except DecodeError as e:
        return f"{e.error_class}: {e}"
    return digest.hexdigest()


def play(corpus: Corpus, *, seed: int, indices: range, connection: Connection, no_count: str | None) -> None:
    """Examine a slice: send no_count to say that it begins, then the fields of one Result for each of its files."""
    with Sandbox(LIMITS) as fresh:
        expected = {source.name: clips_digest(fresh, source) for source in corpus.controls}
    connection.send(no_count)
    is_counted = no_count is None
    start_attempts = num_attempts() if is_counted else 0
    by_child: dict[int | None, int] = {}
    with Sandbox(LIMITS) as sandbox:
        for number, index in enumerate(indices, start=1):
            result = examine(sandbox, case(corpus, seed=seed, index=index))
            if is_counted:
                by_child[result.child_pid] = _attempts_of(result.child_pid)
                result.attempts = num_attempts() - start_attempts + sum(by_child.values())
            if number % CONTROL_EVERY == 0 or number == len(indices):
                control = corpus.controls[number // CONTROL_EVERY % len(corpus.controls)]
                result.num_controls = 1
                if clips_digest(sandbox, control) != expected[control.name]:
                    result.lost_controls.append(control.name)
            result.rss_bytes, result.descriptors = _rss_bytes(), len(os.listdir("/proc/self/fd"))
            connection.send(asdict(result))


def _attempts_of(pid: int | None) -> int:
    """Attempts in the decoder's own network; those of one that died went with it."""
    if pid is None:
        return 0
    try:
        return num_attempts(pid)
    except OSError:  # it died between two videos
        return 0


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Start from the single argument that `proof.py` passes: JSON with the descriptor, the seed and the slice."""
    arguments = json.loads(sys.argv[1])
    connection = Connection(arguments["fd"])
    no_count = None
    try:
        enter_own_network()
    except NoOwnNetworkError as e:
        no_count = str(e)
    indices = range(*arguments["indices"])
    play(load_corpus(), seed=arguments["seed"], indices=indices, connection=connection, no_count=no_count)


if __name__ == "__main__":
    main()
