"""A page in headless Chromium, over the DevTools protocol on two pipes: what it logs, holds, weighs and looks like.

No driver and no port: the protocol is JSON, a NUL after each message, on file descriptors 3 and 4 of the browser.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import SoraError

LIMIT_S = 120.0
# The page under test is ours and local; Chromium's own sandbox needs rights that containers do not have.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def chromium() -> str:
    """The browser's path.

    Raises:
        SoraError: there is none; the message has the command that installs it.
    """
    found = shutil.which("chromium")
    if found is None:
        raise SoraError("Chromium is not installed.", where="PATH", cure="apt-get install -y chromium")
    return found


# Moves the pipes to descriptors 3 and 4, whatever theirs are, and becomes the browser.
_LAUNCH = """
import fcntl, os, sys
r, w = (fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 10) for fd in sys.argv[1:3])
os.dup2(r, 3)
os.dup2(w, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page; `messages` holds every warning, error and exception that it logged since it was opened."""

    def __init__(self, to_browser: BinaryIO, from_browser: BinaryIO):
        self._to, self._from = to_browser, from_browser
        self._session: str | None = None
        self._number = 0
        self._seen: list[dict[str, Any]] = []
        self.messages: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def look(self, *, width: int, dark: bool, height: int = 900) -> None:
        """Show pages in a window of this many CSS pixels, in a light or dark scheme."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, uri: str) -> float:
        """Open a page; returns the seconds until its load event, as the page itself measures them."""
        self._seen.clear()
        self.messages.clear()
        self._call("Page.navigate", url=uri)
        self._wait("Page.loadEventFired")
        return float(self.value("performance.timing.loadEventStart - performance.timing.navigationStart")) / 1000

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives in the page, as JSON."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def move_to(self, x: float, y: float) -> None:
        """Move the mouse over the page, in pixels of the window."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def requests(self) -> list[str]:
        """The addresses that were asked for since the page was opened, without those that are data."""
        sent = [
            event["params"]["request"]["url"] for event in self._seen if event["method"].endswith("requestWillBeSent")
        ]
        return [url for url in sent if not url.startswith("data:")]

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        answer = self._call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _wait(self, method: str) -> None:
        until_s = time.monotonic() + LIMIT_S
        while not any(event["method"] == method for event in self._seen):
            assert time.monotonic() < until_s, f"no {method} within {LIMIT_S} s"
            self._next()

    def _next(self) -> dict[str, Any]:
        """The next answer or event; events are kept, and what they log is noted."""
        data = bytearray()
        while not data.endswith(b"\0"):
            byte = self._from.read(1)
            assert byte, "Chromium has ended"
            data += byte
        message: dict[str, Any] = json.loads(data[:-1])
        if "method" in message:
            self._seen.append(message)
            self.messages += _logged(message["method"], message["params"])
        return message


def _logged(method: str, params: dict[str, Any]) -> list[str]:
    if method == "Runtime.exceptionThrown":
        return [json.dumps(params["exceptionDetails"])]
    if method == "Log.entryAdded" and params["entry"]["level"] in ("warning", "error"):
        return [f"{params['entry']['source']}: {params['entry']['text']}"]
    if method == "Runtime.consoleAPICalled" and params["type"] in ("warning", "error", "assert"):
        return [json.dumps(params["args"])]
    return []


@contextmanager
def tab() -> Iterator[Tab]:
    """A fresh browser with one page; both end with the block."""
    with tempfile.TemporaryDirectory(prefix="sora-chromium-", ignore_cleanup_errors=True) as profile:
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        words = [chromium(), *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        launch = [sys.executable, "-c", _LAUNCH, str(to_read), str(from_write), *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        browser = subprocess.Popen(launch, pass_fds=(to_read, from_write), **quiet)
        os.close(to_read)
        os.close(from_write)
        with open(to_write, "wb") as to_browser, open(from_read, "rb") as from_browser:
            try:
                yield Tab(to_browser, from_browser)
            finally:
                browser.terminate()
                browser.wait(timeout=30)
