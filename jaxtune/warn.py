"""Warnings that point to the user's line, however deep they arise."""

import sys
import warnings


def warn(message: str) -> None:
    """Issue a ``UserWarning`` at the line that called into this package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _ours(module: str) -> bool:
    # generators of ours are entered through contextlib
    return module.split(".")[0] in ("jaxtune", "contextlib")
