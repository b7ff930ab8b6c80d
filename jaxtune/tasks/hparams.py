"""The hyperparameters of one trial, as the functions of a task see them."""

from collections.abc import Iterator, Mapping
from typing import Any


class Hparams(dict[str, Any]):
    """A dict of hyperparameters: traced scalars, and Python objects if static.

    A traced choice is its index, and ``choices`` says what the index stands for. The
    names that are read are recorded, so that a misspelt dimension is noticed.

    >>> import jaxtune as jt
    >>> names = {"activation": ("relu", "tanh")}
    >>> hparams = jt.Hparams({"learning_rate": 0.1, "activation": 1}, choices=names)
    >>> hparams["learning_rate"], hparams.get("momentum", 0.9)
    (0.1, 0.9)
    >>> hparams.choices["activation"][hparams["activation"]]
    'tanh'

    Args:
      values: name to value.
      choices: name of a traced choice to the values that its indices stand for.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        choices: Mapping[str, tuple[Any, ...]] = {},
    ) -> None:
        super().__init__(values)
        self.choices = dict(choices)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """Return one hyperparameter; the error for an unknown name lists all names."""
        self.read.add(name)
        if name not in self:
            raise KeyError(
                f"hyperparameter {name!r} is needed but not in the space, which has "
                f"{', '.join(self)}."
            )
        return super().__getitem__(name)

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
