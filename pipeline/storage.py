"""URI -> file system: listing, whole-object reads and writes, and one set of S3 settings for every client.

A URI is a plain path, `file://...` or `s3://...`. Keys are taken literally: no globbing, no URL decoding, no chaining.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
import pyarrow.fs
import tenacity

from pipeline.errors import ConfigError, CorpusError
from pipeline.read_ahead import GrowingReadAhead
from pipeline.s3_client import INVALID_RANGE, LOST_CONDITION, S3Settings, store_code, store_errors

T = TypeVar("T")
_PERMANENT = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_MAX_ATTEMPTS = 5
_READ_AHEAD_BYTES = 4 << 20


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing; `version` changes whenever its bytes do."""

    uri: str
    version: str
    size_bytes: int
    modified_at: datetime | None


def normalize(uri: str) -> str:
    """`uri` as `file:///absolute/path` or `s3://bucket/key`, without a trailing slash.

    Raises:
        ConfigError: the scheme is not supported, or an s3 URI names no bucket.
    """
    scheme, path = _split(uri)
    if scheme == "file":
        return "file://" + os.path.abspath(os.path.expanduser(path))
    path = path.strip("/")
    if not path:
        raise ConfigError("The URI names no bucket.", where=uri, expected="s3://bucket/prefix")
    return f"{scheme}://{path}"


def join(uri: str, *parts: str) -> str:
    """The URI of an object below `uri`."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def is_local(uri: str) -> bool:
    return _split(uri)[0] == "file"


def local_path(uri: str) -> Path:
    """The path of a local URI."""
    scheme, path = _split(uri)
    assert scheme == "file", f"not a local URI: {uri}"
    return Path(path)


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The fsspec file system of `uri`, and the path it knows the object by."""
    scheme, path = _split(uri)
    if scheme == "file":
        return fsspec.filesystem("file"), path
    return fsspec.filesystem("s3", **S3Settings.from_environment().for_s3fs()), path


def arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The pyarrow file system of `uri` and the path inside it, as Ray Train wants them."""
    scheme, path = _split(uri)
    if scheme == "file":
        return pyarrow.fs.LocalFileSystem(), path
    return S3Settings.from_environment().for_arrow(), path


def delta_location(uri: str) -> tuple[str, dict[str, str]]:
    """Table URI and storage options for the deltalake library."""
    scheme, path = _split(uri)
    if scheme == "file":
        return path, {}
    return uri, S3Settings.from_environment().for_delta()


def retried(call: Callable[[], T]) -> T:
    """Run `call`, again after a passing storage fault, with exponential waits and jitter, five times at most."""

    def attempt() -> T:
        with store_errors():
            return call()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_passing_fault),
        stop=tenacity.stop_after_attempt(_MAX_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        reraise=True,
    )
    return retrying(attempt)


def is_passing_fault(error: BaseException) -> bool:
    """Whether another attempt may succeed: any I/O error but the ones that say what is missing or forbidden."""
    if not isinstance(error, OSError) or isinstance(error, _PERMANENT):
        return False
    return store_code(error) not in (*LOST_CONDITION, INVALID_RANGE)


def read_bytes(uri: str) -> bytes:
    """The whole object."""
    fs, path = filesystem(uri)
    return cast(bytes, retried(lambda: fs.cat_file(path)))


def read_head(uri: str, num_bytes: int) -> bytes:
    """The first `num_bytes` of the object, or all of it where it is shorter."""
    fs, path = filesystem(uri)
    try:
        return cast(bytes, retried(lambda: fs.cat_file(path, start=0, end=num_bytes)))
    except OSError as e:
        if store_code(e) != INVALID_RANGE:  # the store's word for a range of an empty object
            raise
        return b""


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    return bool(retried(lambda: fs.exists(path)))


def delete(uri: str) -> None:
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        retried(lambda: fs.rm_file(path))


def put(uri: str, data: bytes) -> None:
    """Write the whole object, or nothing: a reader sees the old bytes or the new ones."""
    fs, path = filesystem(uri)
    if is_local(uri):
        with _synced_temporary(Path(path), data) as temporary:
            os.replace(temporary, path)
    else:
        retried(lambda: fs.pipe_file(path, data))


def put_if_absent(uri: str, data: bytes) -> bool:
    """Write the whole object unless one is there; False where another content was there already.

    After a lost answer the client asks again and is told that the object is there: it may be ours, so we look.
    """
    fs, path = filesystem(uri)
    try:
        if is_local(uri):
            with _synced_temporary(Path(path), data) as temporary:
                os.link(temporary, path)
        else:
            with store_errors():
                fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return read_bytes(uri) == data
    except OSError as e:
        if store_code(e) not in LOST_CONDITION:
            raise
        return read_bytes(uri) == data
    return True


def open_object(uri: str) -> BinaryIO:
    """A seekable reader of the object; remote ones are read ahead in pieces of up to 4 MiB."""
    fs, path = filesystem(uri)
    options = {"cache_type": GrowingReadAhead.name, "block_size": _READ_AHEAD_BYTES}
    return cast(BinaryIO, retried(lambda: fs.open(path, "rb", **({} if is_local(uri) else options))))


def fetched_bytes(source: BinaryIO) -> int | None:
    """What of an object was fetched from the store so far through open_object, in bytes; None where it is local."""
    cache = getattr(source, "cache", None)
    return cache.total_requested_bytes if isinstance(cache, GrowingReadAhead) else None


def info(uri: str) -> ObjectInfo:
    """Size, version and time of one object.

    Raises:
        FileNotFoundError: there is no such object.
    """
    fs, path = filesystem(uri)
    return _object_info(uri, retried(lambda: fs.info(path)))


def list_objects(uri: str) -> Iterator[ObjectInfo]:
    """Every object below `uri` (or the object itself), folder by folder, as the listing arrives.

    Raises:
        CorpusError: nothing is there, or it may not be listed.
        OSError: the store does not answer.
    """
    try:
        with store_errors():
            yield from _walk(uri)
    except PermissionError as e:
        raise CorpusError("The corpus may not be listed.", where=uri, got=e, cure="grant read and list rights") from e
    except FileNotFoundError as e:
        raise CorpusError("There is no such folder or bucket.", where=uri, cure="check the spelling of the URI") from e


def _walk(uri: str) -> Iterator[ObjectInfo]:
    fs, path = filesystem(uri)
    if fs.isfile(path):
        yield _object_info(uri, fs.info(path))
        return
    if is_local(uri) and not Path(path).is_dir():
        raise FileNotFoundError(path)
    for _, _, files in fs.walk(path, detail=True, on_error="raise"):
        for entry in files.values():
            yield _object_info(_unsplit(uri, entry["name"]), entry)


def require_store(root: str) -> None:
    """Refuse a root that cannot be written, or whose store ignores conditional puts, before any work is done.

    Raises:
        ConfigError: a small object could not be written and removed below `root`, or could be put twice where the
            second put asked for it to be absent: commits would overwrite each other there.
    """
    probe = join(root, f".write-test-{uuid.uuid4().hex}")
    try:
        is_first, is_second = put_if_absent(probe, b"first"), put_if_absent(probe, b"second")
        delete(probe)
    except OSError as e:
        cure = "check the path or bucket, its rights, and the AWS_* variables"
        raise ConfigError("The root cannot be written.", where=root, got=f"{type(e).__name__}: {e}", cure=cure) from e
    if not is_first or is_second:
        expected = "a store that refuses a put with If-None-Match: * when the object is there"
        cure = "use another store, or turn conditional puts on"
        raise ConfigError("The store ignores conditional puts.", where=root, expected=expected, cure=cure)


def _split(uri: str) -> tuple[str, str]:
    scheme, separator, path = uri.partition("://")
    if not separator:
        return "file", uri
    if scheme == "file":
        return "file", path
    if scheme in ("s3", "s3a"):
        return "s3", path
    raise ConfigError("The URI's scheme is not supported.", where=uri, got=scheme, expected="a path, file:// or s3://")


def _unsplit(like: str, path: str) -> str:
    return f"{_split(like)[0]}://{path}"


def _object_info(uri: str, entry: dict[str, Any]) -> ObjectInfo:
    size = int(entry.get("size") or 0)
    modified = entry.get("LastModified") or entry.get("mtime")
    if isinstance(modified, (int, float)):
        modified = datetime.fromtimestamp(modified, tz=UTC)
    etag = str(entry.get("ETag") or "").strip('"')
    version = etag or f"{size}-{modified.timestamp() if modified else 0:.6f}"
    return ObjectInfo(uri=uri, version=version, size_bytes=size, modified_at=modified)


@contextlib.contextmanager
def _synced_temporary(path: Path, data: bytes) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
