"""Play a schedule on a copy of the workload's root, finish the work without faults, and compare."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.faults.cluster import FaultCluster
from benchmarks.faults.driver import Driver
from benchmarks.faults.processes import Family, kill
from benchmarks.faults.proxy import FaultProxy
from benchmarks.faults.schedule import Fault, Round, Schedule
from benchmarks.faults.snapshot import Difference, awaits_retry, difference, snapshot
from benchmarks.faults.workload import Workload
from pipeline.crashpoints import EXIT_CODE

DONE, RETRYABLE = 0, 20
_LOOK_EVERY_S = 0.2
_ROUND_LIMIT_S = 420.0
_MAX_FINISHING_RUNS = 8  # a video whose decoder was killed is tried again by the next


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


def play(schedule: Schedule, workload: Workload, cluster: FaultCluster | None = None) -> Outcome:
    """Play all rounds, then run until nothing is due, then compare with the reference.

    Args:
        cluster: Joined by every driver; without one each driver starts a Ray of its own.
    """
    outcome = Outcome(schedule)
    game = _Game(workload, workload.new_root(), cluster, outcome, random.Random(schedule.seed))
    late: list[Fault] = []
    for played in schedule.rounds:
        late = game.play(played, late)
    for _ in range(_MAX_FINISHING_RUNS):
        late = game.play(Round(), late)
        found = snapshot(game.root)
        if outcome.codes[-1] == DONE and not awaits_retry(workload.reference, found):
            break
    outcome.difference = difference(workload.reference, found)
    return outcome


@dataclass
class _Game:
    """The root that is played on, and whatever can be hit."""

    workload: Workload
    root: str
    cluster: FaultCluster | None
    outcome: Outcome
    rng: random.Random

    def play(self, played: Round, late: Sequence[Fault]) -> list[Fault]:
        """One round; kills left over from the rounds before come in it too. Returns those that came too late again."""
        with ExitStack() as stack:
            env = {**self.workload.env, **(self.cluster.env if self.cluster else {})}
            if played.crash_at:
                env["SORA_CRASH_AT"] = played.crash_at
            if played.rates is not None:
                assert self.workload.server is not None, "a proxy stands before S3 only"
                proxy = FaultProxy(self.workload.server.endpoint_url, played.rates, seed=self.rng.getrandbits(32))
                env["AWS_ENDPOINT_URL"] = stack.enter_context(proxy).url
            one_each = ["--num-workers", "1"] if played.num_drivers > 1 else []
            command = [*self.workload.command(self.root), *one_each]
            drivers = [Driver(command, env) for _ in range(played.num_drivers)]
            for driver in drivers:
                stack.callback(driver.clear)
            waiting = self._until_all_end(drivers, [*late, *played.faults])
            for driver in drivers:
                _judge(driver, played, self.outcome)
            if played.rates is not None:
                self.outcome.requests = dict(proxy.counts)
        if self.cluster:
            self.cluster.wait_idle()
            self.cluster.mend()
        return [fault for fault in waiting if fault.action in ("kill_worker", "kill_decoder")]

    def _until_all_end(self, drivers: list[Driver], waiting: list[Fault]) -> list[Fault]:
        """Do what is due until every driver has ended; returns the faults that were not due before, or hit nothing."""
        seen_worker_s: float | None = None
        deadline_s = time.monotonic() + _ROUND_LIMIT_S
        while any(driver.poll() is None for driver in drivers):
            now_s = time.monotonic()
            if now_s > deadline_s:
                self.outcome.untidy.append(f"running after {_ROUND_LIMIT_S:.0f} s: {drivers[0].words[-500:]}")
                break
            if waiting and seen_worker_s is None and self._workers(drivers):
                seen_worker_s = now_s
            since_s = -1.0 if seen_worker_s is None else now_s - seen_worker_s
            for fault in [fault for fault in waiting if fault.after_s <= since_s]:
                hits = self._do(fault, drivers)
                self.outcome.kills += hits
                if hits:
                    waiting.remove(fault)
            time.sleep(_LOOK_EVERY_S)
        return waiting

    def _do(self, fault: Fault, drivers: list[Driver]) -> int:
        """How many processes, servers or nodes the fault has killed: 0 or 1."""
        if fault.action == "kill_driver":
            alive = [driver for driver in drivers if driver.poll() is None]
            if alive:
                self.rng.choice(alive).kill()
            return int(bool(alive))
        if fault.action == "kill_node":
            assert self.cluster is not None, "there is no node to kill"
            hits = self.cluster.kill_node(self.rng)
            time.sleep(fault.down_s)
            self.cluster.mend()
            return hits
        if fault.action == "restart_s3":
            assert self.workload.server is not None, "there is no S3 server to restart"
            self.workload.server.kill9()
            time.sleep(fault.down_s)
            self.workload.server.start()
            return 1
        pids = self._workers(drivers) if fault.action == "kill_worker" else self._decoders(drivers)
        return int(bool(pids) and kill(self.rng.choice(pids)))

    def _workers(self, drivers: Sequence[Driver]) -> list[int]:
        return [pid for family in self._families(drivers) for pid in family.workers()]

    def _decoders(self, drivers: Sequence[Driver]) -> list[int]:
        return [pid for family in self._families(drivers) for pid in family.decoders()]

    def _families(self, drivers: Sequence[Driver]) -> list[Family]:
        return [self.cluster.family] if self.cluster else [driver.family for driver in drivers]


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
