"""What every test can ask for: the real test video, one local Ray, one S3 server."""

import os
from collections.abc import Iterator

import pytest

from jobs import shell
from jobs.ray_session import connect, ray_session
from tests.support.s3_fixtures import s3_root, s3_server  # noqa: F401
from tests.support.s3_server import S3Server
from tests.support.shared import shared_videos
from tests.support.sora import Sora


def pytest_configure(config: pytest.Config) -> None:
    shell.prepare()  # Ray reads its environment when it is first imported


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the real video are named and left out where there is none; in CI its absence is a failure."""
    if shared_videos().is_dir():
        return
    reason = f"needs the real test video: set SORA_TEST_VIDEOS, {shared_videos()} is not there"
    for item in items:
        if "shared_videos" in item.keywords:
            if os.environ.get("SORA_REQUIRE_TEST_VIDEOS"):
                raise pytest.UsageError(f"{item.nodeid} {reason}")
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def ray_local(s3_server: S3Server) -> Iterator[None]:  # noqa: F811
    """One local Ray for all tests that need one; its workers know the S3 server."""
    os.environ.update(s3_server.env)
    with ray_session():
        connect()
        yield
    for name in s3_server.env:
        os.environ.pop(name)


@pytest.fixture
def sora(capsys: pytest.CaptureFixture[str]) -> Sora:
    """Runs our commands in this process."""
    return Sora(capsys)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a worker; threads that share their cores with another process wait for each other: 0.9 s became 74 s."""
    import torch  # most tests need none of it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
