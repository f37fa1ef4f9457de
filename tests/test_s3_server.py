"""The S3 server of the tests keeps the promises of S3 that our code stands on, through every client that we use."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore.client
import botocore.config
import botocore.exceptions
import botocore.session
import pyarrow as pa
import pyarrow.fs
import pytest
import s3fs
from deltalake import DeltaTable, write_deltalake

from pipeline.errors import SoraError
from tests.support.s3_server import S3Server
from tests.support.swift import environment

MEBIBYTE = 2**20
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def own_server() -> Iterator[S3Server]:
    """A server that the test may kill."""
    with S3Server() as server:
        yield server


@pytest.fixture
def arrow(s3_server: S3Server) -> pyarrow.fs.S3FileSystem:
    """pyarrow's client of the same server."""
    return pyarrow.fs.S3FileSystem(
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        endpoint_override=s3_server.endpoint_url,
        region="us-east-1",
        allow_bucket_creation=True,
    )


def client(server: S3Server) -> botocore.client.BaseClient:
    """boto's own client, for what s3fs hides; it asks once and gives up."""
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize("num_bytes", [0, 1, 4 * MEBIBYTE, 12 * MEBIBYTE + 1], ids=lambda n: f"{n}_bytes")
def test_s3fs_reads_back_what_it_wrote_in_one_or_many_parts(s3_root: str, num_bytes: int) -> None:
    content = os.urandom(num_bytes)
    files = s3fs.S3FileSystem()
    with files.open(f"{s3_root}/object", "wb", block_size=5 * MEBIBYTE) as sink:
        sink.write(content)
    assert files.cat_file(f"{s3_root}/object") == content
    assert files.info(f"{s3_root}/object")["size"] == num_bytes


@pytest.mark.parametrize("num_bytes", [0, 1, 12 * MEBIBYTE + 1], ids=lambda n: f"{n}_bytes")
def test_pyarrow_reads_back_what_it_wrote_in_one_or_many_parts(
    s3_root: str, arrow: pyarrow.fs.S3FileSystem, num_bytes: int
) -> None:
    content, path = os.urandom(num_bytes), f"{s3_root}/object".removeprefix("s3://")
    with arrow.open_output_stream(path) as sink:
        sink.write(content)
    assert arrow.open_input_file(path).read() == content
    assert s3fs.S3FileSystem().cat_file(path) == content, "the bytes in the store are not the bytes that were sent"


def test_a_range_is_half_open_and_exact(s3_root: str, arrow: pyarrow.fs.S3FileSystem) -> None:
    content = bytes(range(256)) * 64
    files = s3fs.S3FileSystem()
    files.pipe_file(f"{s3_root}/object", content)
    assert files.cat_file(f"{s3_root}/object", start=100, end=300) == content[100:300]
    assert arrow.open_input_file(f"{s3_root}/object".removeprefix("s3://")).read_at(200, 100) == content[100:300]


def test_a_listing_has_every_object_over_more_than_one_page(s3_server: S3Server, s3_root: str) -> None:
    files = s3fs.S3FileSystem()
    names = [f"{folder}/{index:04d} ü+%.mp4" for folder in "ab" for index in range(30)]
    files.pipe({f"{s3_root}/{name}": b"x" for name in names})
    bucket, prefix = s3_root.removeprefix("s3://").split("/")
    pages = list(client(s3_server).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, MaxKeys=25))
    assert [len(page["Contents"]) for page in pages] == [25, 25, 10]
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == [f"{prefix}/{name}" for name in names]
    assert sorted(files.find(s3_root)) == [f"{bucket}/{prefix}/{name}" for name in names]
    assert sorted(files.ls(s3_root)) == [f"{bucket}/{prefix}/a", f"{bucket}/{prefix}/b"]


def test_an_object_is_listed_until_it_is_deleted(s3_root: str) -> None:
    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.pipe_file(f"{s3_root}/object", b"x")
    assert files.exists(f"{s3_root}/object")
    files.rm(f"{s3_root}/object")
    assert not files.exists(f"{s3_root}/object")
    assert files.find(s3_root) == []


