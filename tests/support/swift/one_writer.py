"""WSGI filter: conditional writes of one object go one at a time. Runs inside Swift's proxy.

Swift looks whether the object exists, reads the body, then writes: two PUTs with `If-None-Match: *` that arrive
together both answer 200 (8 racing writers: 36 of 40 keys had more than one winner). S3 promises one winner, and the
commit of a table stands on that promise. One proxy process is the only door, so a lock here gives what S3 gives.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from eventlet.semaphore import Semaphore

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class OneWriter:
    """Let one conditional write per path into the application; the rest wait for its answer."""

    def __init__(self, app: App):
        self.app = app
        self.locks: defaultdict[str, Semaphore] = defaultdict(Semaphore)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on, under the lock of its path where it is conditional."""
        if not (environ["REQUEST_METHOD"] in ("PUT", "POST") and "HTTP_IF_NONE_MATCH" in environ):
            return self.app(environ, start_response)
        with self.locks[environ["PATH_INFO"]]:
            return list(self.app(environ, start_response))  # to the end: the object is written while the answer is read


def filter_factory(*_global_conf: object, **_conf: object) -> Callable[[App], OneWriter]:
    """Paste's entry point."""
    return OneWriter
