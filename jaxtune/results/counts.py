"""The trials of a search by what became of them: one count for all that tells of it."""

from __future__ import annotations

from typing import NamedTuple

from jaxtune.results.trials import Trials

ALWAYS = ("ok", "failed")  # are told also where there are none


class Counts(NamedTuple):
    """The trials of a search by what became of them; prints as a phrase.

    Whatever tells how far a search is prints this: the progress, ``jaxtune show``, the
    page, and the result itself. `done` and the last two add up to ``asked``.

    >>> import jax, jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["x"],
    ...     jt.Space(x=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=8,
    ...     mode="min",
    ...     verbose=0,
    ... )
    >>> result.counts
    Counts(asked=8, ok=8, stopped=0, failed=0, running=0, waiting=0)
    >>> print(result.counts)
    8 of 8 trials done: 8 ok, 0 failed

    Args:
      asked: trials of the whole search.
      ok: trained to its end: in full, or at its own pace.
      stopped: stopped early by the scheduler.
      failed: without a score, because they diverged or crashed.
      running: begun and not done; of a search that was interrupted, when it was.
      waiting: not begun, also those of rounds to come.
    """

    asked: int
    ok: int
    stopped: int
    failed: int
    running: int
    waiting: int

    @property
    def done(self) -> int:
        """Trials that nothing more becomes of: ok, stopped or failed."""
        return self.ok + self.stopped + self.failed

    @property
    def named(self) -> dict[str, int]:
        """Every count but ``asked`` by its name, in the order of the phrase."""
        return {name: getattr(self, name) for name in self._fields[1:]}

    def __str__(self) -> str:
        told = [f"{n} {name}" for name, n in self.named.items() if n or name in ALWAYS]
        return f"{self.done} of {self.asked} trials done: {', '.join(told)}"


def counts_of(trials: Trials, asked: int) -> Counts:
    """Count the trials of a table.

    Args:
      trials: the table; it may end with a round that is open.
      asked: trials of the whole search.
    """
    status = trials["status"].astype(str)
    ok, stopped, running = (
        int((status == word).sum()) for word in ("ok", "stopped", "running")
    )
    failed = int(trials.failed.sum())
    # the table has no rows yet for the trials of rounds to come
    waiting = asked - ok - stopped - failed - running
    return Counts(asked, ok, stopped, failed, running, waiting)
