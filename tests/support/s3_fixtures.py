"""Pytest fixtures around the S3 server; conftest.py imports them by name."""

import uuid
from collections.abc import Iterator

import pytest
from s3fs import S3FileSystem

from tests.support.s3_server import S3Server

BUCKET = "sora-tests"
# Settings of the developer's own account that would win over, or mix with, those of the server.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the whole run, with the bucket of `s3_root`."""
    with S3Server() as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def s3_root(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A URI that nothing is under yet, and the environment that leads every S3 client to it.

    Returns:
        `s3://bucket/prefix`, without a slash at the end.
    """
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # fsspec keeps clients by argument, and the environment is none
    yield f"s3://{BUCKET}/{uuid.uuid4().hex}"
    S3FileSystem.clear_instance_cache()
