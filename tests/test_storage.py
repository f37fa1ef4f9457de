"""Storage: what is put is whole, what is listed is literal, on local disk and on S3."""

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import ConfigError, CorpusError

HOSTILE_NAMES = ["a b.mp4", "ü*[x]?.mp4", "100%25.mp4", "a#b.mp4", "a::b.mp4", "deep/er/file", "quote'\".mp4"]


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder URI, once on local disk and once on the S3 server."""
    if request.param == "local":
        return storage.normalize(str(tmp_path / "folder"))
    return str(request.getfixturevalue("s3_root"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("file:///a/b/", "file:///a/b"),
        ("/a/../b", "file:///b"),
        ("s3://bucket/x/", "s3://bucket/x"),
        ("s3a://bucket/x", "s3://bucket/x"),
    ],
)
def test_a_uri_has_one_spelling(given: str, expected: str) -> None:
    assert storage.normalize(given) == expected


@pytest.mark.parametrize("uri", ["http://host/x", "s3://", "gopher://x"])
def test_other_schemes_are_refused_with_what_is_expected(uri: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        storage.normalize(uri)


def test_every_name_comes_back_from_the_listing_as_it_was_put(folder: str) -> None:
    for name in HOSTILE_NAMES:
        storage.put(storage.join(folder, name), name.encode())
    listed = list(storage.list_objects(folder))
    assert sorted(found.uri for found in listed) == sorted(storage.join(folder, name) for name in HOSTILE_NAMES)
    for found in listed:
        assert storage.read_bytes(found.uri) == found.uri.removeprefix(folder + "/").encode()
        assert found.size_bytes == len(storage.read_bytes(found.uri))
        assert storage.info(found.uri).version == found.version


def test_the_version_changes_with_the_bytes_and_only_then(folder: str) -> None:
    uri = storage.join(folder, "x")
    storage.put(uri, b"one")
    first = storage.info(uri).version
    assert storage.info(uri).version == first
    storage.put(uri, b"other")
    assert storage.info(uri).version != first


def test_put_if_absent_keeps_what_was_first(folder: str) -> None:
    uri = storage.join(folder, "claim")
    assert storage.put_if_absent(uri, b"first")
    assert not storage.put_if_absent(uri, b"second")
    assert storage.put_if_absent(uri, b"first"), "asked again after a lost answer, it is still ours"
    assert storage.read_bytes(uri) == b"first"


def test_a_missing_corpus_is_one_clear_error(folder: str) -> None:
    storage.put(storage.join(folder, "there"), b"x")
    with pytest.raises(CorpusError, match="no such folder"):
        list(storage.list_objects("/no/such/folder"))


def test_reads_can_seek(folder: str) -> None:
    uri = storage.join(folder, "x")
    storage.put(uri, bytes(range(256)) * 100)
    with storage.open_object(uri) as source:
        source.seek(-6, 2)
        assert source.read() == bytes(range(250, 256))
    assert storage.read_head(uri, 3) == b"\x00\x01\x02"


def test_an_empty_object_has_an_empty_head(folder: str) -> None:
    storage.put(storage.join(folder, "empty.mkv"), b"")
    assert storage.read_head(storage.join(folder, "empty.mkv"), 10) == b""


def test_an_unwritable_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="cannot be written"):
        storage.require_store(str(tmp_path / "file" / "root"))
