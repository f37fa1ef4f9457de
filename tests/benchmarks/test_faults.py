"""The fault harness itself: its schedules, its proxy, its comparison, and two quick real seeds."""

import hashlib
import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmarks.faults.cluster import fault_cluster
from benchmarks.faults.figures import missed_figures
from benchmarks.faults.play import play
from benchmarks.faults.proof import summary
from benchmarks.faults.proxy import FaultProxy
from benchmarks.faults.schedule import KINDS, Fault, FaultRates, Round, Schedule, schedule
from benchmarks.faults.snapshot import Difference, Snapshot, difference
from benchmarks.faults.workload import Workload, local_workload
from pipeline.crashpoints import POINTS

FIRST = (
    "seed 0: crash\n"
    "  1 x extract; crash at planned; kill_decoder after 0.2 s; kill_decoder after 2.9 s; kill_decoder after 3.5 s; "
    "kill_decoder after 4.5 s; kill_decoder after 5.8 s\n"
    "  1 x extract; crash at before_run_row; kill_decoder after 0.8 s; kill_worker after 3.0 s; "
    "kill_worker after 3.7 s; kill_decoder after 5.9 s; kill_decoder after 5.9 s"
)
DIGEST = "ac2b0200dc5fe765"  # of the first hundred
BODY = b"0123456789"


def test_a_schedule_is_a_pure_function_of_its_seed() -> None:
    assert str(schedule(0)) == FIRST
    all_words = "\n".join(str(schedule(seed)) for seed in range(100))
    assert hashlib.blake2b(all_words.encode(), digest_size=8).hexdigest() == DIGEST


def test_every_schedule_kills_at_least_ten_times() -> None:
    for seed in range(100):
        rounds = schedule(seed).rounds
        assert sum(len(played.faults) + (played.crash_at is not None) for played in rounds) >= 10, schedule(seed)


def test_consecutive_seeds_go_through_all_kinds_and_all_crash_points() -> None:
    seeds = range(len(KINDS) * len(POINTS))
    assert {schedule(seed).kind for seed in range(len(KINDS))} == set(KINDS)
    assert {one.rounds[0].crash_at for one in map(schedule, seeds) if one.kind == "crash"} == set(POINTS)
    assert {schedule(seed, "race").kind for seed in seeds} == {"race"}


def _snapshot(*keys: tuple[str, str, int], repeated: int = 0, failures: frozenset[tuple[str, str]]) -> Snapshot:
    return Snapshot({key: np.zeros(2, np.float32) for key in keys}, repeated, failures, 0, frozenset())


def test_equal_counts_of_other_keys_are_not_exact() -> None:
    reference = _snapshot(("a", "1", 0), ("b", "1", 0), failures=frozenset({("c", "corrupt")}))
    other = _snapshot(("a", "1", 0), ("a", "1", 1), failures=frozenset({("c", "timeout")}))
    assert difference(reference, reference) == Difference(0, 0, 0, 0, 0)
    assert difference(reference, other) == Difference(missing=2, duplicates=0, foreign=2, changed=0, partial_unsaid=0)
    assert not difference(reference, _snapshot(*reference.vectors, repeated=1, failures=reference.failures)).is_exact


def test_a_missed_figure_is_named() -> None:
    nothing_played = summary([])
    assert missed_figures(nothing_played) == []
    fuzz = {"classified": 4, "files": 5, "parent_crashes": 0, "hangs": 1, "good_videos_lost": 0}
    fuzz |= {"outbound_connections": 0, "outbound_without_confinement": None}
    played = {"schedules": 3, "exact": 2, "min_kills": 9, "redone_share": 0.2, "s3_fault_ratio": 1.6, "fuzz": fuzz}
    missed = missed_figures({**nothing_played, **played, "overhead_ratio": 1.05})
    assert [words.split()[0] for words in missed] == ["2", "9", "redone_share", "s3_fault_ratio", "fuzz", "fuzz"]


class _Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    applied: list[bytes] = []  # noqa: RUF012  # of the one test that reads it

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self.applied.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def store_url() -> Iterator[str]:
    """A plain HTTP server to stand behind the proxy."""
    _Store.applied.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _put(url: str) -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urllib.request.Request(f"{url}/key", data=b"value", method="PUT"), timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize(
    ("rates", "error", "is_applied"),
    [
        (FaultRates(), None, True),
        (FaultRates(slow_down=1.0), urllib.error.HTTPError, False),
        (FaultRates(reset=1.0), OSError, False),
        (FaultRates(lost=1.0), OSError, True),
        (FaultRates(stall=1.0, stall_s=0.1), None, True),
    ],
)
def test_the_proxy_does_what_its_rates_say(
    store_url: str, rates: FaultRates, error: type[Exception] | None, is_applied: bool
) -> None:
    with FaultProxy(store_url, rates, seed=1) as proxy:
        if error is None:
            assert _put(proxy.url) == BODY
        else:
            with pytest.raises(error):
                _put(proxy.url)
    assert _Store.applied == ([b"value"] if is_applied else [])


def test_a_cut_answer_is_shorter_than_it_says(store_url: str) -> None:
    with FaultProxy(store_url, FaultRates(cut=1.0), seed=1) as proxy:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(http.client.IncompleteRead), direct.open(f"{proxy.url}/key", timeout=10) as answer:
            answer.read()


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workload]:
    """Eight clips and broken files, with their reference."""
    with local_workload(tmp_path_factory.mktemp("faults"), num_clips=8) as workload:
        yield workload


@pytest.mark.shared_videos
def test_a_driver_that_dies_in_a_commit_and_again_in_the_next_costs_no_row(workload: Workload) -> None:
    rounds = (Round(crash_at="after_log_entry"), Round(crash_at="between_commits"))
    outcome = play(Schedule(0, "crash", rounds), workload)
    assert (outcome.is_exact, outcome.kills, outcome.untidy) == (True, 2, []), outcome


@pytest.mark.shared_videos
def test_a_node_a_worker_and_a_decoder_that_die_under_two_drivers_cost_no_row(workload: Workload) -> None:
    faults = (Fault("kill_decoder", 0.0), Fault("kill_worker", 1.0), Fault("kill_node", 2.0))
    with fault_cluster() as cluster:
        outcome = play(Schedule(0, "nodes", (Round(num_drivers=2, faults=faults),)), workload, cluster)
    assert (outcome.is_exact, outcome.kills, outcome.untidy) == (True, 3, []), outcome
