"""One task of an extraction: videos in, one Parquet file of their vectors out. Runs inside a Ray actor."""

import threading
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import cycle, islice
from typing import Any

import pyarrow as pa
import torch

from pipeline import datafiles, registry, schema, storage
from pipeline.datafiles import DataFile
from pipeline.decode.clips import DECODER_VERSION
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError
from pipeline.features.config import EngineChoice
from pipeline.features.engine import BATCH_CLIPS
from pipeline.features.engine_choice import choose_engine
from pipeline.model.checkpoint import load_checkpoint

_KEEPS_SLICES = "partial"  # the one error after which the slices decoded so far are whole and stay


@dataclass(frozen=True)
class Lineage:
    """What every vector of a run says of its origin."""

    root: str
    model: registry.ModelReference
    run_key: str
    ds: date


@dataclass
class TaskResult:
    """What the driver must know of a finished task; small, and plain enough for JSON."""

    files: list[DataFile] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    num_videos: int = 0
    num_clips: int = 0
    bytes_read: int = 0
    bytes_stored: int = 0  # of the videos that were read, in full or in part
    decode_s: float = 0.0  # the reads included
    read_s: float = 0.0  # waiting for the store
    encode_s: float = 0.0
    clips_by_engine: dict[str, int] = field(default_factory=dict)


