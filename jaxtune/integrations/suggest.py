"""An Optuna objective as a space and a function that JAX can trace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from jaxtune.door import FUNCTION, SOME_NAMES, guarded
from jaxtune.integrations.branches import discover
from jaxtune.integrations.trial import Replayer
from jaxtune.space import Space
from jaxtune.types import Array, Key

STATIC = SOME_NAMES._replace(way_out="Use names such as ['layers'].")


class Suggested(NamedTuple):
    """A space and an objective for `jaxtune.search`.

    Args:
      space: the suggestions of the objective.
      objective: ``(key, hparams) -> value``; the key is not used.
    """

    space: Space
    objective: Callable[[Key, Mapping[str, Any]], Array]


@guarded(objective=FUNCTION, static=STATIC)
def from_optuna_objective(
    objective: Callable[[Any], Any], static: Collection[str] = ()
) -> Suggested:
    """Turn an objective that was written for Optuna into a space and a JAX function.

    The objective is traced, not run, so what it computes from the suggestions must be
    JAX. It is traced once for each combination of categorical and static values (up to
    some hundred), to find suggestions that are made for some of them only: these become
    conditional, see `jaxtune.when`. ``trial.report`` and ``trial.should_prune`` are
    allowed and do nothing.

    Args:
      objective: ``trial -> value``, which calls ``suggest_float``, ``suggest_int`` and
        ``suggest_categorical``; the study's direction becomes ``mode``.
      static: names of numbers that set shapes or lengths of loops, such as the number
        of layers: a program is compiled for each of their values. Whole numbers that
        the objective uses so are found by trying. Categorical suggestions are always
        static.

    Returns:
      A space and an objective: ``jt.search(found.objective, found.space, ...)``.

    Raises:
      ValueError: one name suggested with two different ranges, or no suggestion.
      JAXTypeError: an objective that leaves JAX; a note says what to do.

    >>> import jax, jaxtune as jt
    >>> def objective(trial):
    ...     x = trial.suggest_float("x", -1.0, 1.0)
    ...     if trial.suggest_categorical("kind", ["plain", "shifted"]) == "shifted":
    ...         x = x - trial.suggest_float("shift", 0.0, 0.5)
    ...     return x**2
    >>> found = jt.integrations.from_optuna_objective(objective)
    >>> found.space["shift"].condition
    (('kind', ('shifted',)),)
    >>> key = jax.random.key(0)
    >>> arguments = {"key": key, "trials": 16, "mode": "min", "verbose": 0}
    >>> result = jt.search(found.objective, found.space, **arguments)
    >>> len(result.trials)
    16
    """
    seen = discover(objective, frozenset(static))
    if not seen.dimensions:
        raise ValueError("from_optuna_objective: the objective suggests nothing.")
    unknown = sorted(set(static) - set(seen.dimensions))
    if unknown:
        raise ValueError(
            f"from_optuna_objective: static has {unknown[0]!r}, which the objective "
            f"does not suggest. It suggests {', '.join(seen.dimensions)}."
        )

    def traced(key: Key, hparams: Mapping[str, Any]) -> Array:
        del key
        return objective(Replayer(hparams))

    return Suggested(seen.space(), traced)
