"""The hyperparameters of one trial, as the functions of a task see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxtune.space.arrival import Choice, exact_type


@jax.tree_util.register_pytree_with_keys_class
class Hparams(dict[str, Any]):
    """A dict of hyperparameters: traced scalars, and Python objects if static or fixed.

    A traced choice is a number, a boolean or a `Choice`, which is compared with its
    values. As a pytree its leaves are the traced values, and all else is static: it
    passes through `jax.jit`, `jax.grad` or `jax.lax.scan`. The static names that are
    read are recorded, so that a misspelt dimension is noticed.

    >>> import jaxtune as jt
    >>> hparams = jt.Hparams({"learning_rate": 0.1, "activation": "relu"})
    >>> hparams["learning_rate"], hparams.get("momentum", 0.9)
    (0.1, 0.9)

    Args:
      values: name to value.
      choices: name of a traced choice that is not a number to its values.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        choices: Mapping[str, tuple[Any, ...]] = {},
    ) -> None:
        super().__init__(values)
        self.choices = dict(choices)
        self.read: set[str] = set()
        self._leaves: tuple[str, ...] = ()

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Return the traced values with their names, and all else."""
        raw = {name: dict.__getitem__(self, name) for name in self}
        names = tuple(n for n in raw if n in self._leaves or is_traced(raw[n]))
        children = [(jax.tree_util.DictKey(n), raw[n]) for n in names]
        # a jitted function reads them where no record is kept
        self.read.update(n for n in raw if n not in names)
        # the types too, since 1 is equal to True and to 1.0
        static = tuple((n, exact_type(v), v) for n, v in raw.items() if n not in names)
        return children, (tuple(raw), names, static, tuple(self.choices.items()))

    def tree_flatten(self) -> tuple[Any, Any]:
        """Return the traced values, and all else."""
        children, rest = self.tree_flatten_with_keys()
        return [value for _, value in children], rest

    @classmethod
    def tree_unflatten(cls, rest: Any, children: Any) -> Hparams:
        """Return hyperparameters with other traced values."""
        order, names, static, choices = rest
        values = dict(zip(names, children, strict=True))
        values |= {name: value for name, _, value in static}
        made = cls({name: values[name] for name in order}, dict(choices))
        # JAX also puts objects into a tree that are no arrays
        made._leaves = names
        return made

    def __getitem__(self, name: str) -> Any:
        """Return one hyperparameter; the error for an unknown name lists all names."""
        self.read.add(name)
        if name not in self:
            raise KeyError(
                f"hyperparameter {name!r} is needed but not in the space, which has "
                f"{', '.join(self)}."
            )
        return super().__getitem__(name)

    def __getattr__(self, name: str) -> Any:
        """Refuse: ``hparams.learning_rate`` is read as ``hparams["learning_rate"]``."""
        raise AttributeError(
            f"hparams.{name}: hyperparameters are a dict. Use hparams[{name!r}]; the "
            f"space has {', '.join(self)}."
        )

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        # an override, even an idle one, keeps ``{**hparams}`` from copying the values
        # inside CPython, past __getitem__, so that they would not count as read
        return super().__iter__()

    def items(self) -> Any:
        """Return pairs of a name and a value, and count all of them as read."""
        self.read.update(self)
        return super().items()

    def values(self) -> Any:
        """Return the values, and count all of them as read."""
        self.read.update(self)
        return super().values()

    def own(self) -> Hparams:
        """Return a copy for one call of a function, which may change it."""
        made = Hparams({n: dict.__getitem__(self, n) for n in self}, self.choices)
        made.read, made._leaves = self.read, self._leaves
        return made

    def pop(self, name: str, *default: Any) -> Any:
        """Remove a hyperparameter and return it.

        Args:
          name: name of the hyperparameter.
          default: value to return if there is none.

        Raises:
          KeyError: there is none, and no default.
        """
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return one hyperparameter; add the default if there is none.

        Args:
          name: name of the hyperparameter.
          default: value to add.
        """
        if name not in self:
            self[name] = default
        return self[name]

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of all values."""
        return dict(self.items())

    def __or__(self, other: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return a plain dict, where ``other`` replaces values of the same name."""
        return self.copy() | dict(other)

    def __ror__(self, other: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return a plain dict, where these replace values of the same name."""
        return dict(other) | self.copy()

    def get(self, name: str, default: Any = None) -> Any:
        """Return one hyperparameter, or the default if the space does not have it.

        Args:
          name: name of the hyperparameter.
          default: value to return if there is none.

        Returns:
          A traced scalar, or a Python object if static.
        """
        if name not in self:  # an absent name was not read
            return default
        return self[name]


def is_traced(value: Any) -> bool:
    """Return whether a hyperparameter is data of a program."""
    return isinstance(value, jax.Array | np.ndarray | np.generic | Choice)


def own_copy(hparams: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return hyperparameters for one call of a function of the user.

    A function may change them in place, and is called more than once.
    """
    return hparams.own() if isinstance(hparams, Hparams) else dict(hparams)
