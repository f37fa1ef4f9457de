"""One run of the same work with another way of writing, as a process of its own.

list of videos (Parquet) --read_parquet--> Ray Data map: the extraction's own decoder and model --> the peer's writer
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from jobs import shell
from jobs.ray_session import ray_session

VIDEOS = "videos.parquet"
TABLE = "sora.features"
_KEY = ["video_id", "version", "clip_index"]
_SPLIT_BLOCK_BYTES = 4096  # about five rows: stands for Ray's 128 MiB as some clips stand for a corpus
_VIDEOS_A_BLOCK = 4
_NUM_ACTORS, _CPUS_AN_ACTOR = 2, 0.5  # what reads, filters and writes beside them needs CPUs of its own
_NUM_CPUS = 4  # as Ray is told, on any machine


@dataclass(frozen=True)
class Peer:
    """A way of writing rows from Ray Data.

    words: What the table calls it.
    sink: The writer.
    mode: Ray Data's SaveMode.
    has_checkpoints: Whether Ray Data's own checkpointing is on, by video_id.
    keeps_checkpoints: Whether they outlive a run that ends well, so that the next night can use them.
    is_split: Whether blocks are so small that a video's rows lie in several of them.
    reads_file: Whether the videos come from a Parquet file, which checkpointing can filter, or from memory.
    """

    words: str
    sink: Literal["parquet", "iceberg"]
    mode: Literal["APPEND", "OVERWRITE", "UPSERT"] = "APPEND"
    has_checkpoints: bool = False
    keeps_checkpoints: bool = True
    is_split: bool = True
    reads_file: bool = True


PEERS = {
    "parquet": Peer("`write_parquet`", "parquet"),
    "parquet_overwrite": Peer("`write_parquet`, OVERWRITE", "parquet", "OVERWRITE"),
    "checkpoint": Peer("`write_parquet` + checkpoints", "parquet", has_checkpoints=True),
    "checkpoint_whole": Peer(
        "`write_parquet` + checkpoints, no video in two blocks", "parquet", has_checkpoints=True, is_split=False
    ),
    "iceberg": Peer("`write_iceberg`", "iceberg"),
    "iceberg_upsert": Peer("`write_iceberg`, UPSERT", "iceberg", "UPSERT"),
    "checkpoint_deleted": Peer(
        "+ checkpoints deleted at the end (default), no video in two blocks",
        "parquet",
        has_checkpoints=True,
        keeps_checkpoints=False,
        is_split=False,
    ),
    "checkpoint_memory": Peer(
        "+ checkpoints, videos from `from_arrow`", "parquet", has_checkpoints=True, is_split=False, reads_file=False
    ),
    "checkpoint_overwrite": Peer(
        "OVERWRITE + checkpoints, no video in two blocks", "parquet", "OVERWRITE", has_checkpoints=True, is_split=False
    ),
    "checkpoint_iceberg": Peer(
        "`write_iceberg` + checkpoints, no video in two blocks", "iceberg", has_checkpoints=True, is_split=False
    ),
}


def catalog_options(work: Path) -> dict[str, str]:
    """An Iceberg catalog in SQLite and its warehouse, both below the work folder."""
    return {"name": "peer", "type": "sql", "uri": f"sqlite:///{work}/catalog.db", "warehouse": f"file://{work}/tables"}


class Rows:
    """The Ray actor: a video in, its rows of `features` out, by the extraction's own encoder.

    Args:
        work: The peer's folder.
        model: The checkpoint's folder.
        poison: File name of the video that aborts this process, as a decoder's bug would; each time is noted.
    """

    def __init__(self, work: str, model: str, poison: str):
        import torch

        from pipeline import registry
        from pipeline.features.encoder import Encoder, Lineage

        torch.set_num_threads(1)
        self._root, self._work, self._poison = f"file://{work}/scratch", Path(work), poison
        now = datetime.now(UTC)
        self._encoder = Encoder(Lineage(self._root, registry.resolve(self._root, model), now.isoformat(), now.date()))

    def __call__(self, videos: pa.Table) -> Iterator[pa.Table]:
        from pipeline import datafiles, schema

        yield schema.FEATURES.empty_table()  # of a block of broken videos only
        for video in videos.to_pylist():
            if self._poison and video["uri"].endswith(self._poison):
                with (self._work / "aborts").open("a") as file:
                    file.write("1\n")
                os.abort()
            for written in self._encoder.extract([video]).files:
                yield datafiles.read(self._root, "features", written)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the map once and write its rows the peer's way."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers.job", description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--work", type=Path, required=True, help=f"holds {VIDEOS}; the output goes below it")
    parser.add_argument("--model", required=True, help="the checkpoint's folder")
    parser.add_argument("--poison", default="", help="file name of the video that aborts the process that takes it")
    arguments = parser.parse_args(argv)
    shell.prepare()
    with ray_session():
        import ray

        ray.init(address="local", num_cpus=_NUM_CPUS, include_dashboard=False, log_to_driver=False)
        run(PEERS[arguments.peer], arguments.work, arguments.model, arguments.poison)
    return 0


def run(peer: Peer, work: Path, model: str, poison: str = "") -> None:
    """The videos of the work folder through the map, in the Ray that is there, and written; raises what Ray raises."""
    import ray

    _configure(peer, work)
    rows = _videos(peer, work).map_batches(
        Rows,
        fn_constructor_args=[str(work), model, poison],
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=_NUM_ACTORS),
        num_cpus=_CPUS_AN_ACTOR,
    )
    _write(rows, peer, work)


def _configure(peer: Peer, work: Path) -> None:
    import ray
    from ray.data.checkpoint import CheckpointConfig

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    if peer.is_split:
        context.target_max_block_size = _SPLIT_BLOCK_BYTES
    if peer.has_checkpoints:
        context.checkpoint_config = CheckpointConfig(
            id_column="video_id",
            checkpoint_path=str(work / "checkpoint"),
            delete_checkpoint_on_success=not peer.keeps_checkpoints,
        )


def _videos(peer: Peer, work: Path) -> Any:
    import pyarrow.parquet as pq
    import ray

    path = str(work / VIDEOS)
    videos = ray.data.read_parquet(path) if peer.reads_file else ray.data.from_arrow(pq.read_table(path))
    return videos.repartition(target_num_rows_per_block=_VIDEOS_A_BLOCK)  # else a small file is one block, one task


def _write(rows: Any, peer: Peer, work: Path) -> None:
    from ray.data import SaveMode

    mode = SaveMode[peer.mode]
    if peer.sink == "parquet":
        rows.write_parquet(str(work / "out"), mode=mode)
        return
    options = catalog_options(work)
    _create_table(options)
    keys = {"upsert_kwargs": {"join_cols": _KEY}} if peer.mode == "UPSERT" else {}
    rows.write_iceberg(TABLE, catalog_kwargs=options, mode=mode, **keys)


def _create_table(options: dict[str, str]) -> None:
    from pyiceberg.catalog import load_catalog  # type: ignore[import-not-found]  # see peers/proof.py

    from pipeline import schema

    catalog = load_catalog(**options)
    catalog.create_namespace_if_not_exists(TABLE.partition(".")[0])
    table = catalog.create_table_if_not_exists(TABLE, schema=schema.FEATURES)
    if table.current_snapshot() is None:  # UPSERT into a table that was never written raises `Cannot scan unknown ref`
        table.append(schema.FEATURES.empty_table())


if __name__ == "__main__":
    sys.exit(main())
