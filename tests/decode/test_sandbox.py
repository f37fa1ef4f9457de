"""A segfault, hang or bomb costs one child and gives one error; the next video decodes."""

import csv
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode.limits import DecodeLimits
from pipeline.decode.probe import probe
from pipeline.decode.reader import read_clips
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError, SoraError
from tests.support.shared import PROJECT_ROOT, shared_videos
from tests.support.videos import encode_video, read_number

CONFIG = SamplingConfig()
LONG = encode_video(16 * 60)  # sixty clips: the child cannot be far ahead of the caller
SHORT = encode_video(32)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def assert_works(sandbox: Sandbox) -> None:
    first, second = sandbox.read_clips(io.BytesIO(SHORT), CONFIG)
    assert [read_number(frame) for frame in [*first.frames, *second.frames]] == list(range(32))


def outcome(clips: Iterator[object]) -> tuple[list[tuple[object, ...]], tuple[str, str] | None]:
    seen: list[tuple[object, ...]] = []
    try:
        for clip in clips:
            fields = dict(vars(clip))
            seen.append(tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in fields.values()))
    except DecodeError as e:
        return seen, (e.error_class, str(e))
    return seen, None


def fault(sandbox: Sandbox, data: bytes = LONG, hit: signal.Signals | None = None) -> DecodeError:
    clips = sandbox.read_clips(io.BytesIO(data), CONFIG)
    if hit:
        next(clips)
        os.kill(sandbox.child_pid, hit)
    with pytest.raises(DecodeError) as caught:
        list(clips)
    return caught.value


@pytest.mark.shared_videos
@pytest.mark.parametrize("folder", ["codecs", "broken"])
def test_the_sandbox_gives_what_in_process_decoding_gives_bit_for_bit(sandbox: Sandbox, folder: str) -> None:
    assert_works(sandbox)
    pid = sandbox.child_pid
    with (shared_videos() / folder / "index.csv").open() as rows:
        files = [shared_videos() / folder / row["file"] for row in csv.DictReader(rows)]
    for file in files:
        with file.open("rb") as source, file.open("rb") as same:
            inside = outcome(sandbox.read_clips(source, CONFIG))
            assert inside == outcome(read_clips(same, CONFIG, DecodeLimits())), file.name
        assert inside[0] or inside[1], file.name
        assert inside[0] or folder == "broken", file.name
        assert sandbox.child_pid == pid, file.name  # no file of these brings the child down


@pytest.mark.shared_videos
def test_probing_in_the_sandbox_says_what_in_process_probing_says(sandbox: Sandbox) -> None:
    def facts(find: object, file: Path) -> object:
        try:
            return find(file.open("rb"))
        except DecodeError as e:
            return e.error_class, str(e)

    for folder in ("codecs", "broken"):
        for file in sorted((shared_videos() / folder).iterdir()):
            assert facts(sandbox.probe, file) == facts(lambda s: probe(s, DecodeLimits()), file), file.name


@pytest.mark.parametrize(
    ("hit", "error_class"),
    [
        (signal.SIGSEGV, "crashed"),
        (signal.SIGABRT, "crashed"),
        (signal.SIGTERM, "crashed"),
        (signal.SIGKILL, "out_of_memory"),  # what the kernel sends when memory runs out
        (signal.SIGXCPU, "timeout"),
    ],
)
def test_a_dead_child_is_one_error_and_the_next_video_decodes(
    sandbox: Sandbox, hit: signal.Signals, error_class: str
) -> None:
    assert fault(sandbox, hit=hit).error_class == error_class
    assert sandbox.child_pid is None
    assert_works(sandbox)


def test_a_child_that_dies_between_two_videos_costs_none(sandbox: Sandbox) -> None:
    assert_works(sandbox)
    os.kill(sandbox.child_pid, signal.SIGKILL)
    time.sleep(0.1)
    assert_works(sandbox)


def test_a_child_that_is_killed_while_it_starts_is_started_again() -> None:
    with Sandbox() as sandbox:
        killed = threading.Thread(target=_kill_first_child)
        killed.start()
        assert_works(sandbox)
        killed.join()


def test_a_machine_where_no_child_starts_is_not_a_video_s_fault() -> None:
    with Sandbox(DecodeLimits(start_s=1e-3)) as sandbox, pytest.raises(SoraError, match="does not start") as caught:
        list(sandbox.read_clips(io.BytesIO(SHORT), CONFIG))
    assert not isinstance(caught.value, DecodeError)


def _kill_first_child() -> None:
    """SIGKILL to the first decoder this process starts, before it can say that it is ready."""
    while True:
        for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            if b"pipeline.decode.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
                return
        time.sleep(1e-3)


def test_a_hanging_child_is_killed_when_it_stalls() -> None:
    with Sandbox(DecodeLimits(stall_s=0.5)) as sandbox:
        started_s = time.monotonic()
        assert fault(sandbox, hit=signal.SIGSTOP).error_class == "timeout"
        assert time.monotonic() - started_s < 5
        assert_works(sandbox)


def test_used_up_cpu_time_is_a_timeout() -> None:
    slow = 600 * encode_video(50, container="h264", fps=25, width=640, height=480)  # would decode for ten seconds
    with Sandbox(DecodeLimits(cpu_s=0.1)) as sandbox:
        assert fault(sandbox, slow).error_class == "timeout"
        assert_works(sandbox)


