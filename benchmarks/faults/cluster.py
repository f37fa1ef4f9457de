"""A Ray cluster of several nodes on this machine, token auth on, whose nodes can be killed and replaced.

python -m benchmarks.faults.cluster --nodes 3      says its address, obeys lines on stdin (mend), ends with stdin

The cluster lives in a process of its own, because Ray reads its token once a process. Everything it starts carries
the mark of `benchmarks.faults.driver`, by which it is found, killed and cleared away.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.processes import Family, environment, kill
from pipeline.errors import SoraError

NUM_NODES, CPUS_A_NODE = 3, 1
_ANSWER_LIMIT_S = 90.0
# Defaults wait 10 s and more before a silent node is dead; idle workers started ahead cost 2 s of CPU each.
_SYSTEM_CONFIG = {
    "health_check_initial_delay_ms": 2000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
    "prestart_worker_first_driver": False,
    "enable_worker_prestart": False,
}


class FaultCluster:
    """A running cluster; use `fault_cluster` to have it cleared away.

    Args:
        num_nodes: The head, which is never killed, and at least one more.
        num_cpus: Of each node.
    """

    def __init__(self, num_nodes: int = NUM_NODES, num_cpus: int = CPUS_A_NODE):
        self._folder = Path(tempfile.mkdtemp(prefix="sf-", dir="/tmp"))  # short: socket paths end at 107 characters
        self.family = Family()
        token = secrets.token_hex(32)
        own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_TMPDIR": str(self._folder)}
        with (self._folder / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults.cluster", "--nodes", str(num_nodes), "--cpus", str(num_cpus)],
                cwd=Path(__file__).parents[2],
                env=environment() | own | self.family.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        address = str(self._answer()["address"])
        self.env: Mapping[str, str] = own | {"RAY_ADDRESS": address}

    def kill_node(self, rng: random.Random) -> int:
        """SIGKILL to one raylet that is not the head's; its workers end with it. Returns how many were killed."""
        raylets = self.family.named(lambda command: "/raylet " in command and "--head" not in command)
        return int(bool(raylets) and kill(rng.choice(raylets)))

    def mend(self) -> None:
        """Put a new node in the place of each dead one."""
        self._ask("mend")

    def wait_idle(self, limit_s: float = 30.0) -> None:
        """Wait until the workers of jobs that have ended are gone; what is left of them then is killed."""
        deadline_s = time.monotonic() + limit_s
        while workers := self.family.workers():
            if time.monotonic() > deadline_s:
                for pid in workers:
                    kill(pid)
            time.sleep(0.1)

    def clear(self) -> None:
        """End everything, and remove the folder."""
        self.family.clear()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, word: str) -> dict[str, object]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # ends with the process, which gives up by itself after a time
        if not line:
            words = (self._folder / "err").read_text(errors="replace")[-2000:]
            self.clear()
            raise SoraError("The Ray cluster of the proof does not answer.", got=words)
        return dict(json.loads(line))


@contextmanager
def fault_cluster(num_nodes: int = NUM_NODES, num_cpus: int = CPUS_A_NODE) -> Iterator[FaultCluster]:
    """A cluster that is cleared away at the end."""
    cluster = FaultCluster(num_nodes, num_cpus)
    try:
        yield cluster
    finally:
        cluster.clear()


def main() -> None:
    """Start the nodes, then obey."""
    parser = argparse.ArgumentParser("python -m benchmarks.faults.cluster")
    parser.add_argument("--nodes", type=int, default=NUM_NODES)
    parser.add_argument("--cpus", type=int, default=CPUS_A_NODE)
    arguments = parser.parse_args()
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # Ray's daemons inherit stdout; a pipe they hold would never end
        from ray.cluster_utils import Cluster

        head = {"num_cpus": arguments.cpus, "include_dashboard": False, "_system_config": _SYSTEM_CONFIG}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        _fill_up(cluster, arguments.nodes, arguments.cpus)
        _say(answers, {"address": cluster.address})
        for _ in sys.stdin:
            for node in [node for node in cluster.worker_nodes if not node.remaining_processes_alive()]:
                cluster.remove_node(node, allow_graceful=False)
            _fill_up(cluster, arguments.nodes, arguments.cpus)
            _say(answers, {"nodes": len(cluster.list_all_nodes())})


def _fill_up(cluster: object, num_nodes: int, num_cpus: int) -> None:
    while len(cluster.list_all_nodes()) < num_nodes:
        cluster.add_node(num_cpus=num_cpus)


def _say(answers: object, fields: dict[str, object]) -> None:
    print(json.dumps(fields), file=answers, flush=True)


if __name__ == "__main__":
    main()
