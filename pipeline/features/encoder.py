"""One task of an extraction: videos in, one Parquet file of their vectors out. Runs inside a Ray actor."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import torch

from pipeline import datafiles, registry, schema, storage
from pipeline.datafiles import DataFile
from pipeline.decode.clips import DECODER_VERSION
from pipeline.decode.records import Clip
from pipeline.decode.sampling import SamplingConfig
from pipeline.decode.sandbox import Sandbox
from pipeline.decode.transform import to_model_input
from pipeline.errors import DecodeError
from pipeline.model.checkpoint import load_checkpoint

_CLIPS_A_BATCH = 16
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
    decode_s: float = 0.0
    encode_s: float = 0.0


class Encoder:
    """A model and a sandbox, both loaded once.

    Args:
        lineage: Root, model, run and date.
        device: Torch device of the model.
    """

    def __init__(self, lineage: Lineage, *, device: str = "cpu"):
        self._lineage = lineage
        self._loaded = load_checkpoint(registry.fetch(lineage.model))
        self._device = torch.device(device)
        self._model = self._loaded.model.to(self._device).eval()
        self._sampling = SamplingConfig(**self._loaded.sampling)
        self._sandbox = Sandbox()

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
                    if len(waiting) == _CLIPS_A_BATCH:
                        self._encode(waiting, rows, result)
            except DecodeError as e:
                result.failures.append(failure_row(video, e, self._lineage.run_key))
                if e.error_class != _KEEPS_SLICES:
                    waiting = [(other, clip) for other, clip in waiting if other is not video]
                    rows.pop(video["video_id"], None)
        self._encode(waiting, rows, result)
        self._write([row for of_video in rows.values() for row in of_video], result)
        return result

    def _clips(self, video: Mapping[str, Any], result: TaskResult) -> Iterator[Clip]:
        """Clips of one video; every way it can go wrong comes out as DecodeError."""
        uri = str(video["uri"])
        started_s = time.perf_counter()
        try:
            found = storage.info(uri)
            if found.version != video["version"]:
                raise _changed(uri, found.version, str(video["version"]))
            result.bytes_read += found.size_bytes
            with storage.open_object(uri) as source:
                for clip in self._sandbox.read_clips(source, self._sampling):
                    result.decode_s += time.perf_counter() - started_s
                    yield clip
                    started_s = time.perf_counter()
        except FileNotFoundError as e:
            raise _changed(uri, "no object", str(video["version"])) from e
        except OSError as e:
            raise DecodeError("The object cannot be read.", error_class="io_error", where=uri, got=e) from e
        result.decode_s += time.perf_counter() - started_s

    @torch.inference_mode()
    def _encode(
        self, waiting: list[tuple[Mapping[str, Any], Clip]], rows: dict[str, list[dict[str, Any]]], result: TaskResult
    ) -> None:
        """Encode the waiting clips and empty the list."""
        if not waiting:
            return
        started_s = time.perf_counter()
        frames = torch.stack([torch.from_numpy(clip.frames) for _, clip in waiting])
        x = to_model_input(frames.to(self._device))  # (B, C, T, H, W)
        output = self._model(x)
        recon_error = (output.reconstruction - x).abs().mean(dim=(1, 2, 3, 4))
        motion = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4)) if x.shape[2] > 1 else 0 * recon_error
        vectors = output.embedding.float().cpu().numpy()
        measures = zip(recon_error.tolist(), motion.tolist(), strict=True)
        for (video, clip), vector, (error, moved) in zip(waiting, vectors, measures, strict=True):
            rows[video["video_id"]].append(self._row(video, clip, vector, error, moved))
        result.num_clips += len(waiting)
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
