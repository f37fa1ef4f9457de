"""A real S3 server on this machine, for tests: OpenStack Swift behind its S3 API, data safe across kill -9.

`python -m tests.support.s3_server` starts one, prints the environment that leads to it, and runs until Ctrl-C.
"""

import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

import s3fs

from pipeline.errors import SoraError
from tests.support.swift import configuration
from tests.support.swift.configuration import SERVERS, SwiftConfiguration
from tests.support.swift.environment import swift_python

ACCESS_KEY = "sora:tests"
START_LIMIT_S = 60.0  # 2 s when the machine is idle
# Below the range that the kernel hands to outgoing connections: a port must still be free at restart().
PORT_RANGE = range(20_000, 32_000)
SWIFT_FOLDER = Path(configuration.__file__).parent


class S3Server:
    """Four Swift daemons on free ports of 127.0.0.1 and the folder with their data.

    Args:
        folder: Where data, configuration and logs live, on a file system with user xattrs. By default a new temporary
            folder, removed by stop().
    """

    def __init__(self, folder: Path | None = None):
        self.python = swift_python()
        self.folder = folder or Path(tempfile.mkdtemp(prefix="sora-s3-"))
        self._is_own_folder = folder is None
        self.access_key = ACCESS_KEY
        self.secret_key = secrets.token_hex(16)
        _check_xattrs(self.folder)
        self.configuration = SwiftConfiguration(
            self.folder, dict(zip(SERVERS, _free_ports(), strict=True)), self.secret_key
        )
        self.configuration.write(self.python)
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def endpoint_url(self) -> str:
        """Where the server listens; the same after restart()."""
        return f"http://127.0.0.1:{self.configuration.ports['proxy']}"

    @property
    def env(self) -> dict[str, str]:
        """The standard variables that lead an S3 client (boto, s3fs, deltalake, our jobs) to this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": configuration.REGION,
            "AWS_ALLOW_HTTP": "true",
        }

    def filesystem(self) -> s3fs.S3FileSystem:
        """A client of this server, whatever the environment says."""
        return s3fs.S3FileSystem(
            key=self.access_key,
            secret=self.secret_key,
            endpoint_url=self.endpoint_url,
            client_kwargs={"region_name": configuration.REGION},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def make_bucket(self, name: str) -> str:
        """Create a bucket.

        Returns:
            Its URI, `s3://name`.
        """
        self.filesystem().mkdir(name)
        return f"s3://{name}"

    def start(self) -> "S3Server":
        """Start the daemons and wait until every one of them answers.

        Raises:
            SoraError: one of them ended or did not answer in time; the message has the end of its log.
        """
        assert not self.daemons, "start() on a server that runs"
        self.daemons = {server: self._launch(server) for server in SERVERS}
        try:
            for server in SERVERS:
                self._wait_for(server)
        except BaseException:
            self.kill9()
            raise
        return self

    def kill9(self) -> None:
        """Send SIGKILL to every daemon, as a crash would, and wait for their end. The data stays."""
        for daemon in self.daemons.values():
            daemon.kill()
        for daemon in self.daemons.values():
            daemon.wait()
        self.daemons = {}

    def restart(self) -> None:
        """Start again on the same ports and data, after kill9() or while running."""
        self.kill9()
        self.start()

    def stop(self) -> None:
        """End the daemons and remove the folder if it was ours."""
        self.kill9()
        if self._is_own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "S3Server":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _log(self, server: str) -> Path:
        return self.folder / "logs" / f"{server}.log"

    def _launch(self, server: str) -> "subprocess.Popen[bytes]":
        script = self.python.with_name(f"swift-{server}-server")
        launch = [str(self.python), str(SWIFT_FOLDER / "launch.py"), str(os.getpid())]
        # Output to a file, not a pipe: a full pipe stops a daemon, and an open one keeps its reader waiting at the end.
        # Of the environment only PATH: these daemons need no credentials and no proxies.
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SWIFT_FOLDER), "EVENTLET_NO_GREENDNS": "yes"}
        with self._log(server).open("ab") as log:
            return subprocess.Popen(
                [*launch, str(script), str(self.configuration.file(server))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def _wait_for(self, server: str) -> None:
        url = f"http://127.0.0.1:{self.configuration.ports[server]}/healthcheck"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through an http_proxy
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.daemons[server].poll() is None:
            try:
                direct.open(url, timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise SoraError(
            f"Swift's {server} server did not start.",
            where=self._log(server),
            got=f"exit code {self.daemons[server].poll()}, log: {self._log(server).read_text()[-2000:]}",
            expected=f"an answer at {url} within {START_LIMIT_S:.0f} s",
            cure="read the log; free the port or the disk it names, then start again",
        )


def _free_ports() -> list[int]:
    candidates = random.SystemRandom().sample(PORT_RANGE, 200)  # the tests seed `random`; two runs must differ
    free = [port for port in candidates if _is_free(port)][: len(SERVERS)]
    if len(free) < len(SERVERS):
        raise SoraError(
            "No free ports for the S3 server.", where="127.0.0.1", expected=f"{len(SERVERS)} in {PORT_RANGE}"
        )
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _check_xattrs(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.sora", b"1")
    except OSError as e:
        raise SoraError(
            "The S3 server cannot keep its data here.",
            where=folder,
            got=e,
            expected="a file system with user xattrs: ext4, xfs, btrfs, or tmpfs since Linux 6.6",
            cure="set TMPDIR to a folder on such a file system",
        ) from e


def main() -> None:
    """Run one server until Ctrl-C."""
    with S3Server() as server:
        uri = server.make_bucket("sora")
        print("\n".join(f"export {name}={value}" for name, value in server.env.items()))
        print(f"# a bucket to use: {uri}   data and logs: {server.folder}   Ctrl-C ends the server", flush=True)
        try:
            while all(daemon.poll() is None for daemon in server.daemons.values()):
                time.sleep(1)
            sys.exit(f"a daemon ended; its log is in {server.folder / 'logs'}")
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
