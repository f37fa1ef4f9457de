"""What MLflow could not be told, kept under the root until it can: entries in order, the files they name, one replay.

<root>/tracking/<spool id>/<number>-<random>.json     one entry; the number is the time it was made, so names sort
<root>/tracking/<spool id>/<number>-<random>/<name>   its files, written before it and deleted before it
<root>/tracking/claims/<random>                       who replays now
"""

import json
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from pipeline import storage
from pipeline.errors import CorpusError
from pipeline.storage import ObjectInfo

Kind = Literal["start", "params", "metrics", "files", "model", "champion", "end"]
Outcome = Literal[
    "told",  # MLflow has it: the entry is deleted
    "later",  # this entry stays, and with it all later ones of its run
    "stop",  # nothing more can be told now
]
_CLAIMS = "claims"
_CLAIM_AGE = timedelta(minutes=5)  # from here on a claim is a dead job's
_CLAIM_LOOK_S = 30.0


@dataclass(frozen=True)
class TrackedRun:
    """A run as MLflow is to show it. It travels from the driver to its workers and is in every entry: any one of them
    leads to the run, or makes it.

    Args:
        spool_id: Ours, and a tag of the run in MLflow, by which the run is found again.
        name: The name shown.
        tags: Tags of the run.
        started_ms: When it began, milliseconds since 1970.
        run_id: MLflow's; None as long as nobody knows it.
    """

    spool_id: str
    name: str
    tags: dict[str, str]
    started_ms: int
    run_id: str | None = None


@dataclass(frozen=True)
class Entry:
    """One thing to tell MLflow.

    Args:
        run: The run it belongs to.
        kind: What it is; `tracking_client` says what each kind does in MLflow.
        at_ms: When it happened, milliseconds since 1970.
        fields: What is told, as JSON. `files` maps artifact names to the URIs the bytes are read from.
    """

    run: TrackedRun
    kind: Kind
    at_ms: int
    fields: dict[str, Any]


class Spool:
    """Keeps entries of one process in the order in which they are given."""

    def __init__(self, root: str):
        self._root = root
        self._last_number = 0

    def keep(self, entry: Entry) -> None:
        """Write an entry, whole or not at all. Files that lie under the root are named, others are copied.

        Raises:
            OSError: the store does not take it.
        """
        self._last_number = max(self._last_number + 1, time.time_ns())
        stem = f"{self._last_number:020d}-{uuid.uuid4().hex[:8]}"
        folder = storage.join(folder_of(self._root), entry.run.spool_id)
        if "files" in entry.fields:
            files = {
                name: self._kept_file(uri, storage.join(folder, stem, name))
                for name, uri in entry.fields["files"].items()
            }
            entry = replace(entry, fields={**entry.fields, "files": files})
        storage.put(storage.join(folder, f"{stem}.json"), json.dumps(asdict(entry)).encode())

    def _kept_file(self, uri: str, target: str) -> str:
        if uri.startswith(f"{self._root}/"):
            return uri
        storage.put(target, storage.read_bytes(uri))
        return target


def folder_of(root: str) -> str:
    """Where a root keeps what MLflow was not told."""
    return storage.join(root, "tracking")


def waiting(root: str) -> list[str]:
    """The URIs of the entries that wait, oldest first, whatever run they belong to."""
    entries = [info.uri for info in _listed(folder_of(root)) if _is_entry(root, info.uri)]
    return sorted(entries, key=lambda uri: uri.rpartition("/")[2])


def spool_id_of(uri: str) -> str:
    """The run that an entry belongs to."""
    return uri.split("/")[-2]


def drain(root: str, tell: Callable[[Entry], Outcome], *, limit_s: float = math.inf) -> int:
    """Tell what waits, oldest first, and delete what was told; nothing where another process does so at this moment.

    Every step must bear repetition: a process that dies between telling and deleting leaves an entry that was told.
    Two processes never tell at once, save where one stands still for over four minutes between looking at its claim
    and telling. A process that dies while it replays holds up the others for five minutes.

    Args:
        root: The root, normalized.
        tell: Tells one entry; raises nothing.
        limit_s: No entry is begun after this many seconds; one is told in any case.
    Returns:
        How many entries were told.
    Raises:
        OSError: the store does not answer.
    """
    claim, until_s = _Claim(root), time.monotonic() + limit_s
    num_told = 0
    held_up: set[str] = set()
    try:
        for uri in waiting(root) if claim.is_held() else []:
            if spool_id_of(uri) in held_up:
                continue
            if (num_told and time.monotonic() > until_s) or not claim.is_held():
                break
            entry = read_entry(uri)
            outcome = tell(entry)
            if outcome == "stop":
                break
            if outcome == "later":
                held_up.add(spool_id_of(uri))
                continue
            _delete(root, uri, entry)
            num_told += 1
    finally:
        claim.release()
    return num_told


class _Claim:
    """The right to replay on a root: everyone first writes that he wants it, then looks whether another does.

    Of two that write at once, each sees the other or one is too late to be missed: at most one goes on, perhaps none,
    and then both try later. Ages are differences between times the store gave, so clocks need not agree.
    """

    def __init__(self, root: str):
        self._folder = storage.join(folder_of(root), _CLAIMS)
        self._uri = storage.join(self._folder, uuid.uuid4().hex)
        self._looked_s = -math.inf
        self._is_written = False

    def is_held(self) -> bool:
        """Whether this process may go on; renews the claim where it has not done so for half a minute."""
        if time.monotonic() - self._looked_s < _CLAIM_LOOK_S:
            return True
        self._is_written = True
        storage.put(self._uri, b"{}")
        claims = {claim.uri: claim for claim in _listed(self._folder) if not _is_temporary(claim.uri)}
        own = claims.pop(self._uri, None)
        if own is None or any(not self._is_left_behind(other, own) for other in claims.values()):
            return False
        self._looked_s = time.monotonic()
        return True

    def release(self) -> None:
        """Let others replay."""
        if self._is_written:
            storage.delete(self._uri)

    def _is_left_behind(self, other: ObjectInfo, own: ObjectInfo) -> bool:
        if other.modified_at is None or own.modified_at is None or own.modified_at - other.modified_at < _CLAIM_AGE:
            return False
        storage.delete(other.uri)
        return True


def read_entry(uri: str) -> Entry:
    """The entry at a URI that `waiting` gave."""
    fields = json.loads(storage.read_bytes(uri))
    return Entry(**{**fields, "run": TrackedRun(**fields["run"])})


def _delete(root: str, uri: str, entry: Entry) -> None:
    for source in entry.fields.get("files", {}).values():
        if source.startswith(f"{folder_of(root)}/"):
            storage.delete(source)
    storage.delete(uri)


def _listed(uri: str) -> list[ObjectInfo]:
    try:
        return list(storage.list_objects(uri))
    except CorpusError as e:
        if isinstance(e.__cause__, FileNotFoundError):  # nothing was ever kept
            return []
        raise


def _is_entry(root: str, uri: str) -> bool:
    depth = uri.removeprefix(f"{folder_of(root)}/").count("/")
    return depth == 1 and uri.endswith(".json") and not _is_temporary(uri)


def _is_temporary(uri: str) -> bool:
    return uri.rpartition("/")[2].startswith(".")
