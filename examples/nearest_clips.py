"""The clips most like a given one, with NumPy and Polars: python examples/nearest_clips.py ROOT [CLIP_ID]."""

import sys

import numpy as np
import polars as pl

import pipeline


def main(root_uri: str, clip_id: str | None = None) -> None:
    """Print the five nearest clips of other videos, by the cosine of their vectors."""
    root = pipeline.open_root(root_uri)
    clips = root.features.polars().select("clip_id", "video_id", "uri", "start_s", "embedding", "model_version")
    newest = pl.col("model_version").cast(pl.Int64, strict=False)  # vectors of different models are never compared
    clips = clips.filter(newest == newest.max()).sort("uri", "start_s").collect()

    vectors = np.stack(clips["embedding"].to_numpy())  # (N, D)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = 0 if clip_id is None else clips["clip_id"].to_list().index(clip_id)
    nearest = (
        clips.with_columns(similarity=pl.Series(vectors @ vectors[asked]))
        .filter(pl.col("video_id") != clips["video_id"][asked])
        .sort("similarity", descending=True)
        .head(5)
    )
    print(f"most like {clips['uri'][asked]} at {clips['start_s'][asked]:.1f} s")
    for uri, start_s, similarity in nearest.select("uri", "start_s", "similarity").iter_rows():
        print(f"{similarity:7.3f}  {uri} at {start_s:.1f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
