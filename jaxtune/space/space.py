"""A space: named dimensions, and the map between its unit cube and hyperparameters."""

from __future__ import annotations

import dataclasses
import keyword
import math
from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.door import MAPPING, Argument, an, guarded, shown, whole
from jaxtune.environment import in_32_bits
from jaxtune.markup import html_table
from jaxtune.recent import recent_jit
from jaxtune.space import conditions
from jaxtune.space.belief import Near, stated, with_belief
from jaxtune.space.columns import as_numbers, check_hparams
from jaxtune.space.dimension import BELOW_ONE, Dimension
from jaxtune.space.makers import Invalid
from jaxtune.space.restriction import at_default, restricted
from jaxtune.types import Array, ArrayLike, HparamArrays

# columns of tables and of run directories that are not hyperparameters
RESERVED = (
    "trial",
    "round",
    "status",
    "score",
    "scores",
    "epochs",
    "points",
    "key",
    "seed",
)


HPARAMS = Argument(
    "a dict of arrays by name",
    lambda value: MAPPING.holds(value) and bool(value),
    "Use what space.decode(points) returns.",
)


@jax.tree_util.register_pytree_with_keys_class
class Space:
    """A search space: named dimensions in a fixed order.

    It maps points of the unit cube to hyperparameters and back. It is a pytree whose
    only leaves are the bounds and the masks of remaining choices, so a smaller box of a
    space compiles nothing new.

    >>> import jaxtune as jt
    >>> space = jt.Space(
    ...     learning_rate=jt.log_uniform(1e-4, 1.0, tier=1),
    ...     batch_size=jt.power_of_two(16, 256),
    ... )
    >>> space.dim, space.names
    (2, ('learning_rate', 'batch_size'))
    >>> hparams = space.decode([[0.5, 0.0], [0.75, 0.9]])
    >>> space.values(hparams, trial=0)
    {'learning_rate': 0.01, 'batch_size': 16}
    >>> space.encode(hparams).shape
    (2, 2)
    >>> space.restrict(learning_rate=(1e-3, 0.1)).bounds["learning_rate"]
    (0.001, 0.1)
    >>> space.keep("learning_rate").searched
    ('learning_rate',)

    Args:
      given: a dict of dimensions, in place of keywords.
      dimensions: name to `Dimension`, as keywords.

    Raises:
      ValueError: a name that is not an identifier or that jaxtune itself uses, a value
        that is not a dimension, or an invalid definition, with its name.
    """

    def __init__(
        self, given: Mapping[str, Dimension] | None = None, /, **dimensions: Dimension
    ) -> None:
        if given is not None:
            if not isinstance(given, Mapping) or dimensions:
                raise ValueError(
                    f"Space needs its dimensions as keywords, or one dict of them, got "
                    f"{given!r}. Use Space(x=uniform(0.0, 1.0))."
                )
            dimensions = dict(given)
        if not dimensions:
            raise ValueError("Space needs at least one dimension, got none.")
        for name, dimension in dimensions.items():
            _check_name(name)
            _check_dimension(name, dimension)
        self._dimensions = _with_conditions(dimensions, dimensions)

    def tree_flatten_with_keys(self) -> tuple[Any, tuple[Any, ...]]:
        """Return the dimensions as children; their names and numbers are static."""
        keys = map(jax.tree_util.GetAttrKey, self._dimensions)
        children = zip(keys, self._dimensions.values(), strict=True)
        # 1 and 1.0 are equal, but a program for the one is not a program for the other
        numbers = tuple(dim.dtype for dim in self._dimensions.values())
        return tuple(children), (tuple(self._dimensions), numbers)

    @classmethod
    def tree_unflatten(
        cls, static: tuple[Any, ...], dimensions: Iterable[Any]
    ) -> Space:
        """Rebuild a space without checks: while JAX traces, leaves are not numbers."""
        return cls._unchecked(static[0], dimensions)

    @classmethod
    def _unchecked(cls, names: Iterable[str], dimensions: Iterable[Any]) -> Space:
        space = object.__new__(cls)
        space._dimensions = dict(zip(names, dimensions, strict=True))
        return space

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order given, fixed ones included."""
        return tuple(self._dimensions)

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of the searched dimensions: the columns of the points, in order."""
        return tuple(name for name, dim in self._dimensions.items() if dim.searched)

    @property
    def dim(self) -> int:
        """Number of searched dimensions, ``d``."""
        return len(self.searched)

    @property
    def size(self) -> float:
        """Number of configurations; infinite if a dimension is continuous."""
        return math.prod(self[name].cardinality for name in self.searched)

    @property
    def bounds(self) -> dict[str, tuple[Any, Any]]:
        """Name to ``(low, high)`` in the user's units; of a choice, first and last."""
        return {name: dim.bounds for name, dim in self._dimensions.items()}

    @property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """Name to the listed values still in the search, for choices and ordinals."""
        listed = {name: dim for name, dim in self._dimensions.items() if dim.choices}
        return {name: dim.remaining for name, dim in listed.items()}

    def __getitem__(self, name: str) -> Dimension:
        """Return one dimension by name."""
        if not isinstance(name, str) or name not in self._dimensions:
            raise KeyError(_unknown(name, self.names))
        return self._dimensions[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether a dimension has this name."""
        return name in self._dimensions

    def __iter__(self) -> Iterator[str]:
        """Return the names of the dimensions, as a dict does."""
        return iter(self._dimensions)

    def __len__(self) -> int:
        """Return how many dimensions there are, fixed ones included."""
        return len(self._dimensions)

    def keys(self) -> KeysView[str]:
        """Return the names, so that ``Space(**space, more=...)`` has all and more.

        >>> import jaxtune as jt
        >>> space = jt.Space(rate=jt.log_uniform(1e-3, 1.0))
        >>> jt.Space(**space, momentum=jt.uniform(0.0, 0.9)).names
        ('rate', 'momentum')
        """
        return self._dimensions.keys()

    def decode(self, points: ArrayLike) -> dict[str, Array]:
        """Turn points of the unit cube into hyperparameters.

        Args:
          points: ``[n, d]`` in ``[0, 1)``.

        Returns:
          Name to ``[n]`` array: int32 for whole numbers and for the indices of choices
          (in the list first given), else float32. A fixed dimension is repeated, and
          one whose condition does not hold has its default.

        Raises:
          ValueError: another shape, or (outside ``jit``) a coordinate outside [0, 1).
        """
        return _decode(self, self._checked(points))

    @guarded(hparams=HPARAMS)
    def active(self, hparams: HparamArrays) -> dict[str, Array]:
        """Return in which trials the conditions of each dimension hold, see `when`.

        Args:
          hparams: name to ``[n]`` array, from `decode`.

        Returns:
          Name to ``[n]`` bool, for every dimension.
        """
        return _active(self, {name: _array(v) for name, v in hparams.items()})

    @guarded(hparams=HPARAMS)
    def encode(self, hparams: HparamArrays) -> Array:
        """Turn hyperparameters into points: the inverse of `decode`.

        ``decode(encode(decode(p))) == decode(p)`` exactly. Values outside the bounds
        get coordinates outside ``[0, 1)``, and a dropped choice gets NaN, so that
        earlier trials can be passed to a sampler of a smaller space. A value whose
        condition does not hold gets the middle of its range.

        Args:
          hparams: name to ``[n]`` array, at least for every searched dimension.

        Returns:
          ``[n, d]`` float32.

        Raises:
          ValueError: a searched dimension is missing, what is no array of numbers, of
            one length for all, or an index that a choice does not have.
        """
        missing = [name for name in self.searched if name not in hparams]
        if missing:
            raise ValueError(
                f"encode needs a value for {missing[0]!r}, got {sorted(hparams)}."
            )
        known = [name for name in self.names if name in hparams]
        arrays = {name: _array(hparams[name]) for name in known}
        check_hparams(self._dimensions, arrays)
        return _encode(self, arrays)

    @guarded(hparams=HPARAMS, trial=whole(-(2**63)))
    def values(self, hparams: HparamArrays, trial: int) -> dict[str, Any]:
        """Return one trial as a dict of Python numbers, and choices as themselves.

        Dimensions whose condition does not hold are left out.

        Args:
          hparams: name to ``[n]`` array, from `decode`.
          trial: number of the row, from 0; negative numbers are refused.

        Returns:
          Name to Python value.

        Raises:
          IndexError: no such row.
        """
        rows = len(next(iter(hparams.values())))
        if not 0 <= trial < rows:
            raise IndexError(f"values: trial {trial} is not in 0 ... {rows - 1}.")
        one = {name: np.asarray(values)[trial] for name, values in hparams.items()}
        holds = conditions.active(self._dimensions, one)
        return {
            name: dim.value(one[name])
            for name, dim in self._dimensions.items()
            if name in one and holds.get(name, True)
        }

    def restrict(self, **bounds: Any) -> Space:
        """Return a smaller space of the same tree, for which nothing compiles again.

        Args:
          bounds: name to ``(low, high)`` in the user's units; for a choice the values
            to keep.

        Returns:
          The smaller space.

        Raises:
          ValueError: an unknown or fixed dimension, or bounds outside those it has.
        """
        smaller = dict(self._dimensions)
        for name, wanted in bounds.items():
            if name not in smaller:
                raise ValueError(f"restrict: {_unknown(name, self.names)}")
            try:
                smaller[name] = restricted(smaller[name], wanted)
            except ValueError as error:
                raise ValueError(f"dimension {name!r}: {error}") from None
        return self._with(smaller)

    def expect(self, **beliefs: Near) -> Space:
        """Return the space with beliefs about where good values are, for samplers.

        >>> import jaxtune as jt
        >>> space = jt.Space(rate=jt.log_uniform(1e-4, 1.0), layers=jt.integer(1, 3))
        >>> space.expect(rate=jt.near(0.01, spread=0.1))
        Space(
          rate=real(0.0001, 1, scale='log', tier=2, prior=near(0.01, spread=0.1)),
          layers=integer(1, 3, scale='linear', tier=2)
        )

        Args:
          beliefs: name to what `near` returns; ``None`` for none.

        Returns:
          The same space, whose bounds and defaults stay.

        Raises:
          ValueError: an unknown or fixed dimension, what is no belief, or a value that
            the dimension does not have.
        """
        changed = dict(self._dimensions)
        for name, belief in beliefs.items():
            if name not in changed:
                raise ValueError(f"expect: {_unknown(name, self.names)}")
            dim = changed[name]
            if not dim.searched:
                raise ValueError(f"expect: {name!r} is fixed at {dim.default!r}.")
            try:
                plain = dataclasses.replace(dim, prior=None)
                changed[name] = with_belief("expect", plain, belief, centred=False)
            except ValueError as error:
                raise ValueError(f"dimension {name!r}: {error}") from None
        return self._with(changed)

    def keep(self, *names: str) -> Space:
        """Keep only the named dimensions searched; fix the others at their defaults.

        Args:
          names: the dimensions that stay searched.

        Returns:
          A space of the same names.

        Raises:
          ValueError: an unknown name, a fixed dimension, no name at all, or a dimension
            that would never matter, since its condition fails for what is fixed.
        """
        if not names:
            raise ValueError(f"keep needs at least one of {self.searched}, got none.")
        for name in names:
            if not isinstance(name, str) or name not in self._dimensions:
                raise ValueError(f"keep: {_unknown(name, self.names)}")
            if not self[name].searched:
                raise ValueError(f"keep: {name!r} is fixed at {self[name].default!r}.")
            self._check_condition(name, names)
        return self._with(
            {
                name: dim if name in names or not dim.searched else at_default(dim)
                for name, dim in self._dimensions.items()
            }
        )

    def _check_condition(self, name: str, kept: tuple[str, ...]) -> None:
        for parent, values in self[name].condition:
            usual = self[parent].default
            if parent not in kept and usual not in values:
                raise ValueError(
                    f"keep: {name!r} matters only when {parent} is one of "
                    f"{list(values)!r}, but it would be fixed at {usual!r}. Keep "
                    f"{parent!r} as well."
                )

    def replace(self, **dimensions: Dimension) -> Space:
        """Return a space with some dimensions exchanged.

        Args:
          dimensions: name to its new dimension; all names must be in this space.

        Returns:
          A space of the same names and order.

        Raises:
          ValueError: an unknown name, or what is no dimension.
        """
        for name, dimension in dimensions.items():
            if name not in self._dimensions:
                raise ValueError(f"replace: {_unknown(name, self.names)}")
            _check_dimension(name, dimension)
        changed = {**self._dimensions, **dimensions}
        return self._with(_with_conditions(changed, dimensions))

    def _with(self, dimensions: dict[str, Dimension]) -> Space:
        # unchecked: bounds may be tracers, when zooming is traced
        return self._unchecked(dimensions, dimensions.values())

    def _checked(self, points: ArrayLike) -> ArrayLike:
        points = as_numbers("points", points)
        if np.ndim(points) != 2 or np.shape(points)[1] != self.dim:
            raise ValueError(
                f"points: got shape {np.shape(points)}, this space needs "
                f"(n, {self.dim}): {', '.join(self.searched)}."
            )
        # inside jit there are no numbers to check yet
        if not isinstance(points, jax.core.Tracer):
            rows = np.asarray(points)
            outside = ~((rows >= 0) & (rows < 1))
            if outside.any():
                row, column = np.argwhere(outside)[0]
                raise ValueError(
                    f"points: row {row} has {self.searched[column]} = "
                    f"{rows[row, column]}. Coordinates lie in [0, 1)."
                )
            # a float64 just below 1 rounds up to 1.0 in float32
            points = np.minimum(rows.astype(np.float32), BELOW_ONE)
        return points

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = [
            (name, as_text(dim), dim.default) for name, dim in self._dimensions.items()
        ]
        return html_table(("hyperparameter", "values", "default"), rows)

    def __repr__(self) -> str:
        lines = [f"  {name}={as_text(dim)}" for name, dim in self._dimensions.items()]
        return "Space(\n" + ",\n".join(lines) + "\n)"


A_SPACE = an("a Space", Space, "Use Space(x=uniform(0.0, 1.0)).")


def as_space(given: Any) -> Space:
    """Return a space, which may be given as a dict of its dimensions."""
    if isinstance(given, Space):
        return given
    if isinstance(given, Mapping):
        return Space(given)
    raise ValueError(
        f"space: got {given!r}. Use a Space, such as Space(x=uniform(0.0, 1.0))."
    )


def _array(values: ArrayLike) -> Any:
    return values if hasattr(values, "dtype") else np.asarray(values)


# one program each: called outside jit, each operation would be compiled by itself


@in_32_bits
@recent_jit()
def _decode(space: Space, points: Array) -> dict[str, Array]:
    points = jnp.asarray(points, jnp.float32)
    columns = dict(zip(space.searched, points.T, strict=True))
    # a dimension that is not searched has one value, at any coordinate
    middle = jnp.full(points.shape[:1], 0.5, jnp.float32)
    hparams = {
        name: dim.decode(columns.get(name, middle))
        for name, dim in space._dimensions.items()
    }
    for name, holds in conditions.active(space._dimensions, hparams).items():
        usual = space[name].decoded(space[name].default)
        values = hparams[name]
        hparams[name] = jnp.where(holds, values, jnp.asarray(usual, values.dtype))
    return hparams


@in_32_bits
@recent_jit()
def _active(space: Space, hparams: dict[str, Array]) -> dict[str, Array]:
    rows = jnp.ones(jnp.shape(next(iter(hparams.values()))), bool)
    holds = conditions.active(space._dimensions, hparams)
    return {name: holds.get(name, rows) for name in space.names}


@in_32_bits
@recent_jit()
def _encode(space: Space, hparams: dict[str, Array]) -> Array:
    holds = conditions.active(space._dimensions, hparams)
    columns = [
        jnp.where(holds.get(name, True), space[name].encode(hparams[name]), 0.5)
        for name in space.searched
    ]
    if not columns:  # nothing is searched: one point, without coordinates
        return jnp.zeros((*jnp.shape(next(iter(hparams.values()))), 0), jnp.float32)
    return jnp.stack(columns, axis=-1)


def _check_dimension(name: str, dimension: Any) -> None:
    if isinstance(dimension, Invalid):
        raise ValueError(f"dimension {name!r}: {dimension._error}")
    if not isinstance(dimension, Dimension):
        raise ValueError(
            f"dimension {name!r}: got {shown(dimension)}. Use one of jaxtune's "
            f"makers, such as fixed({shown(dimension)}) or choice([...])."
        )


def _with_conditions(
    dimensions: Mapping[str, Dimension], new: Iterable[str]
) -> dict[str, Dimension]:
    """Return the dimensions; of new ones the conditions list values of their parents.

    Those of the others may compare with values that a new parent no longer has.
    """
    listed = {**dimensions}
    listed |= {name: conditions.resolved(dimensions, name) for name in new}
    for name in new:
        try:
            conditions.check_conditions(listed, name)
        except ValueError as error:
            raise ValueError(f"dimension {name!r}: {error}") from None
    return listed


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(
            f"dimension {name!r}: not a Python identifier. "
            "Use letters, digits and underscores, such as learning_rate."
        )
    if name in RESERVED:
        raise ValueError(
            f"dimension {name!r}: jaxtune's own tables use this name. Choose another."
        )


def _unknown(name: str, names: tuple[str, ...]) -> str:
    return f"unknown dimension {name!r}. This space has {', '.join(names)}."


def as_text(dim: Dimension) -> str:
    """Return a dimension in one line, about as it was defined."""
    if not dim.searched:
        return f"fixed({dim.default!r})"
    if dim.allowed is not None:
        text = f"choice({list(dim.remaining)!r}"
    elif dim.choices:
        text = f"ordinal({list(dim.remaining)!r}"
    else:
        low, high = dim.bounds
        scale = "" if dim.kind == "power_of_two" else f", scale={dim.scale!r}"
        name = "real" if dim.kind == "continuous" else dim.kind
        text = f"{name}({low:.6g}, {high:.6g}{scale}"
    text = f"{text}, tier={dim.tier}{', static=True' if dim.static else ''}"
    if dim.prior is not None:
        value, spread = stated(dim)
        text += f", prior=near({value!r}, spread={spread:g})"
    text += ")"
    for parent, values in dim.condition:
        text = f"when({text}, {parent}={list(values)!r})"
    return text
