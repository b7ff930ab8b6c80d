"""The bounds of numbers, checked: ranges that float32 holds and tells apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxtune.space.dimension import EPS
from jaxtune.space.scales import SCALES
from jaxtune.space.values import held, is_number, plain

# float32 steps of a range; every ordinary range has more, and fewer are a mistake
MIN_STEPS = 256
LARGEST = float(np.finfo(np.float32).max)
ROUND_HIGHS = (0.999999, 0.99999, 0.9999, 0.999, 0.99, 0.9)


def real_number(where: str, name: str, value: Any) -> float:
    """Return a bound or a default; ``ValueError`` for what float32 does not hold."""
    value = plain(value)
    if not is_number(value):
        raise ValueError(f"{where} needs a number for {name}, got {value!r}.")
    if not abs(value) <= LARGEST:
        raise ValueError(
            f"{where} needs a finite {name}, got {name}={value}. "
            "Use a bound that float32 holds."
        )
    if not held(value):
        raise ValueError(
            f"{where}: {name}={value} is zero in the float32 that programs compute in. "
            "Use a magnitude of 1.2e-38 or more."
        )
    return float(value)


def whole_number(where: str, name: str, value: Any) -> int:
    """Return a whole number as an ``int``; ``ValueError`` for anything else."""
    value = plain(value)
    if not is_number(value) or not abs(value) < math.inf or int(value) != value:
        raise ValueError(
            f"{where} needs a whole number for {name}, got {value!r}. "
            "Use uniform for real numbers."
        )
    return int(value)


def check_order(where: str, low: float, high: float) -> None:
    """Raise ``ValueError`` for bounds in the wrong order."""
    if low > high:
        raise ValueError(
            f"{where} needs low <= high, got low={low}, high={high}. Swap them."
        )


def check_inside(where: str, default: float, low: float, high: float) -> None:
    """Raise ``ValueError`` for a default outside the bounds."""
    if not low <= default <= high:
        raise ValueError(
            f"{where}: default={default} lies outside [{low}, {high}]. "
            "Widen the range, or choose a default inside it."
        )


def check_range(where: str, scale: str, low: float, high: float) -> None:
    """Check the bounds of a real number.

    Args:
      where: the maker, for the message.
      scale: row of the table of scales.
      low: smallest value.
      high: largest value; as ``low`` for a single value.

    Raises:
      ValueError: bounds outside the scale or in the wrong order, or a range of which
        float32 can tell only a few values apart; with one that works.
    """
    check_order(where, low, high)
    if scale == "log" and low <= 0:
        raise ValueError(
            f"{where} needs low > 0, got low={low}. "
            f"Use uniform({low}, {high}), or a small positive low."
        )
    if scale == "reverse_log" and high >= 1:
        raise ValueError(
            f"{where} needs high < 1, got high={high}. {_below_one(low, high)}"
        )
    # a lattice adds the ends up
    if scale == "linear" and 2 * max(-low, high) > LARGEST:
        raise ValueError(
            f"{where}: the range from low={low} to high={high} overflows float32. Use "
            "bounds within +-1.7e38, or search uniform(-1.0, 1.0) and multiply it in "
            "your function."
        )
    count = float32_steps(scale, low, high)
    if high > low and count < MIN_STEPS:
        few = f"are {count:.0f} float32 steps apart, too few to search"
        if np.float32(low) == np.float32(high):
            few = "are the same number in float32"
        way_out = (_below_one if scale == "reverse_log" else _shifted)(low, high)
        raise ValueError(f"{where}: low={low} and high={high} {few}. {way_out}")


def float32_steps(scale: str, low: float, high: float) -> float:
    """Return how many steps of a range float32 tells apart, as a lattice has them."""
    row = SCALES[scale]
    ends = [float(np.float32(low)), float(np.float32(high))]
    if scale == "reverse_log" and ends[1] >= 1:
        return 0.0
    (bottom, left), (top, right) = [row.on_host(end) for end in ends]
    of_value = max(abs(ends[0]) * left, abs(ends[1]) * right)
    resolution = EPS * (max(abs(bottom), abs(top)) + of_value)
    exact = (top - bottom) / max(4 * resolution, 1e-37)
    return 2.0 ** math.floor(math.log2(exact)) if exact >= 1 else 0.0


def _below_one(low: float, high: float) -> str:
    """Return the way out where ``1 - x`` has lost its digits."""
    fine = [h for h in ROUND_HIGHS if low < h < high]
    fine = [h for h in fine if float32_steps("reverse_log", low, h) >= MIN_STEPS]
    ways = [f"Use high={fine[0]} at most"] if fine else []
    # 1 - high has few digits, and its shortest decimals are the ones that are meant
    rest = [float(f"{1 - bound:.6g}") for bound in (high, low)]
    if high < 1 and float32_steps("log", rest[0], rest[1]) >= MIN_STEPS:
        ways.append(
            f"search log_uniform({rest[0]}, {rest[1]}) and compute 1 - x in your "
            "function"
        )
    text = ", or ".join(ways)
    return f"{text[0].upper()}{text[1:]}." if ways else _shifted(low, high)


def _shifted(low: float, high: float) -> str:
    """Return the way out for a range that is narrow for its numbers."""
    return (
        f"Use a wider range, or search uniform(0.0, 1.0) and compute {low} + "
        f"{high - low:.6g} * x in your function."
    )
