"""The roles of hyperparameters in a study (Godbole et al., 2023, the tuning playbook).

Of the scientific ones the effect is to be measured, the nuisance ones are tuned for
each of their values, and the fixed ones keep one value.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtune.rounds.known import value_in
from jaxtune.rounds.schedule import Schedule, Stage
from jaxtune.space import Dimension, Space, at_default, ordinal, with_default_inside
from jaxtune.space.conditions import ancestors
from jaxtune.space.restriction import restricted

REPEATS = 10  # at least, if none are given
COLUMNS = ("trials", "failed", "tuned", "mean", "difference", "p", "trial")
GRID = 5  # values of a range that lists none
MOST = 25  # combinations: of more no two can be told apart with 14 settings


def space_of_study(
    space: Space, scientific: Any, nuisance: Any = None, fixed: Any = None
) -> tuple[Space, tuple[str, ...]]:
    """Return the space of a study, and the names of its scientific hyperparameters.

    >>> import jaxtune as jt
    >>> from jaxtune.rounds.roles import space_of_study
    >>> space = jt.Space(
    ...     rate=jt.log_uniform(1e-4, 1.0),
    ...     units=jt.integer(8, 128),
    ...     layers=jt.integer(1, 3),
    ... )
    >>> made, names = space_of_study(space, {"units": [8, 64]}, fixed={"layers": 2})
    >>> made["units"].members, made.searched, made.bounds["layers"]
    ((8, 64), ('rate', 'units'), (2, 2))

    Args:
      space: of the user.
      scientific: names, or a dict from names to lists of values.
      nuisance: names; all others if ``None``.
      fixed: a dict from names to values, or names, which keep their defaults.

    Raises:
      ValueError: a name or value that the space does not have, a name in two roles or
        in none, nothing to tune, or too many combinations.
    """
    taken = [name for name in space.names if name in COLUMNS]
    if taken:
        raise ValueError(
            f"space: {taken[0]!r} is a column of the table of a study. Rename it."
        )
    wanted = _named("scientific", scientific, values=True)
    kept = {} if fixed is None else _named("fixed", fixed, values=True)
    given = None if nuisance is None else _named("nuisance", nuisance)
    _check_roles(space, wanted, given, kept)
    changed = {}
    for name, value in kept.items():
        dim = with_default_inside(space[name])
        value = dim.default if value is None else _value("fixed", name, dim, value)
        # its value is its default, by which a fixed dimension is shown and printed
        changed[name] = at_default(dataclasses.replace(dim, default=value))
    _check_conditions(space, wanted, kept)
    _check_beliefs(space, wanted)
    lost = {name for name in space.searched if _ruled_out(space, changed, name)}
    _check_matters(space, wanted, lost)
    for name in lost - set(kept):  # there is nothing to tune
        changed[name] = at_default(with_default_inside(space[name]))
    for name, values in wanted.items():
        changed[name] = _listed(name, space[name], values)
    made = space.replace(**changed)
    if set(made.searched) <= set(wanted):
        raise ValueError(
            "nuisance: nothing is left to tune for each value. Leave a dimension such "
            "as the learning rate in it, or compare the settings by "
            "jaxtune.search(..., sampler='grid', seeds=10)."
        )
    sizes = {name: int(made[name].cardinality) for name in wanted}
    if math.prod(sizes.values()) > MOST:
        shown = " times ".join(f"{size} of {name}" for name, size in sizes.items())
        raise ValueError(
            f"scientific: {shown} are {math.prod(sizes.values())} combinations, and "
            f"{MOST} is the most. Compare fewer values, as in {{{name!r}: [...]}}."
        )
    return made, tuple(wanted)


def schedule_of_study(
    space: Space, names: Sequence[str], trials: int, repeats: int
) -> Schedule:
    """Return the rounds of a study: the tuning, and the best of each value again.

    Args:
      space: from `space_of_study`.
      names: scientific hyperparameters.
      trials: settings of the nuisances, tried with each combination.
      repeats: of the best of each combination.
    """
    names, count = tuple(names), math.prod(int(space[n].cardinality) for n in names)
    tuning = Stage(space.searched, trials * count, compares=names)
    again = Stage(space.searched, repeats * count, confirms=1, compares=names)
    return Schedule(space, (tuning, again))


def usual_repeats(space: Space, names: Sequence[str]) -> int:
    """Return the repeats of the best of each combination, if none are given.

    >>> import jaxtune as jt
    >>> from jaxtune.rounds.roles import usual_repeats
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), kind=jt.choice(["a", "b"]))
    >>> usual_repeats(space, ["kind"])
    10

    Args:
      space: from `space_of_study`.
      names: scientific hyperparameters.
    """
    count = math.prod(int(space[name].cardinality) for name in names)
    pairs = math.comb(count, 2)
    # all signs alike, in a paired test at 5 % that is adjusted for all pairs
    return max(REPEATS, 1 + math.ceil(math.log2(pairs / 0.05)))


def _named(role: str, given: Any, values: bool = False) -> dict[str, Any]:
    """Return name to what is said of it; ``None`` where only the name is given."""
    if values and isinstance(given, Mapping):
        found = dict(given)
    elif isinstance(given, Sequence | set | frozenset) and not isinstance(given, str):
        found = dict.fromkeys(given)
        if len(found) < len(given):
            raise ValueError(f"{role}: got {given!r}. List each name once.")
    else:
        also = ", or a dict from names to values" if values else ""
        raise ValueError(
            f"{role}: got {given!r}. Use a list of names of the space{also}."
        )
    unknown = [name for name in found if not isinstance(name, str)]
    if unknown:
        raise ValueError(f"{role}: got {unknown[0]!r}. Use names of the space.")
    return found


def _check_roles(
    space: Space,
    scientific: Mapping[str, Any],
    nuisance: Mapping[str, Any] | None,
    fixed: Mapping[str, Any],
) -> None:
    roles = {"scientific": scientific, "nuisance": nuisance or {}, "fixed": fixed}
    for role, names in roles.items():
        for name in names:
            if name not in space.names:
                raise ValueError(
                    f"{role}: there is no dimension {name!r}. This space has "
                    f"{', '.join(space.names)}."
                )
            if not space[name].searched:
                raise ValueError(
                    f"{role}: {name!r} is fixed at {space[name].default!r} in the "
                    "space. Leave it out, or give it a range."
                )
    of_name = {
        name: [role for role, names in roles.items() if name in names]
        for name in space.searched
    }
    twice = [name for name, own in of_name.items() if len(own) > 1]
    if twice:
        raise ValueError(
            f"study: {twice[0]!r} is both {' and '.join(of_name[twice[0]])}. Give it "
            "one role."
        )
    lost = [name for name, own in of_name.items() if not own]
    if nuisance is not None and lost:
        verb = "has" if len(lost) == 1 else "have"
        raise ValueError(
            f"study: {', '.join(lost)} of the space {verb} no role. Name all others in "
            "nuisance or fixed, or leave nuisance out: then it is all that is neither "
            "scientific nor fixed."
        )
    if not scientific:
        raise ValueError("scientific: no name. Say whose effect is to be measured.")


def _check_conditions(
    space: Space, scientific: Mapping[str, Any], fixed: Mapping[str, Any]
) -> None:
    """Raise ``ValueError`` for a scientific dimension that does not always matter."""
    dimensions = {name: space[name] for name in space.names}
    for name in scientific:
        parents = [
            parent
            for parent in ancestors(dimensions, name)
            if space[parent].searched and parent not in fixed
        ]
        if parents:
            raise ValueError(
                f"scientific: {name!r} matters for some values of {parents[0]!r} only, "
                f"so its values are not comparable. Fix it, as in "
                f"fixed={{{parents[0]!r}: ...}}."
            )


def _check_beliefs(space: Space, scientific: Iterable[str]) -> None:
    """Raise ``ValueError`` for a belief in what is tried at all its values alike."""
    for name in scientific:
        if space[name].prior is not None:
            raise ValueError(
                f"scientific: {name!r} has a belief, prior=..., and each of its values "
                "is tried as often as the others. Leave the belief out."
            )


def _check_matters(space: Space, scientific: Iterable[str], lost: Set[str]) -> None:
    """Raise ``ValueError`` for a scientific dimension that what is fixed rules out."""
    for name in scientific:
        if name in lost:
            rules = [
                f"{parent} is {' or '.join(map(repr, values))}"
                for parent, values in space[name].condition
            ]
            raise ValueError(
                f"scientific: {name!r} matters only where {' and '.join(rules)}, which "
                "what is fixed rules out: its values would all be the same. Fix other "
                "values."
            )


def _ruled_out(space: Space, fixed: Mapping[str, Dimension], name: str) -> bool:
    """Return whether a dimension does not matter with any value that is left."""
    for parent, values in space[name].condition:
        dim = fixed.get(parent, space[parent])
        if not dim.searched and with_default_inside(dim).default not in values:
            return True
        if _ruled_out(space, fixed, parent):
            return True
    return False


def _listed(name: str, dim: Dimension, values: Any) -> Dimension:
    """Return a dimension that has a list of values, those that are compared."""
    if values is None:
        values = dim.members if dim.cardinality <= GRID or dim.choices else _grid(dim)
    elif not isinstance(values, Sequence | np.ndarray) or isinstance(values, str):
        raise ValueError(
            f"scientific: {name!r} has {values!r}. Use a list of its values, or None."
        )
    found = list(dict.fromkeys(_value("scientific", name, dim, v) for v in values))
    if len(found) < 2:
        raise ValueError(
            f"scientific: {name!r} has one value, {found}. List two or more of them."
            if found
            else f"scientific: {name!r} has no values. List two or more of them."
        )
    if dim.allowed is not None:  # a choice keeps its list, whose places programs know
        return with_default_inside(restricted(dim, found))
    if not dim.choices:
        found.sort()
    usual = dim.default if dim.default in found else found[len(found) // 2]
    values = [value for value in dim.choices if value in found] or found
    return ordinal(values, default=usual, tier=dim.tier, static=dim.static)


def _grid(dim: Dimension) -> list[Any]:
    """Return values that are even on the scale of a range, both ends among them."""
    places = np.linspace(0.0, 1.0, GRID, dtype=np.float32)
    places = np.clip(places, 0.0, np.nextafter(np.float32(1), np.float32(0)))
    low, high = dim.bounds
    values = [dim.value(value) for value in np.asarray(dim.decode(jnp.asarray(places)))]
    if dim.kind == "continuous":  # as a person would write them
        values = [min(max(float(f"{value:.3g}"), low), high) for value in values]
    return [low, *values[1:-1], high]


def _value(role: str, name: str, dim: Dimension, value: Any) -> Any:
    try:
        return value_in(dim, value)
    except ValueError as error:
        raise ValueError(f"{role}: dimension {name!r}: {error}") from None
