"""Requirements between hyperparameters, as functions of one configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtune.space import Space
from jaxtune.types import HparamArrays


class NameOfFunction(NamedTuple):
    """The name of a function, in place of one that is not at hand.

    Args:
      name: of the function.
    """

    name: str


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A requirement that every trial meets, see `require`.

    Args:
      function: ``hparams -> bool``.
    """

    function: Callable[[dict[str, Any]], Any]

    @property
    def name(self) -> str:
        """The name of the function."""
        kind = type(self.function).__name__
        # a run that was loaded has a stand-in with a name of its own
        usual = getattr(self.function, "name", kind)
        return str(getattr(self.function, "__name__", usual))

    @property
    def named(self) -> Requirement:
        """The requirement without its function, which cannot be asked any more."""
        return Requirement(NameOfFunction(self.name))  # type: ignore[arg-type]

    def meets(self, hparams: Mapping[str, Any]) -> bool:
        """Return whether one configuration, a dict of plain values, meets it."""
        return _asked(self.function, dict(hparams))

    def __repr__(self) -> str:
        return f"require({self.name})"


def require(function: Callable[[dict[str, Any]], Any]) -> Requirement:
    """Require something of the hyperparameters of a trial: no other trials are tried.

    The points of a sampler that do not meet it are drawn again, so the others are as
    likely as before. Whatever a sampler does, trial i depends on the key and i alone,
    and for a sampler that learns on the trials before it.

    >>> import jax, jaxtune as jt
    >>> result = jt.search(
    ...     lambda key, h: h["b"] - h["a"],
    ...     jt.Space(a=jt.uniform(0.0, 1.0), b=jt.uniform(0.0, 1.0)),
    ...     key=jax.random.key(0),
    ...     trials=64,
    ...     mode="min",
    ...     constraints=jt.require(lambda h: h["a"] < h["b"]),
    ... )
    >>> bool((result.trials["a"] < result.trials["b"]).all())
    True

    Args:
      function: takes a dict of plain Python values, as `Space.values` returns them, of
        all hyperparameters; one whose condition does not hold has its default. It
        returns true for what is allowed. It is called on the host, outside of JAX.

    Returns:
      A requirement, for ``jt.search(constraints=...)``.

    Raises:
      ValueError: what is no function.
    """
    if not callable(function):
        raise ValueError(
            f"require: got {function!r}. Use a function of the hyperparameters, such "
            'as lambda h: h["a"] < h["b"].'
        )
    return Requirement(function)


def meets(
    rules: Sequence[Requirement], space: Space, hparams: HparamArrays
) -> np.ndarray:
    """Return which configurations meet all requirements.

    Args:
      rules: the requirements.
      space: the space.
      hparams: name to ``[n]`` array, from `Space.decode`.

    Returns:
      ``[n]`` bool.

    Raises:
      ValueError: a function that reads what the space lacks, or returns no bool.
    """
    columns = {name: _values(space, name, hparams[name]) for name in space.names}
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    return np.asarray([all(rule.meets(row) for rule in rules) for row in rows], bool)


def _values(space: Space, name: str, values: Any) -> list[Any]:
    dimension = space[name]
    if not dimension.searched:
        return [dimension.default] * len(values)
    return [dimension.value(value) for value in np.asarray(values)]


def _asked(function: Callable[..., Any], row: dict[str, Any]) -> bool:
    try:
        answer = function(dict(row))
    except KeyError as error:
        if error.args and error.args[0] not in row:
            raise ValueError(
                f"require: the function reads {error.args[0]!r}, and the space has "
                f"{', '.join(row)}."
            ) from error
        raise
    except Exception as error:
        error.add_note(f"jaxtune: raised by the function of require(...) for {row}.")
        raise
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    # a JAX or NumPy array of one bool, from jnp.logical_and and the like
    if getattr(answer, "shape", None) == () and answer.dtype == bool:
        return bool(answer)
    raise ValueError(
        f"require: the function returned {answer!r} for {row}. Return True or False."
    )
