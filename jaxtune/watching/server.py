"""The server of the live page: on this machine alone, and only to who has its address.

It listens on the loopback, and answers GET for a handful of paths below a random one.
So neither another machine, nor another user, nor a page of the web reads the run: a
name of that page's own that leads here (DNS rebinding) is another host than ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socketserver
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from jaxtune.checks import RunError
from jaxtune.printing import printable
from jaxtune.report import html
from jaxtune.storage.read import load
from jaxtune.watching.follower import FILES, RunFollower, time_of

HOST = "127.0.0.1"
HEARTBEAT = 15.0  # seconds; a viewer who has left is noticed when something is written
SLOWEST = 30.0  # seconds that a viewer may take to ask, or to read
PLAIN, PAGE = "text/plain; charset=utf-8", "text/html; charset=utf-8"
ASSETS = {
    "watch.js": ("jaxtune.watching", "text/javascript; charset=utf-8"),
    "watch.css": ("jaxtune.watching", "text/css; charset=utf-8"),
    "page.css": ("jaxtune.report", "text/css; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LIVE = POLICY.format(script="'self'", style="'self'")


class Server(ThreadingHTTPServer):
    """Serves the live page of a run, a thread for each viewer.

    Args:
      follower: reads the run.
      port: to listen on; 0 for any free one.

    Raises:
      OSError: the port is taken, or needs other rights.
    """

    daemon_threads = True

    def __init__(self, follower: RunFollower, port: int):
        self.follower, self.key = follower, secrets.token_urlsafe(12)
        self.report = FullReport(follower)
        super().__init__((HOST, port), Handler)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which a browser on this machine may call the server."""
        return tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{self.hosts[0]}/{self.key}/"

    def server_bind(self) -> None:
        """Bind, and ask no name server for the name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of viewers who have left."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class FullReport:
    """The full report, made when it is asked for and the run has changed.

    Args:
      follower: of the run.
    """

    def __init__(self, follower: RunFollower):
        self._directory = follower.directory
        # one at a time: matplotlib has settings of the whole process
        self._lock = threading.Lock()
        self._mark: list[Any] = []
        self._page = ""

    def page(self) -> str:
        """Return the page.

        Raises:
          RunError: a run without trials, or one that cannot be read.
        """
        with self._lock:
            mark = [time_of(self._directory / name) for name in FILES]
            if mark != self._mark:
                self._page = html.page(load(self._directory))
                self._mark = mark
            return self._page


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    timeout = SLOWEST
    error_content_type = PLAIN
    error_message_format = "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """Answer what a browser asks for."""
        if self.headers.get("Host") not in self.server.hosts:
            self._answer(421, PLAIN, "This server has another address.\n")
            return
        key, _, name = self.path.removeprefix("/").partition("/")
        answer = self._answers().get(name)
        if answer is None or not hmac.compare_digest(
            key.encode(), self.server.key.encode()
        ):
            self._answer(404, PLAIN, "There is no such page.\n")
            return
        answer()

    def _answers(self) -> dict[str, Callable[[], None]]:
        assets = {name: partial(self._asset, name) for name in ASSETS}
        return {"": self._page, "events": self._events, "report": self._report} | assets

    def _page(self) -> None:
        self._answer(200, PAGE, _file("jaxtune.watching", "watch.html"), LIVE)

    def _asset(self, name: str) -> None:
        package, kind = ASSETS[name]
        self._answer(200, kind, _file(package, name))

    def _report(self) -> None:
        try:
            page = self.server.report.page()
        except (RunError, ModuleNotFoundError) as error:
            self._answer(503, PLAIN, f"{printable(str(error))}\n")
            return
        except Exception as error:  # whatever it is, a viewer hears of it
            what = printable(" ".join(f"{type(error).__name__}: {error}".split()))
            self._answer(503, PLAIN, f"The report could not be made: {what}\n")
            return
        script = hashlib.sha256(html.page_script().encode()).digest()
        known = f"'sha256-{base64.b64encode(script).decode()}'"
        # the pictures of the report have attributes of style
        policy = POLICY.format(script=known, style="'unsafe-inline'")
        self._answer(200, PAGE, page, policy)

    def _events(self) -> None:
        """Send what there is to show, and again whenever that has changed."""
        follower, version = self.server.follower, 0
        self._begin(200, "text/event-stream; charset=utf-8")
        with follower.watched():
            while not follower.closed:
                message = ":\n\n"  # a comment
                if (found := follower.after(version, HEARTBEAT)) is not None:
                    version, message = found[0], f"data: {found[1]}\n\n"
                if not follower.closed:
                    self.wfile.write(message.encode())

    def _answer(self, code: int, kind: str, text: str, policy: str = "") -> None:
        content = text.encode()
        self._begin(code, kind, policy, {"Content-Length": str(len(content))})
        self.wfile.write(content)

    def _begin(
        self, code: int, kind: str, policy: str = "", more: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        policy = policy or POLICY.format(script="'none'", style="'none'")
        headers = {"Content-Type": kind, "Content-Security-Policy": policy}
        for name, value in (headers | HEADERS | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        """Return the name of the server, and not the versions of what it is made of."""
        return "jaxtune"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: an address holds the key."""


def _file(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text("utf-8")
