"""Play a schedule on a copy of the workload's root, finish the work without faults, and compare."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.fault_driver import Driver, kill
from benchmarks.fault_proxy import FaultProxy
from benchmarks.fault_schedule import Fault, Round, Schedule
from benchmarks.fault_snapshot import Difference, awaits_retry, difference, snapshot
from benchmarks.fault_workload import Workload
from pipeline.crashpoints import EXIT_CODE

DONE, RETRYABLE = 0, 20
_LOOK_EVERY_S = 0.2
_ROUND_LIMIT_S = 420.0
_MAX_FINISHING_RUNS = 4  # a video whose decoder was killed is tried three times in all


@dataclass
class Outcome:
    """What came of a schedule.

    kills: Processes, or servers, that were killed or crashed.
    untidy: Ends that no operator should see: a traceback, or an exit code that does not fit.
    """

    schedule: Schedule
    kills: int = 0
    untidy: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)
    difference: Difference | None = None

    @property
    def is_exact(self) -> bool:
        return self.difference is not None and self.difference.is_exact


def play(schedule: Schedule, workload: Workload) -> Outcome:
    """Play all rounds, then run until nothing is due, then compare with the reference."""
    outcome = Outcome(schedule)
    root = workload.new_root()
    rng = random.Random(schedule.seed)
    for played in schedule.rounds:
        _play_round(played, root, workload, outcome, rng)
    for _ in range(_MAX_FINISHING_RUNS):
        _play_round(Round(), root, workload, outcome, rng)
        found = snapshot(root)
        if outcome.codes[-1] == DONE and not awaits_retry(workload.reference, found):
            break
    outcome.difference = difference(workload.reference, found)
    return outcome


def _play_round(played: Round, root: str, workload: Workload, outcome: Outcome, rng: random.Random) -> None:
    with ExitStack() as stack:
        env = dict(workload.env)
        if played.crash_at:
            env["SORA_CRASH_AT"] = played.crash_at
        if played.rates is not None:
            assert workload.server is not None, "a proxy stands before S3 only"
            proxy = stack.enter_context(
                FaultProxy(workload.server.endpoint_url, played.rates, seed=rng.getrandbits(32))
            )
            env["AWS_ENDPOINT_URL"] = proxy.url
        drivers = [Driver(workload.command(root), env) for _ in range(played.num_drivers)]
        for driver in drivers:
            stack.callback(driver.clear)
        _until_all_end(drivers, played, workload, outcome, rng)
        for driver in drivers:
            _judge(driver, played, outcome)
        if played.rates is not None:
            outcome.requests = dict(proxy.counts)


def _until_all_end(
    drivers: list[Driver], played: Round, workload: Workload, outcome: Outcome, rng: random.Random
) -> None:
    driver, waiting = drivers[0], list(played.faults)
    seen_worker_s: float | None = None
    deadline_s = time.monotonic() + _ROUND_LIMIT_S
    while any(one.poll() is None for one in drivers):
        now_s = time.monotonic()
        if now_s > deadline_s:
            outcome.untidy.append(f"still running after {_ROUND_LIMIT_S:.0f} s: {driver.words[-500:]}")
            break
        if waiting and seen_worker_s is None and driver.workers():
            seen_worker_s = now_s
        for fault in [fault for fault in waiting if _is_due(fault, now_s, driver.started_s, seen_worker_s)]:
            waiting.remove(fault)
            outcome.kills += _ACTIONS[fault.action](fault, driver, workload, rng)
        time.sleep(_LOOK_EVERY_S)


def _is_due(fault: Fault, now_s: float, started_s: float, seen_worker_s: float | None) -> bool:
    since_s = started_s if fault.action == "kill_driver" else seen_worker_s
    return since_s is not None and now_s - since_s >= fault.after_s


def _kill_driver(fault: Fault, driver: Driver, workload: Workload, rng: random.Random) -> int:
    driver.kill()
    return 1


def _kill_worker(fault: Fault, driver: Driver, workload: Workload, rng: random.Random) -> int:
    return _kill_one(driver.workers(), rng)


def _kill_decoder(fault: Fault, driver: Driver, workload: Workload, rng: random.Random) -> int:
    return _kill_one(driver.decoders(), rng)


def _kill_one(pids: list[int], rng: random.Random) -> int:
    return int(bool(pids) and kill(rng.choice(pids)))


def _restart_s3(fault: Fault, driver: Driver, workload: Workload, rng: random.Random) -> int:
    assert workload.server is not None, "there is no S3 server to restart"
    workload.server.kill9()
    time.sleep(fault.down_s)
    workload.server.start()
    return 1


_ACTIONS: dict[str, Callable[[Fault, Driver, Workload, random.Random], int]] = {
    "kill_driver": _kill_driver,
    "kill_worker": _kill_worker,
    "kill_decoder": _kill_decoder,
    "restart_s3": _restart_s3,
}


def _judge(driver: Driver, played: Round, outcome: Outcome) -> None:
    """A run ends with 0, with the code of its own crash, or, where the store was away, with 20: repeat me."""
    code = driver.poll()
    actions = {fault.action for fault in played.faults}
    allowed = {DONE}
    if played.crash_at:
        allowed.add(EXIT_CODE)
        outcome.kills += code == EXIT_CODE
    if "kill_driver" in actions:
        allowed.add(-9)
    if "restart_s3" in actions or played.rates is not None:
        allowed.add(RETRYABLE)
    outcome.codes.append(-1 if code is None else code)
    words = driver.words
    if code not in allowed or "Traceback" in words:
        outcome.untidy.append(f"exit {code}: {words[-1500:]}")
