"""Arrow schemas of the tables: the only place a column is named or typed.

Every table is a Delta table under `<root>/tables/<name>`. Schemas only grow, by nullable columns.
"""

import hashlib

import pyarrow as pa

_TIMESTAMP = pa.timestamp("us", tz="UTC")

VIDEOS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),  # 32 hex of the uri: the same object keeps its id
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),  # etag, or size and mtime where the store has none
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_at", _TIMESTAMP),
        pa.field("container", pa.string()),
        pa.field("codec", pa.string()),
        pa.field("width", pa.int32()),  # as stored, before rotation
        pa.field("height", pa.int32()),
        pa.field("fps", pa.float64()),
        pa.field("duration_s", pa.float64()),  # as the header says; headers lie, `features` holds what decoded
        pa.field("num_frames", pa.int64()),
        pa.field("num_frames_source", pa.string()),  # container | estimated
        pa.field("rotation_deg", pa.int32()),
        pa.field("has_audio", pa.bool_()),
        pa.field("content_digest", pa.string()),  # 32 hex of the coded video; null: not previewed
        pa.field("status", pa.string(), nullable=False),  # ok | failed | superseded | vanished
        pa.field("cataloged_at", _TIMESTAMP),
        pa.field("motion_score", pa.float64()),  # key pictures' worth of change a second
        pa.field("cut_candidates_s", pa.list_(pa.field("element", pa.float64()))),
        pa.field("perceptual_digest", pa.string()),  # 16 hex; compare by the bits that differ
    ]
)

LABELS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),  # null: the whole video
        pa.field("end_s", pa.float64()),
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
        pa.field("source", pa.string(), nullable=False),  # the CSV's uri, or folders:<corpus>
        pa.field("labelled_at", _TIMESTAMP),
    ]
)

FEATURES = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("clip_index", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("num_frames", pa.int32(), nullable=False),  # distinct decoded frames in the slice
        pa.field("embedding", pa.list_(pa.field("element", pa.float32())), nullable=False),
        pa.field("recon_error", pa.float32()),  # mean |x - reconstruction|, x in [-1, 1]
        pa.field("motion", pa.float32()),  # mean |x_t+1 - x_t|, x in [-1, 1]
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model_digest", pa.string(), nullable=False),
        pa.field("sampling_digest", pa.string(), nullable=False),
        pa.field("run_key", pa.string(), nullable=False),
        pa.field("ds", pa.date32(), nullable=False),  # logical date of the run
        pa.field("produced_at", _TIMESTAMP),
    ]
)

FAILURES = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # probe | preview | decode
        pa.field("error_class", pa.string(), nullable=False),  # errors.ERROR_CLASSES
        pa.field("message", pa.string()),  # at most MAX_MESSAGE_BYTES
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("decoder_version", pa.string()),
        pa.field("run_key", pa.string(), nullable=False),
        pa.field("ds", pa.date32(), nullable=False),
        pa.field("failed_at", _TIMESTAMP),
    ]
)

RUNS = pa.schema(
    [
        pa.field("run_key", pa.string(), nullable=False),
        pa.field("job", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # succeeded | failed
        pa.field("config", pa.string()),  # JSON
        pa.field("git_sha", pa.string()),
        pa.field("counts", pa.map_(pa.string(), pa.int64())),
        pa.field("seconds_by_stage", pa.map_(pa.string(), pa.float64())),
        pa.field("clips_per_second", pa.float64()),
        pa.field("bytes_read", pa.int64()),
        pa.field("mlflow_run_id", pa.string()),
        pa.field("started_at", _TIMESTAMP),
        pa.field("ended_at", _TIMESTAMP),
    ]
)

PREDICTIONS = pa.schema(
    [
        pa.field("head", pa.string(), nullable=False),
        pa.field("head_version", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),  # clip | video
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("clip_id", pa.string()),  # null: the whole video
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),  # `unknown` where is_unknown
        pa.field("probability", pa.float32(), nullable=False),  # calibrated, of the likeliest class
        pa.field("top_labels", pa.list_(pa.field("element", pa.string())), nullable=False),  # likeliest first
        pa.field("top_probabilities", pa.list_(pa.field("element", pa.float32())), nullable=False),
        pa.field("is_unknown", pa.bool_(), nullable=False),
        pa.field("unknown_below", pa.float32(), nullable=False),
        pa.field("run_key", pa.string(), nullable=False),
        pa.field("ds", pa.date32(), nullable=False),
        pa.field("produced_at", _TIMESTAMP),
    ]
)

