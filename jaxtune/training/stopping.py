"""The end of a search before its time: said after a block, kept to by the runner.

A block that is committed after the word was said is dropped, unless the word may depend
on the clock. So what a search has when it stops is a function of the blocks up to then,
and not of how many were in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtune.signals import asked_to_end

INTERRUPTED = "interrupted by Ctrl-C"


class Stopped(Exception):
    """Another block would be needed, and the search is to stop."""


class Stopping:
    """The reason to stop, once there is one; mutable, for one search.

    `result_of` makes of an open round what is judged; each round sets it.

    Args:
      judge: ``what there is so far -> reason``, empty to go on; ``None`` never stops.
      drains: whether blocks in flight are kept.
      keeps: whether an interruption by Ctrl-C ends the search with what there is.
    """

    def __init__(
        self,
        judge: Callable[[Any], str] | None = None,
        drains: bool = False,
        keeps: bool = False,
    ):
        self._judge, self.drains, self.keeps = judge, drains, keeps
        self.reason = ""
        self.result_of: Callable[[Any], Any] = lambda training: training

    def look_inside(self, so_far: Callable[[], Any]) -> None:
        """Ask for a reason to stop within a round, whose training ``so_far`` makes."""
        self.look(lambda: self.result_of(so_far()))

    def look(self, so_far: Callable[[], Any]) -> None:
        """Ask for a reason to stop, unless there is one already.

        Args:
          so_far: makes what is judged.
        """
        if self._judge is not None and not self.reason:
            self.reason = self._judge(so_far())

    def end(self, ended: BaseException) -> None:
        """Take note of what ended a round; raise it if its trials are not to be kept.

        Args:
          ended: `Stopped`, or an interruption.
        """
        if isinstance(ended, Stopped):
            return
        # pressed again while the first one was attended to, or told to end the process
        again = isinstance(ended.__context__, KeyboardInterrupt) or asked_to_end()
        if again or not self.keeps or not isinstance(ended, KeyboardInterrupt):
            raise ended
        self.reason = INTERRUPTED

    @property
    def drops(self) -> bool:
        """True if blocks that have not been committed are dropped."""
        return bool(self.reason) and not self.drains
