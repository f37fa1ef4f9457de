"""A Ray head of one's own on this machine, with token authentication, to submit jobs to."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

START_LIMIT_S = 90.0  # 10 s when the machine is idle
PORT_OPTIONS = (
    "--port",
    "--dashboard-port",
    "--dashboard-agent-listen-port",
    "--dashboard-agent-grpc-port",
    "--runtime-env-agent-port",
    "--metrics-export-port",
    "--object-manager-port",
    "--node-manager-port",
    "--ray-client-server-port",
)


class RayHead:
    """`ray start --head --block` with its own token, ports and temporary folder; leaving the context ends all of it.

    Args:
        num_cpus: What the head says it has.
    """

    def __init__(self, *, num_cpus: int = 2):
        self.num_cpus = num_cpus
        self.token = secrets.token_hex(32)
        self.ports = dict(zip(PORT_OPTIONS, _free_ports(len(PORT_OPTIONS)), strict=True))
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: socket paths end at 107 characters
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.ports['--dashboard-port']}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of the head and of everyone who may submit to it."""
        return _clean_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def submit(self, *entrypoint: str, working_dir: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run `ray job submit` to the end of the job, with this environment."""
        command = [*_ray(), "job", "submit", "--address", self.address, "--working-dir", str(working_dir), "--"]
        return subprocess.run([*command, *entrypoint], env=env, capture_output=True, text=True, timeout=240)

    def request(self, path: str, token: str | None) -> int:
        """The HTTP status of one request to the job server."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through an http_proxy
        try:
            with direct.open(urllib.request.Request(self.address + path, headers=headers), timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code

    def __enter__(self) -> "RayHead":
        command = [*_ray(), "start", "--head", "--block", "--num-cpus", str(self.num_cpus), "--disable-usage-stats"]
        command += ["--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1", "--temp-dir", str(self.folder)]
        command += ["--object-store-memory", str(200 * 2**20)]
        command += [f"{option}={port}" for option, port in self.ports.items()]
        with (self.folder / "start.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the head and everything it started, and nothing else."""
        assert self.process is not None
        while pids := self.pids():  # by token: workers have process groups of their own, and SIGTERM takes over 15 s
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pids(self) -> list[int]:
        """The processes that were started with this head's token."""
        mark = f"RAY_AUTH_TOKEN={self.token}".encode()
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, mark)]

    def _wait_until_it_answers(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.request("/api/jobs/", self.token) == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise RuntimeError(f"no Ray head at {self.address}:\n{(self.folder / 'start.log').read_text()[-3000:]}")


def _ray() -> list[str]:
    return [sys.executable, "-m", "ray.scripts.scripts"]


def _clean_environment() -> dict[str, str]:
    """Ours without any other Ray's settings, and with this Python first, so that a job's `python` is this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def _carries(process: Path, mark: bytes) -> bool:
    try:
        is_zombie = (process / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        return not is_zombie and mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended meanwhile, or is another user's
        return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]  # all open at once, so that all differ
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
