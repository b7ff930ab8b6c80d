"""Things that are kept for the last few tasks and spaces, and released with them.

JAX keeps a compiled program as long as the function that was jitted, and in some places
the structure of its arguments for ever. So a function of ours that is jitted once would
keep the programs of every task that the process searched, with the user's functions and
all that these close over: 14 MB and two hundred memory maps a task, of which Linux
allows 65 530. Here a function is jitted anew for each task or space, and JAX gets its
arrays alone. Memories of what was traced are kept in the same way. What was used last
stays; a search with an older task compiles again, or loads from the folder of programs.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import update_wrapper, wraps
from typing import Any, Generic, TypeVar

import jax

MOST = 8
"""Tasks, or spaces, that a process keeps something for."""

Kept = TypeVar("Kept")


class Recent(Generic[Kept]):
    """A value for each of the last few owners; equal owners share theirs.

    Args:
      make: returns the value of a new owner from its structure.
    """

    def __init__(self, make: Callable[[Any], Kept]):
        self._make = make
        self._known: OrderedDict[Any, Kept] = OrderedDict()
        self._lock = threading.Lock()  # blocks run in several threads
        _EVERY.add(self)

    def of(self, owner: Any) -> Kept:
        """Return the value of an owner.

        Args:
          owner: a pytree, such as a task. Its structure counts, hence the functions in
            it, and its data do not.
        """
        return self._of(jax.tree.structure(owner))

    def _of(self, structure: Any) -> Kept:
        with self._lock:
            if structure not in self._known:
                self._known[structure] = self._make(structure)
            self._known.move_to_end(structure)
            while len(self._known) > MOST:
                self._let_go(self._known.popitem(last=False)[1])
            return self._known[structure]

    def _let_go(self, kept: Kept) -> None:
        """Hear of a value that is released."""

    def forget(self, structure: Any) -> None:
        """Release the value of an owner of this structure."""
        with self._lock:
            if structure in self._known:
                self._let_go(self._known.pop(structure))


_EVERY: weakref.WeakSet[Recent] = weakref.WeakSet()


def forget(owner: Any) -> None:
    """Release all that is kept for an owner, whose functions have changed since."""
    structure = jax.tree.structure(owner)
    for each in list(_EVERY):
        each.forget(structure)


class RecentJit(Recent[dict[tuple[Any, ...], Any]]):
    """A jitted function with programs for the last few owners, its first argument.

    Args:
      function: pure; its first argument is a pytree.
      static: names of its last arguments, which are hashable and no arrays. JAX has
        static arguments too, and keeps them for ever.
      options: of `jax.jit`.
    """

    def __init__(
        self, function: Callable[..., Any], static: Sequence[str] = (), **options: Any
    ):
        super().__init__(lambda _: {})
        self._function, self._options = function, options
        parameters = list(inspect.signature(function).parameters.values())
        self._traced = len(parameters) - len(static)
        self._static = tuple(each.name for each in parameters[self._traced :])
        assert set(self._static) == set(static), "static arguments come last"
        self._signature = inspect.Signature(parameters[: self._traced])
        self._released = 0
        update_wrapper(self, function)

    def __call__(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the function, compiled for this structure of ``owner``."""
        jitted, arrays, named = self._at(owner, args, kwargs)
        return jitted(*arrays, **named)

    def lower(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Lower it for these arguments, as `jax.jit` does."""
        jitted, arrays, named = self._at(owner, args, kwargs)
        return jitted.lower(*arrays, **named)

    def eval_shape(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the shapes of its results, as `jax.jit` does."""
        jitted, arrays, named = self._at(owner, args, kwargs)
        return jitted.eval_shape(*arrays, **named)

    def programs(self) -> int:
        """Return how many programs were compiled, of owners that are released too."""
        with self._lock:
            return self._released + sum(map(_programs, self._known.values()))

    def _let_go(self, kept: dict[tuple[Any, ...], Any]) -> None:
        self._released += _programs(kept)

    def _at(
        self, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, list[Any], dict[str, Any]]:
        """Return the jitted function for these arguments, and what it takes of them."""
        leaves, structure = jax.tree.flatten(owner)
        given = args[self._traced - 1 :]
        static = dict(zip(self._static, given, strict=False))
        static |= {name: kwargs[name] for name in self._static if name in kwargs}
        named = {name: kwargs[name] for name in kwargs if name not in static}
        known, values = self._of(structure), tuple(static.items())
        with self._lock:
            if values not in known:
                known[values] = self._jitted(structure, static)
            return known[values], [leaves, *args[: self._traced - 1]], named

    def _jitted(self, structure: Any, static: dict[str, Any]) -> Any:
        function = self._function

        # a new function each time: JAX keeps programs by its identity
        @wraps(function)
        def own(leaves: list[Any], *args: Any, **kwargs: Any) -> Any:
            owner = jax.tree.unflatten(structure, leaves)
            return function(owner, *args, **kwargs, **static)

        own.__signature__ = self._signature  # type: ignore[attr-defined]
        return jax.jit(own, **self._options)


def _programs(kept: dict[tuple[Any, ...], Any]) -> int:
    return sum(jitted._cache_size() for jitted in kept.values())


def recent_jit(
    static: Sequence[str] = (), **options: Any
) -> Callable[[Callable[..., Any]], RecentJit]:
    """Return a decorator that makes a `RecentJit`.

    >>> import jax.numpy as jnp
    >>> @recent_jit(static=["power"])
    ... def summed(tree, power):
    ...     return sum(jnp.sum(leaf**power) for leaf in tree.values())
    >>> float(summed({"a": jnp.arange(3.0)}, power=2))
    5.0
    >>> summed.of({"a": 0}) is summed.of({"a": 1})
    True
    """
    return lambda function: RecentJit(function, static, **options)
