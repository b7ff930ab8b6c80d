"""Checks of the numbers that users give, with one message each."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from jaxtune.door import is_whole as is_whole
from jaxtune.printing import printable


def as_whole(value: Any) -> Any:
    """Return a whole number of NumPy or JAX as an ``int``, and the rest as it is."""
    array = np.ndim(value) == 0 and hasattr(value, "dtype") and hasattr(value, "item")
    return value.item() if array and np.issubdtype(value.dtype, np.integer) else value


def check_whole(name: str, argument: str, value: Any, least: int = 1) -> None:
    """Raise ``ValueError`` unless the value is ``None`` or a whole number."""
    if value is not None and not is_whole(value, least):
        raise ValueError(
            f"{name}: {argument} must be a whole number from {least}, got {value!r}."
        )


def warn(message: str) -> None:
    """Issue a ``UserWarning`` at the line that called into this package."""
    # stacklevel counts frames, and how many of them are ours depends on the caller
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(printable(message), stacklevel=level)


def _ours(module: str) -> bool:
    # our context managers run between frames of contextlib
    return module.split(".")[0] in ("jaxtune", "contextlib")


class RunError(RuntimeError):
    """A run directory that cannot be used as requested; nothing in it was changed."""

    def __init__(self, message: str = ""):
        # it may quote names of a stranger's run, and ends up on a terminal
        super().__init__(printable(str(message)))