def test_used_up_wall_time_is_a_timeout_but_a_slow_caller_is_not() -> None:
    with Sandbox(DecodeLimits(wall_s=1.0)) as sandbox:
        for number, _ in enumerate(sandbox.read_clips(io.BytesIO(LONG), CONFIG)):
            time.sleep(1.5 if number == 1 else 0)
    with Sandbox(DecodeLimits(wall_s=0.01)) as sandbox:
        assert fault(sandbox, encode_video(500, width=640, height=480, codec="mpeg4")).error_class == "timeout"


def test_too_little_memory_is_one_error_and_the_next_video_decodes() -> None:
    big = encode_video(4, width=2048, height=2048, codec="mpeg4")
    with Sandbox(DecodeLimits(memory_bytes=16 << 20)) as sandbox:
        assert fault(sandbox, big).error_class == "out_of_memory"
        assert_works(sandbox)


def test_a_picture_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = encode_video(1, width=8000, height=8000, codec="mpeg4")
    with Sandbox() as sandbox:
        assert fault(sandbox, bomb).error_class == "too_large"
        assert_works(sandbox)


def test_a_failing_source_is_an_io_error(sandbox: Sandbox) -> None:
    class Unplugged(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("the store went away")

    with pytest.raises(DecodeError, match="the store went away") as caught:
        sandbox.probe(Unplugged(SHORT))
    assert caught.value.error_class == "io_error"
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert_works(sandbox)


def test_a_source_may_give_its_bytes_in_pieces(sandbox: Sandbox) -> None:
    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 1000))

    assert len(list(sandbox.read_clips(Dripping(SHORT), CONFIG))) == 2


def test_leaving_early_leaves_a_working_sandbox(sandbox: Sandbox) -> None:
    for _ in range(3):
        next(sandbox.read_clips(io.BytesIO(LONG), CONFIG))
        assert_works(sandbox)
    unfinished = sandbox.read_clips(io.BytesIO(LONG), CONFIG)
    next(unfinished)
    assert_works(sandbox)
    with pytest.raises(DecodeError, match="closed"):
        list(unfinished)
    assert_works(sandbox)


def test_yielded_frames_belong_to_the_caller(sandbox: Sandbox) -> None:
    clips = list(sandbox.read_clips(io.BytesIO(LONG), CONFIG))
    assert [read_number(frame) for clip in clips for frame in clip.frames] == list(range(960))
    assert all(clip.frames.flags.owndata or clip.frames.base.flags.owndata for clip in clips)
    assert all(clip.frames.flags.writeable for clip in clips)


def test_the_largest_clip_fits(sandbox: Sandbox) -> None:
    config = SamplingConfig(frames_per_clip=64, sample_fps=32.0, stride_s=2.0, size_px=512)
    (clip,) = sandbox.read_clips(io.BytesIO(SHORT), config)
    assert [read_number(frame) for frame in clip.frames] == [i // 2 for i in range(64)]


def test_the_child_has_no_secrets_no_root_and_no_way_to_open_anything(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("LD_PRELOAD", "")
    sandbox.close()
    assert_works(sandbox)
    proc = Path(f"/proc/{sandbox.child_pid}")
    names = {entry.split(b"=")[0] for entry in (proc / "environ").read_bytes().split(b"\0") if entry}
    tuning = {name for name in names if name.endswith(b"_NUM_THREADS") or name.startswith(b"MALLOC_")}
    assert names - tuning <= {b"PATH", b"LANG", b"PYTHONPATH"}
    limits = {line[:26].strip(): line[26:].split()[0] for line in (proc / "limits").read_text().splitlines()[1:]}
    assert limits["Max core file size"] == "0"
    assert limits["Max processes"] == "0"
    assert int(limits["Max address space"]) < 4 << 30
    descriptors = [int(fd.name) for fd in (proc / "fd").iterdir()]
    assert max(descriptors) < int(limits["Max open files"]) == len(descriptors)
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert status["CapEff"].strip("\t0") == ""
    assert status["Threads"].strip() == "1"


PARENT = """
import io, os, sys
from pipeline.decode.sandbox import Sandbox
sandbox = Sandbox()
sandbox.probe(io.BytesIO(sys.stdin.buffer.read()))
print(sandbox.child_pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_child_dies_with_its_parent() -> None:
    parent = subprocess.run([sys.executable, "-c", PARENT], input=SHORT, stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    child = Path(f"/proc/{int(parent.stdout)}")
    deadline_s = time.monotonic() + 5
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline_s, "the decoder outlived its parent"
        time.sleep(0.05)


def test_fifty_videos_with_faults_leak_no_process_and_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    pids = set()
    with Sandbox(recycle_after=10) as sandbox:
        for number in range(50):
            if number % 17 == 5:
                fault(sandbox, hit=signal.SIGSEGV)
            else:
                sandbox.probe(io.BytesIO(SHORT))
                pids.add(sandbox.child_pid)
            assert len(os.listdir("/proc/self/fd")) <= before + 3
    assert len(os.listdir("/proc/self/fd")) == before
    assert 5 <= len(pids - {None}) <= 9
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids - {None})


def test_a_child_outlives_the_thread_that_started_it_or_is_replaced() -> None:
    with Sandbox() as sandbox:
        starter = threading.Thread(target=assert_works, args=(sandbox,))
        starter.start()
        starter.join()
        time.sleep(0.1)
        assert_works(sandbox)
