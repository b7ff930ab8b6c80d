"""The hyperparameters of one lane, as the functions of a task see them."""

from collections.abc import Iterator, Mapping
from typing import Any


class Hparams(dict):
    """Name to value: traced scalars, and plain Python objects for static dimensions.

    A traced choice is its index; `choices` has what the index stands for. Which
    names were read is remembered, so that a misspelt dimension is noticed.
    """

    def __init__(self, values: Mapping[str, Any], choices: Mapping[str, tuple] = {}):
        super().__init__(values)
        self.choices = dict(choices)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """One hyperparameter; an unknown name says which there are."""
        self.read.add(name)
        if name not in self:
            raise KeyError(
                f"hyperparameter {name!r} is needed but not in the space, which has "
                f"{', '.join(self)}."
            )
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        """Names. That this is here makes ``{**hparams}`` ask for each of the values."""
        return super().__iter__()

    def items(self) -> Any:
        """Pairs of a name and a value; all are read."""
        self.read.update(self)
        return super().items()

    def values(self) -> Any:
        """Values; all are read."""
        self.read.update(self)
        return super().values()

    def get(self, name: str, default: Any = None) -> Any:
        """One hyperparameter, or the default where the space has none.

        Args:
          name: which one.
          default: what to return without it.

        Returns:
          A traced scalar, or a Python object if static.
        """
        if name not in self:  # an absent name was not read
            return default
        return self[name]