IGNORED = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("reason", pa.string()),  # what the content is instead of video
        pa.field("cataloged_at", _TIMESTAMP),
    ]
)

SEGMENTS = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("behaviour", pa.string(), nullable=False),  # behaviour_00... or a label
        pa.field("confidence", pa.float32()),  # in [0, 1]
        pa.field("kind", pa.string(), nullable=False),  # supervised | unsupervised
        pa.field("segmentation", pa.string(), nullable=False),  # its name in the root
        pa.field("segmentation_digest", pa.string(), nullable=False),  # 16 hex of what was fitted
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("run_key", pa.string(), nullable=False),
        pa.field("ds", pa.date32(), nullable=False),
        pa.field("produced_at", _TIMESTAMP),
    ]
)

SEARCH_INDEX = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("cell", pa.int32(), nullable=False),  # the nearest centroid
        pa.field("code", pa.list_(pa.field("element", pa.int8())), nullable=False),  # the vector's direction
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("index_key", pa.string(), nullable=False),  # which centroids
        pa.field("shard", pa.int32(), nullable=False),  # a group of neighbouring cells: what is read at once
    ]
)

TABLES: dict[str, pa.Schema] = {
    "videos": VIDEOS,
    "labels": LABELS,
    "features": FEATURES,
    "failures": FAILURES,
    "runs": RUNS,
    "ignored": IGNORED,
    "search_index": SEARCH_INDEX,
    "predictions": PREDICTIONS,
    "segments": SEGMENTS,
}
# Roots of an earlier version lack these, and have no row of them, until a job that writes one makes it.
LATER = frozenset({"search_index", "predictions", "segments"})
PARTITIONS: dict[str, list[str]] = {
    "features": ["model_version", "ds"],
    "search_index": ["model_version", "index_key", "shard"],
    "predictions": ["head", "head_version"],
}
# What may stand in a table only once; a commit drops what another writer put there first.
# For features and predictions the unit is the video: all its rows are committed together or not at all.
KEYS: dict[str, tuple[str, ...]] = {
    "videos": ("video_id", "version"),
    "features": ("video_id", "version", "model_version", "sampling_digest"),
    # With the class: of two jobs at once one may lose its decoder and the other find the video cut short.
    "failures": ("video_id", "version", "stage", "attempts", "error_class"),
    "ignored": ("video_id", "version"),
    "search_index": ("video_id", "version", "model_version", "index_key"),
    "predictions": ("video_id", "version", "head", "head_version"),
    # As for features: all segments of a video under one segmentation, or none.
    "segments": ("video_id", "version", "segmentation_digest", "model_version"),
}
SORT_KEYS: dict[str, tuple[str, ...]] = {
    "features": ("video_id", "start_s"),
    "videos": ("video_id",),
    "predictions": ("video_id", "level", "start_s"),
    "segments": ("video_id", "start_s"),
    "search_index": ("cell", "clip_id"),
}
# Rows of a Parquet row group, where smaller ones than Arrow's million let readers skip most of a file.
ROW_GROUP_ROWS: dict[str, int] = {"search_index": 16_384}
MAX_MESSAGE_BYTES = 1024


def video_id(uri: str) -> str:
    """32 hex digits that name the object at `uri`, whatever its version."""
    return hashlib.blake2b(uri.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def clip_id(video_id: str, version: str, clip_index: int, sampling_digest: str, model_digest: str) -> str:
    """32 hex digits that name one vector: which bytes, which time slice, which model."""
    text = "\0".join([video_id, version, str(clip_index), sampling_digest, model_digest])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def run_key(*parts: object) -> str:
    """16 hex digits: the content hash of job, model, sampling, date and input selection."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def clipped_message(message: str) -> str:
    """The message cut to MAX_MESSAGE_BYTES of UTF-8, on a character's edge."""
    return message.encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore")
