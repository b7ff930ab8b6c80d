"""The arguments of a search that a result does not report otherwise.

They are kept as they were given, so that the call can be written down again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxtune.space import Space


class UserChoices(NamedTuple):
    """The choices of the user; ``None`` where jaxtune chooses.

    Args:
      block: lanes in a block.
      programs: largest number of programs for padded shapes.
      rewrite: whether operations may be put into other forms.
      folds: number of folds; ``None`` without folds, and where they are the user's own.
    """

    block: int | None = None
    programs: int | None = None
    rewrite: bool = True
    folds: int | None = None


class NamedPart:
    """A stand-in for a part of the user's own, of which only the name is known.

    Args:
      part: what it stands for.
    """

    def __init__(self, part: Any) -> None:
        self.__module__ = getattr(part, "__module__", "")
        self.__qualname__ = getattr(part, "__qualname__", type(part).__qualname__)


class Given(NamedTuple):
    """The parts of a search, as they were given.

    Args:
      sampler: its recipe, or the first function of one of the user's own.
      refine: as ``sampler``.
      scheduler: as ``sampler``; ``None`` where all trials train in full.
      stages: the rounds, see `jaxtune.Stage`.
      start: the box in which the search starts; ``None`` for the whole space.
      first: known settings, which are the first trials.
      earlier: number of earlier searches that the sampler learns from.
      choices: what jaxtune chooses if it is not given.
      about: the task in words, see `about_task`; empty in runs of earlier versions.
      versions: of Python and the packages that computed it.
    """

    sampler: Any = None
    refine: Any = None
    scheduler: Any = None
    stages: tuple[Any, ...] = ()
    start: Space | None = None
    first: tuple[dict[str, Any], ...] = ()
    earlier: int = 0
    choices: UserChoices = UserChoices()
    about: Mapping[str, str] = {}
    versions: Mapping[str, str] = {}

    def with_names(self, holds: Callable[[Any], bool]) -> Given:
        """Return these with the names of those parts that something cannot hold.

        Args:
          holds: whether it can hold a part.
        """

        def held(part: Any) -> Any:
            return part if holds(part) else NamedPart(part)

        return self._replace(
            sampler=held(self.sampler),
            refine=held(self.refine),
            scheduler=held(self.scheduler),
        )
