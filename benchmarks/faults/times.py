"""What a killed driver costs again, and what a faulty S3 costs in time."""

import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from benchmarks.faults.driver import Driver
from benchmarks.faults.proxy import FaultProxy
from benchmarks.faults.schedule import FaultRates
from benchmarks.faults.snapshot import difference, snapshot
from benchmarks.faults.workload import Workload, run_to_end, s3_workload, write_model
from pipeline import tables
from pipeline.errors import SoraError
from tests.support.shared import shared_videos

PAIR_RATES = FaultRates(slow_down=0.05, reset=0.01, lost=0.001)
_LONG_AGO_S = 1_000_000_000  # relatime moves an access time forward once, at the first read after this
_PLAIN_SAMPLING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 0.5, "size_px": 32}
_REDONE_LIMIT_S = 600.0


def redone_share(folder: Path, *, num_videos: int) -> float:
    """Kill the driver when half of a corpus was read; the share of all videos that was read and not committed.

    Exactly these are decoded a second time: the resumed run takes what is not committed, and nothing else. Whether a
    video was read shows in its access time, so the file system must keep one (relatime does, noatime does not).
    """
    corpus = _copies(folder / "corpus-redone", num_videos=num_videos)
    root = f"file://{folder}/redone"
    run_to_end(["catalog", str(corpus), "--root", root], {})
    forget_reads(corpus)
    model = write_model(folder / "model-redone", _PLAIN_SAMPLING)
    driver = Driver(["extract", "--root", root, "--model", str(model)])
    try:
        _wait_until_read(corpus, driver, num_videos // 2)
        driver.kill()
    finally:
        driver.clear()
    read = read_videos(corpus)
    committed = {Path(uri).name for uri in tables.read(root, "features", ["uri"])["uri"].to_pylist()}
    assert committed <= read, "a committed video was never read: this file system keeps no access times"
    return len(read - committed) / num_videos


def s3_fault_ratio(folder: Path, *, num_clips: int, num_pairs: int) -> float:
    """Wall time of an extraction through a proxy with faults, divided by the same through one without: the median.

    Each run is compared with the reference; the order of the two changes from pair to pair.
    """
    ratios = []
    with s3_workload(folder, num_clips=num_clips) as workload:
        for pair in range(num_pairs):
            order = [PAIR_RATES, FaultRates()] if pair % 2 else [FaultRates(), PAIR_RATES]
            seconds = {rates: _through_proxy_s(workload, rates, pair) for rates in order}
            ratios.append(seconds[PAIR_RATES] / seconds[FaultRates()])
    return statistics.median(ratios)


def _through_proxy_s(workload: Workload, rates: FaultRates, seed: int) -> float:
    assert workload.server is not None, "needs the S3 workload"
    with FaultProxy(workload.server.endpoint_url, rates, seed=seed) as proxy:
        env = {**workload.env, "AWS_ENDPOINT_URL": proxy.url}
        root = workload.new_root()
        wall_s = run_to_end(workload.command(root), env).wall_s
        found = difference(workload.reference, snapshot(root))
        if not found.is_exact:
            raise SoraError("A run through the proxy is not exact.", where=root, got=found)
        print(f"  pair {seed}: {wall_s:.1f} s, requests {dict(proxy.counts)}", file=sys.stderr, flush=True)
        return wall_s


def _copies(folder: Path, *, num_videos: int) -> Path:
    clips = sorted((shared_videos() / "jhmdb").glob("*/*.mp4"))
    folder.mkdir(parents=True)
    for index in range(num_videos):
        shutil.copyfile(clips[index % len(clips)], folder / f"{index:05d}.mp4")
    return folder


def forget_reads(corpus: Path) -> None:
    """Set the access times of all files back, so that the next read shows."""
    for path in corpus.iterdir():
        os.utime(path, ns=(_LONG_AGO_S * 10**9, path.stat().st_mtime_ns))


def read_videos(corpus: Path) -> set[str]:
    """Names of the files that were read since `forget_reads`."""
    return {entry.name for entry in os.scandir(corpus) if entry.stat().st_atime > _LONG_AGO_S}


def _wait_until_read(corpus: Path, driver: Driver, num_videos: int) -> None:
    deadline_s = time.monotonic() + _REDONE_LIMIT_S
    while len(read_videos(corpus)) < num_videos:
        if driver.poll() is not None or time.monotonic() > deadline_s:
            raise SoraError("The run ended before half of its videos were read.", got=driver.words[-1000:])
        time.sleep(0.1)