def test_a_copy_outlives_its_source(s3_root: str, arrow: pyarrow.fs.S3FileSystem) -> None:
    files = s3fs.S3FileSystem()
    files.pipe_file(f"{s3_root}/first", b"content")
    files.copy(f"{s3_root}/first", f"{s3_root}/second")
    prefix = s3_root.removeprefix("s3://")
    arrow.copy_file(f"{prefix}/second", f"{prefix}/third")
    files.rm([f"{s3_root}/first", f"{s3_root}/second"])
    assert files.cat_file(f"{s3_root}/third") == b"content"


def test_put_if_absent_never_replaces(s3_root: str) -> None:
    files = s3fs.S3FileSystem()
    files.pipe_file(f"{s3_root}/object", b"first", mode="create")
    with pytest.raises(OSError, match="precondition"):
        files.pipe_file(f"{s3_root}/object", b"second", mode="create")
    assert files.cat_file(f"{s3_root}/object") == b"first"


def test_of_racing_puts_if_absent_exactly_one_wins(s3_server: S3Server, s3_root: str) -> None:
    """Swift alone fails here; swift/one_writer.py is the cure."""
    s3 = client(s3_server)
    bucket, prefix = s3_root.removeprefix("s3://").split("/")

    def put(key_and_writer: tuple[int, int]) -> int | None:
        key, writer = key_and_writer
        try:
            s3.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=b"%d" % writer, IfNoneMatch="*")
        except botocore.exceptions.ClientError as e:
            if e.response["Error"]["Code"] != "PreconditionFailed":
                raise
            return None
        return key

    with ThreadPoolExecutor(8) as pool:
        winners = Counter(pool.map(put, [(key, writer) for key in range(20) for writer in range(8)]))
    assert [winners[key] for key in range(20)] == [1] * 20


def test_a_delta_table_comes_back_as_it_was_appended(s3_root: str) -> None:
    table = pa.table({"clip_id": ["a", "b"], "embedding": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))})
    for _ in range(3):
        write_deltalake(f"{s3_root}/features", table, mode="append")
    delta = DeltaTable(f"{s3_root}/features")
    assert delta.version() == 2
    assert delta.to_pyarrow_table().num_rows == 6
    assert delta.to_pyarrow_table().slice(0, 2).to_pylist() == table.to_pylist()


def test_acknowledged_objects_survive_kill_9_of_every_daemon(own_server: S3Server) -> None:
    own_server.make_bucket("crash")
    s3, acknowledged = client(own_server), {}

    def write(index: int) -> None:
        content = os.urandom(20_000)
        s3.put_object(Bucket="crash", Key=f"{index:03d}", Body=content)
        acknowledged[f"crash/{index:03d}"] = content

    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write, index) for index in range(1000)]
        wait_until(lambda: len(acknowledged) >= 64)
        own_server.kill9()  # while others are under way
        assert not writes[-1].done()
        pool.shutdown(cancel_futures=True)
    own_server.restart()
    files = own_server.filesystem()
    assert set(acknowledged) <= set(files.find("crash"))
    assert {path: files.cat_file(path) for path in acknowledged} == acknowledged


def test_a_wrong_key_is_refused(s3_server: S3Server) -> None:
    stranger = s3fs.S3FileSystem(key=s3_server.access_key, secret="wrong", endpoint_url=s3_server.endpoint_url)
    with pytest.raises(PermissionError):
        stranger.ls("sora-tests")


def test_no_daemon_outlives_the_process_that_started_it() -> None:
    script = (
        "from tests.support.s3_server import S3Server; import time\n"
        "server = S3Server().start(); print(*[d.pid for d in server.daemons.values()], server.folder, flush=True)\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert parent.stdout is not None
    *pids, folder = parent.stdout.readline().split()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert len(pids) == 4
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    shutil.rmtree(folder)


def test_a_failed_installation_names_the_command_that_would_do_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./no-such-folder\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", requirements)
    monkeypatch.setattr(environment, "CACHE_FOLDER", tmp_path / "cache")
    with pytest.raises(SoraError, match=f"-m pip install -r {requirements}"):
        environment.swift_python()


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not so after {limit_s} s"
        time.sleep(0.02)
