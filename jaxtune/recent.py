"""What is kept for the last few tasks and spaces, and released with them.

JAX keeps a compiled program as long as the function that was jitted, and in some places
the structure of its arguments for ever. So a function of ours that is jitted once would
keep the programs of every task that the process searched, with the user's functions and
all that these close over: 14 MB and two hundred memory maps a task, of which Linux
allows 65 530. Here a function is jitted anew for each task or space, and JAX gets its
arrays alone. Memories of what was traced are kept in the same way. What was used last
stays; a search with an older task compiles again, or loads from the folder of programs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import update_wrapper, wraps
from typing import Any, Generic, TypeVar

import jax

MOST = 16
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


class RecentJit(Recent[Any]):
    """A jitted function with programs for the last few owners, its first argument.

    Args:
      function: pure; its first argument is a pytree.
      options: of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        def jitted(structure: Any) -> Any:
            # a new function each time: JAX keeps programs by its identity
            @wraps(function)
            def own(leaves: list[Any], *args: Any, **kwargs: Any) -> Any:
                owner = jax.tree.unflatten(structure, leaves)
                return function(owner, *args, **kwargs)

            return jax.jit(own, **options)

        super().__init__(jitted)
        self._released = 0
        update_wrapper(self, function)

    def __call__(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the function, compiled for this structure of ``owner``."""
        leaves, structure = jax.tree.flatten(owner)
        return self._of(structure)(leaves, *args, **kwargs)

    def lower(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Lower it for these arguments, as `jax.jit` does."""
        leaves, structure = jax.tree.flatten(owner)
        return self._of(structure).lower(leaves, *args, **kwargs)

    def eval_shape(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the shapes of its results, as `jax.jit` does."""
        leaves, structure = jax.tree.flatten(owner)
        return self._of(structure).eval_shape(leaves, *args, **kwargs)

    def programs(self) -> int:
        """Return how many programs were compiled, of owners that are released too."""
        with self._lock:
            kept = sum(jitted._cache_size() for jitted in self._known.values())
            return self._released + kept

    def _let_go(self, kept: Any) -> None:
        self._released += kept._cache_size()


def recent_jit(**options: Any) -> Callable[[Callable[..., Any]], RecentJit]:
    """Return a decorator that makes a `RecentJit`, with these options of `jax.jit`.

    >>> import jax.numpy as jnp
    >>> @recent_jit(static_argnames="power")
    ... def summed(tree, power):
    ...     return sum(jnp.sum(leaf**power) for leaf in tree.values())
    >>> float(summed({"a": jnp.arange(3.0)}, power=2))
    5.0
    >>> summed.of({"a": 0}) is summed.of({"a": 1})
    True
    """
    return lambda function: RecentJit(function, **options)
