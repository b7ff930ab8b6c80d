"""Watch a run in a browser, while its search runs in this or another process."""

from __future__ import annotations

import errno
import os
import threading
import webbrowser
from typing import Any

from jaxtune.door import FLAG, guarded, whole
from jaxtune.storage.directory import check_directory
from jaxtune.watching.follower import RunFollower
from jaxtune.watching.server import Server

LAST_PORT = 65535


class Watch:
    """The live page of a run, served until it is closed; use it in ``with``.

    Attributes:
      url: the address of the page, for browsers on this machine.
    """

    def __init__(self, follower: RunFollower, server: Server):
        self.url: str = server.url
        self._follower, self._server = follower, server
        self._thread = threading.Thread(target=server.serve_forever, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until Ctrl-C, or until another thread closes it."""
        self._thread.join()

    def close(self) -> None:
        """End the server, and the streams of all viewers."""
        self._server.shutdown()
        self._server.server_close()
        self._follower.close()
        self._thread.join()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Watch({self.url!r})"


@guarded(port=whole(0, LAST_PORT), open_browser=FLAG)
def watch(
    directory: str | os.PathLike[str], *, port: int = 0, open_browser: bool = False
) -> Watch:
    """Serve a page that shows a run, and changes as the run does.

    It shows the state of the search, the best trials, the boxes of the rounds, the
    scores, the front of several goals, and leads to the full report. The run need not
    have begun, and may be killed and resumed meanwhile. The page is for browsers on
    this machine: it is served on 127.0.0.1, below a random path.

    >>> import tempfile, jaxtune as jt
    >>> with jt.watch(tempfile.mkdtemp()) as page:
    ...     page.url.startswith("http://127.0.0.1:")
    True

    Args:
      directory: the run directory.
      port: to listen on; 0 for any free one.
      open_browser: whether to open the page in the browser.

    Returns:
      The page: its address is ``url``. It is served until it is closed; in this
      process, so a search beside it has a little less time than with ``jaxtune watch``.

    Raises:
      ValueError: a directory that is no path, or a port that is taken.
    """
    follower = RunFollower(check_directory(directory))
    try:
        server = Server(follower, port)
    except OSError as error:
        follower.close()
        raise ValueError(
            f"watch: port {port} cannot be used ({_why(error)}). Use port 0, for any "
            "free one."
        ) from error
    page = Watch(follower, server)
    if open_browser:
        webbrowser.open(page.url)
    return page


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program listens on it"
    return error.strerror or str(error)