class Encoder:
    """A model, loaded once, and a sandbox for each thread that decodes; threads take turns at the model.

    Args:
        lineage: Root, model, run and date.
        device: Torch device of the model.
        engine: What runs the model.
    """

    def __init__(self, lineage: Lineage, *, device: str = "cpu", engine: EngineChoice = "auto"):
        self._lineage = lineage
        self._loaded = load_checkpoint(registry.fetch(lineage.model))
        place = torch.device(device)
        self._engine = choose_engine(self._loaded.model.to(place).eval(), device=place, wanted=engine)
        self._sampling = SamplingConfig(**self._loaded.sampling)
        self._of_thread = threading.local()
        self._one_at_a_time = threading.Lock()

    @property
    def _sandbox(self) -> Sandbox:
        """The calling thread's own."""
        if not hasattr(self._of_thread, "sandbox"):
            self._of_thread.sandbox = Sandbox()
        sandbox: Sandbox = self._of_thread.sandbox
        return sandbox

    def extract(self, videos: Sequence[Mapping[str, Any]]) -> TaskResult:
        """Decode and encode videos, and write the vectors of those that went well as one Parquet file.

        Args:
            videos: Rows with video_id, uri, version and attempts.
        Returns:
            The file, still invisible, and a row of `failures` for each video that went wrong.
        """
        result = TaskResult(num_videos=len(videos))
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        waiting: list[tuple[Mapping[str, Any], Clip]] = []
        for video in videos:
            try:
                for clip in self._clips(video, result):
                    waiting.append((video, clip))
                    if len(waiting) == BATCH_CLIPS:
                        self._encode(waiting, rows, result)
            except DecodeError as e:
                result.failures.append(failure_row(video, e, self._lineage.run_key))
                if e.error_class != _KEEPS_SLICES:
                    waiting = [(other, clip) for other, clip in waiting if other is not video]
                    rows.pop(video["video_id"], None)
        self._encode(waiting, rows, result)
        self._write([row for of_video in rows.values() for row in of_video], result)
        return result

    def measure(self, video: Mapping[str, Any], *, max_clips: int) -> TaskResult:
        """Decode and encode the first clips of a video as `extract` would, and keep nothing but the figures.

        Args:
            video: Row with uri, version, video_id and attempts.
            max_clips: Clips to take at most.
        Returns:
            Seconds, bytes and clips; a row of `failures` where the video is broken.
        """
        result = TaskResult(num_videos=1)
        self._sandbox.make_ready(self._sampling)  # a video of which only a part was read has cost the child
        try:
            with closing(self._clips(video, result)) as clips:
                while batch := [
                    (video, clip) for clip in islice(clips, min(BATCH_CLIPS, max_clips - result.num_clips))
                ]:
                    self._encode(batch, defaultdict(list), result)
        except DecodeError as e:
            result.failures.append(failure_row(video, e, self._lineage.run_key))
        return result

    def _measure_encoding(self, video: Mapping[str, Any], clips: Sequence[Clip], result: TaskResult) -> None:
        """Encode a full batch, as an extraction does with the clips of several short videos, and count our share."""
        full = TaskResult()
        self._encode([(video, clip) for clip in islice(cycle(clips), BATCH_CLIPS)], defaultdict(list), full)
        result.num_clips += len(clips)
        result.encode_s += full.encode_s * len(clips) / BATCH_CLIPS

    def _clips(self, video: Mapping[str, Any], result: TaskResult) -> Generator[Clip]:
        """Clips of one video; every way it can go wrong comes out as DecodeError."""
        uri = str(video["uri"])
        started_s = time.perf_counter()
        try:
            found = storage.info(uri)
            if found.version != video["version"]:
                raise _changed(uri, found.version, str(video["version"]))
            result.bytes_stored += found.size_bytes
            with storage.open_object(uri) as source:
                try:
                    for clip in self._sandbox.read_clips(source, self._sampling):
                        result.decode_s += time.perf_counter() - started_s
                        yield clip
                        started_s = time.perf_counter()
                finally:
                    fetched = storage.fetched_bytes(source)
                    result.bytes_read += self._sandbox.bytes_read if fetched is None else fetched
                    result.read_s += self._sandbox.read_s
        except FileNotFoundError as e:
            raise _changed(uri, "no object", str(video["version"])) from e
        except OSError as e:
            raise DecodeError("The object cannot be read.", error_class="io_error", where=uri, got=e) from e
        result.decode_s += time.perf_counter() - started_s

    def _encode(
        self, waiting: list[tuple[Mapping[str, Any], Clip]], rows: dict[str, list[dict[str, Any]]], result: TaskResult
    ) -> None:
        """Encode the waiting clips and empty the list."""
        if not waiting:
            return
        started_s = time.perf_counter()
        frames = torch.stack([torch.from_numpy(clip.frames) for _, clip in waiting])
        with self._one_at_a_time:
            engine = self._engine.name  # it may be another one after the batch
            encoded = self._engine.run(frames)
        measures = zip(encoded.recon_error.tolist(), encoded.motion.tolist(), strict=True)
        for (video, clip), vector, (error, moved) in zip(waiting, encoded.embedding.numpy(), measures, strict=True):
            rows[video["video_id"]].append(self._row(video, clip, vector, error, moved))
        result.num_clips += len(waiting)
        result.clips_by_engine[engine] = result.clips_by_engine.get(engine, 0) + len(waiting)
        result.encode_s += time.perf_counter() - started_s
        waiting.clear()

    def _row(self, video: Mapping[str, Any], clip: Clip, vector: Any, error: float, moved: float) -> dict[str, Any]:
        model, digest = self._lineage.model, self._sampling.digest()
        return {
            "clip_id": schema.clip_id(video["video_id"], video["version"], clip.clip_index, digest, model.digest),
            **{name: video[name] for name in ("video_id", "uri", "version")},
            **{name: getattr(clip, name) for name in ("clip_index", "start_s", "end_s", "num_frames")},
            "embedding": vector,
            "recon_error": error,
            "motion": moved,
            "model_name": self._loaded.config.name,
            "model_version": model.version,
            "model_digest": model.digest,
            "sampling_digest": digest,
            "run_key": self._lineage.run_key,
            "ds": self._lineage.ds,
            "produced_at": datetime.now(UTC),
        }

    def _write(self, rows: list[dict[str, Any]], result: TaskResult) -> None:
        if rows:
            table = pa.Table.from_pylist(rows, schema=schema.FEATURES)
            result.files = datafiles.write(self._lineage.root, "features", table)


def failure_row(video: Mapping[str, Any], error: DecodeError, run_key: str) -> dict[str, Any]:
    """A row of `failures` for one more attempt at a video, less what the driver stamps on it."""
    return {
        **{name: video[name] for name in ("video_id", "uri", "version")},
        "stage": "decode",
        "error_class": error.error_class,
        "message": schema.clipped_message(str(error)),
        "attempts": int(video["attempts"]) + 1,
        "decoder_version": DECODER_VERSION,
        "run_key": run_key,
    }


def _changed(uri: str, got: str, expected: str) -> DecodeError:
    return DecodeError(
        "The object changed after it was cataloged.",
        error_class="input_changed",
        where=uri,
        got=f"version {got}",
        expected=f"version {expected}",
        cure="run `sora catalog` again; the new version is extracted after it",
    )
