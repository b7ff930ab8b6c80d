"""Checks of numbers that users give, with one message each."""

from __future__ import annotations

from typing import Any, TypeGuard


def whole(value: Any, least: int) -> TypeGuard[int]:
    """Whether it is a whole number, not a truth value, and large enough."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_whole(name: str, argument: str, value: Any, least: int = 1) -> None:
    """Raise ``ValueError`` unless the value is ``None`` or a whole number."""
    if value is not None and not whole(value, least):
        raise ValueError(
            f"{name}: {argument} must be a whole number from {least}, got {value!r}."
        )


def check_share(name: str, argument: str, value: Any, low: float, high: float) -> None:
    """Raise ``ValueError`` unless the value is a number in ``[low, high]``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ValueError(
            f"{name}: {argument} must lie in [{low:g}, {high:g}], got {value!r}."
        )
