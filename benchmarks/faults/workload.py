"""The work that the faults interrupt: real clips, some of them broken, an untrained model, a catalog made once.

prepare:  clips + model --> catalog --> base root --> one extraction without faults --> the reference
schedule: copy of the base root --> extractions under faults --> compared with the reference
"""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.driver import Driver
from benchmarks.faults.snapshot import Snapshot, snapshot
from pipeline import storage
from pipeline.errors import ConfigError, SoraError
from pipeline.model.autoencoder import build_model
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import sora_xs
from tests.support.s3_server import S3Server
from tests.support.shared import shared_videos

# Files whose headers name no duration are a task each: spread among the clips they make many tasks of a small corpus.
BROKEN = (
    "0-timescale.mp4",
    "243d9798466d64aba0acaa41f980bea6.gif",
    "523528-1.gif",
    "5f09a896c191db3fa7ea6bdd5ebe9485.gif",
    "801366.gif",
    "Error_I_P.264",
    "FM1_FT_E.264",
    "FM2_SVA_B.264",
    "accurate_cluster_duration.webm",
    "foreman_qcif.h264",
    "no_timescale.mp4",
    "set_pixelwidth_pixelheight.webm",
)
# Slices that overlap this much make a second of video cost a second of work: there is time to interrupt it.
OVERLAPPING = {"frames_per_clip": 8, "sample_fps": 8.0, "stride_s": 0.1, "size_px": 64}
_RUN_LIMIT_S = 420.0
_BUCKET = "sora-faults"


@dataclass(frozen=True)
class Workload:
    """A cataloged root nobody has extracted yet, and what an extraction without faults makes of it.

    env: What leads the jobs to the store.
    server: The S3 server it lies on; None for the local disk.
    """

    base: str
    model: Path
    env: Mapping[str, str]
    server: S3Server | None
    reference: Snapshot
    wall_s: float

    def new_root(self) -> str:
        """A copy of the base root."""
        root = storage.join(self.base.rpartition("/")[0], f"root-{uuid.uuid4().hex[:8]}")
        copy_root(self.base, root)
        return root

    def command(self, root: str) -> list[str]:
        """`extract` on a root: 0 however many videos are bad, and no video given up because its decoder was killed."""
        forgiving = ["--warn-failed-share", "1", "--max-attempts", "100"]
        return ["extract", "--root", root, "--model", str(self.model), "--json", *forgiving]


@contextmanager
def local_workload(folder: Path, *, num_clips: int) -> Iterator[Workload]:
    """A workload on the local disk, below `folder`."""
    corpus = write_corpus(folder / "corpus", num_clips=num_clips)
    yield _prepared(folder, str(corpus), f"file://{folder}/base", {}, None)


@contextmanager
def s3_workload(folder: Path, *, num_clips: int) -> Iterator[Workload]:
    """A workload whose videos and tables lie on an S3 server of its own; this process becomes its client."""
    corpus = write_corpus(folder / "corpus-s3", num_clips=num_clips)
    with S3Server() as server:
        bucket = server.make_bucket(_BUCKET)
        before = {name: os.environ.get(name) for name in server.env}
        os.environ.update(server.env)
        try:
            for path in sorted(corpus.iterdir()):
                storage.put(f"{bucket}/corpus/{path.name}", path.read_bytes())
            yield _prepared(folder, f"{bucket}/corpus", f"{bucket}/base", server.env, server)
        finally:
            _restore(before)


def write_corpus(folder: Path, *, num_clips: int) -> Path:
    """Clips in a fixed order, a broken file after every few of them."""
    clips = sorted((shared_videos() / "jhmdb").glob("*/*.mp4"))[:: max(1, 928 // num_clips)][:num_clips]
    if not clips:
        cure = "set SORA_TEST_VIDEOS to the folder of the test videos"
        raise ConfigError("The test videos are not there.", where=shared_videos() / "jhmdb", cure=cure)
    folder.mkdir(parents=True)
    every = max(1, num_clips // len(BROKEN))
    for index, clip in enumerate(clips):
        shutil.copyfile(clip, folder / f"{index:04d}-clip.mp4")
        if index % every == 0 and index // every < len(BROKEN):
            name = BROKEN[index // every]
            shutil.copyfile(shared_videos() / "broken" / name, folder / f"{index:04d}-{name}")
    return folder


def write_model(folder: Path, sampling: Mapping[str, float] = OVERLAPPING) -> Path:
    """An untrained network: what its vectors mean does not matter here, only that they are the same."""
    if not (folder / "model.json").exists():
        save_checkpoint(folder, build_model(sora_xs(), num_classes=0), labels=[], sampling=dict(sampling), metrics={})
    return folder


def run_to_end(arguments: Sequence[str], env: Mapping[str, str]) -> Driver:
    """Run a command without faults; it must end well. Its processes are cleared away."""
    driver = Driver(list(arguments), env)
    try:
        code = driver.process.wait(timeout=_RUN_LIMIT_S)
        driver.poll()
        words = driver.words
        if code not in (0, 10):
            raise SoraError("A run without faults did not end well.", where=arguments, got=f"exit {code}: {words}")
        return driver
    finally:
        driver.clear()


def copy_root(source: str, target: str) -> None:
    """Copy every object below a root."""
    if storage.is_local(source):
        shutil.copytree(storage.local_path(source), storage.local_path(target))
        return
    fs, path = storage.filesystem(source)
    _, target_path = storage.filesystem(target)
    for found in fs.find(path):
        fs.pipe_file(f"{target_path}{found.removeprefix(path)}", fs.cat_file(found))


def _prepared(folder: Path, corpus: str, base: str, env: Mapping[str, str], server: S3Server | None) -> Workload:
    model = write_model(folder / "model")
    run_to_end(["catalog", corpus, "--root", base, "--warn-failed-share", "1"], env)
    reference_root = storage.join(base.rpartition("/")[0], "reference")
    copy_root(base, reference_root)
    empty = Snapshot({}, 0, frozenset(), 0, frozenset())
    workload = Workload(base, model, env, server, empty, 0.0)
    driver = run_to_end(workload.command(reference_root), env)
    return Workload(base, model, env, server, snapshot(reference_root), driver.wall_s)


def _restore(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
