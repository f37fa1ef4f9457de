"""The hostile files without the decoder process around them: do the whitelists alone keep FFmpeg from the network?

`python -m benchmarks.fuzz.openly`, started by `proof.py`. Each file is opened twice, in processes of their
own: as the decoder opens it, and carelessly, by a name and with all that FFmpeg offers. The careless way must leave
traces, or the other one's zero would prove nothing.
"""

import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

import av

from benchmarks.fuzz.corpus import load_corpus
from benchmarks.fuzz.mutations import Case, case
from benchmarks.fuzz.network import enter_own_network, num_attempts
from benchmarks.fuzz.worker import LIMITS, SAMPLING
from pipeline.decode.probe import probe
from pipeline.decode.reader import read_clips
from pipeline.errors import DecodeError

MAX_MEMORY_BYTES = 4 << 30
MAX_GUARDED_S, MAX_CARELESS_S = 20, 2  # wall time of one opening; some careless ones listen, and would never end
CARELESS = {
    "protocol_whitelist": "file,http,https,tcp,udp,rtp,rtmp,rtsp,ftp,tls,crypto,data,concat,async,cache,subfile,mmsh",
    "safe": "0",
    "enable_drefs": "1",
    "use_absolute_path": "1",
    "allowed_extensions": "ALL",
    "extension_picky": "0",
}


def guarded(one: Case) -> None:
    """As the decoder process does it, in this process."""
    try:
        probe(io.BytesIO(one.data), LIMITS)
        for _ in read_clips(io.BytesIO(one.data), SAMPLING, LIMITS):
            pass
    except DecodeError:
        pass


def careless(one: Case) -> None:
    """As one would who trusts the file and its name."""
    source = io.BytesIO(one.data)
    source.name = f"video.{one.suffix or 'mp4'}"  # PyAV hands it to FFmpeg
    try:
        with av.open(source, "r", options=CARELESS) as container:
            for _, _packet in zip(range(50), container.demux(), strict=False):
                pass
    except (av.error.FFmpegError, UnicodeDecodeError, ValueError, MemoryError):
        pass


def attempts_of(open_it: Callable[[Case], None], one: Case, *, max_s: int) -> tuple[int, int]:
    """Open a file in a process of its own; returns the attempts to reach an address, and how the process ended."""
    before = num_attempts()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
            signal.alarm(max_s)
            open_it(one)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return num_attempts() - before, os.waitstatus_to_exitcode(status)


def main() -> None:
    """Start from the single argument that `proof.py` passes: JSON with descriptor, seed and indices."""
    arguments = json.loads(sys.argv[1])
    connection = Connection(arguments["fd"])
    enter_own_network()
    corpus = load_corpus()
    for index in arguments["indices"]:
        one = case(corpus, seed=arguments["seed"], index=index)
        tried, code = attempts_of(guarded, one, max_s=MAX_GUARDED_S)
        tried_carelessly, _ = attempts_of(careless, one, max_s=MAX_CARELESS_S)
        connection.send({"index": index, "guarded": tried, "code": code, "careless": tried_carelessly})


if __name__ == "__main__":
    main()
