"""All decoded clips of a run, read where Ray keeps them: one copy a machine, however many workers index it."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.decode.sampling import SamplingConfig
from pipeline.train.batch import Batch, clip_id_number
from pipeline.train.order import Indices


class ClipTable:
    """Clips in the order of their ids, whatever the order in which they were decoded.

    Args:
        blocks: Rows of `decode.clips.clip_dataset`; their buffers are kept, not copied.
        sampling: How the clips were cut.
    Attributes:
        video_ids: The video of each clip.
    """

    def __init__(self, blocks: Iterable[pa.Table], sampling: SamplingConfig):
        self._shape = (sampling.frames_per_clip, sampling.size_px, sampling.size_px, 3)
        self._chunks: list[NDArray[np.uint8]] = []
        rows: list[tuple[str, int, int, int, int]] = []
        for block in blocks:
            for batch in block.to_batches():
                names = zip(batch["video_id"].to_pylist(), batch["clip_index"].to_pylist(), strict=True)
                labels = batch["label_index"].to_pylist()
                rows += [(*name, len(self._chunks), row, labels[row]) for row, name in enumerate(names)]
                self._chunks.append(_frames(batch["frames"], self._shape))
        rows.sort()
        self._places = [(chunk, row) for _, _, chunk, row, _ in rows]
        self._labels = np.array([row[-1] for row in rows], np.int64)
        self.video_ids = [row[0] for row in rows]
        self._ids = np.array([clip_id_number(video_id, index) for video_id, index, *_ in rows], np.uint64)

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, indices: Indices) -> Batch:
        """The clips at these places, copied."""
        frames = np.empty((len(indices), *self._shape), np.uint8)
        for place, index in enumerate(indices):
            chunk, row = self._places[index]
            frames[place] = self._chunks[chunk][row]
        labels = torch.from_numpy(self._labels[indices])
        return Batch(torch.from_numpy(frames), labels, self._ids[indices], indices)


def tensors_of(rows: pa.Table, sampling: SamplingConfig) -> tuple[Tensor, Tensor]:
    """Rows of `decode.clips.clip_dataset` as copies: frames uint8 (B, T, H, W, C) RGB and labels int64 (B,)."""
    T, S = sampling.frames_per_clip, sampling.size_px
    flat = np.frombuffer(bytearray().join(value.as_buffer() for value in rows["frames"]), np.uint8)  # writable
    frames = torch.from_numpy(flat.reshape(rows.num_rows, T, S, S, 3))
    return frames, torch.from_numpy(rows["label_index"].to_numpy().astype(np.int64))


def _frames(values: pa.FixedSizeBinaryArray, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 (N, T, H, W, C): a read-only view of the array's own buffer."""
    size = int(np.prod(shape))
    flat = np.frombuffer(values.buffers()[1], np.uint8) if len(values) else np.empty(0, np.uint8)
    return flat[values.offset * size : (values.offset + len(values)) * size].reshape(len(values), *shape)
