"""Data, intervals and output files that the experiments share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import bootstrap, wilcoxon
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import jaxtune as jt

RESOLUTION = 110
GALLERY = Path(__file__).parents[1] / "docs" / "experiments"


def split(load: Callable[..., Any], train: int, valid: int) -> dict[str, Any]:
    """Return a scikit-learn data set, shuffled once, scaled by its training split."""
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float64), y[order]
    middle, spread = x[:train].mean(0), x[:train].std(0)
    x = ((x - middle) / np.where(spread > 0, spread, 1)).astype(np.float32)
    end = train + valid
    return {
        "train": (x[:train], y[:train]),
        "valid": (x[train:end], y[train:end]),
        "test": (x[end:], y[end:]),
    }


def digits(units: int = 64, layers: int = 1, **own: Any) -> jt.Task:
    """Return the task of classifying digits.

    600 examples to train, few enough that the setting matters; 600 and 597 to score.
    """
    model = jt.models.MLP(classes=10, max_units=units, max_layers=layers)
    return jt.classification(model, **split(load_digits, 600, 600), **own)


def breast_cancer(units: int = 64, layers: int = 1) -> jt.Task:
    """Return a task of two classes and 30 inputs: 200, 200 and 169 examples."""
    model = jt.models.MLP(classes=2, max_units=units, max_layers=layers)
    return jt.classification(model, **split(load_breast_cancer, 200, 200))


def diabetes(units: int = 64, layers: int = 1) -> jt.Task:
    """Return a regression on 10 inputs, target scaled: 200, 142 and 100 examples."""
    data = split(load_diabetes, 200, 142)
    middle, spread = data["train"][1].mean(), data["train"][1].std()
    scaled = {
        name: (x, ((y - middle) / spread).astype(np.float32))
        for name, (x, y) in data.items()
    }
    model = jt.models.MLP(classes=1, max_units=units, max_layers=layers)
    return jt.regression(model, **scaled)


def mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval, by bootstrap."""
    values = np.asarray(values, float)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(0))
    return float(values.mean()), *map(float, found.confidence_interval)


def text(values: Sequence[float], form: str = ".3f") -> str:
    """Return a mean and its interval as text."""
    middle, low, high = mean(values)
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def differ(one: Sequence[float], other: Sequence[float]) -> str:
    """Return, as text, p of Wilcoxon's signed-rank test of pairs with the same key."""
    if np.array_equal(one, other):
        return "p = 1"
    return f"p = {wilcoxon(one, other).pvalue:.2g}"


def strip(axes: Any, columns: dict[str, Sequence[float]]) -> None:
    """Draw the values of each column side by side, and their mean with its interval."""
    for place, values in enumerate(columns.values()):
        spread = place + 0.25 * (np.linspace(0, 1, len(values)) - 0.5)
        axes.scatter(spread, values, s=8, color="0.6")
        middle, low, high = mean(values)
        bars = [[middle - low], [high - middle]]
        axes.errorbar(place, middle, bars, fmt="ko", capsize=4)
    axes.set_xticks(range(len(columns)), columns)
    axes.tick_params(axis="x", labelsize="small")


def keep(name: str, figure: Any, found: list[str], numbers: Any, out: Path) -> None:
    """Write the picture and the numbers, and print the results."""
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=RESOLUTION)
    results = {"found": found, "numbers": numbers}
    (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    print("\n".join(found))
    print(f"wrote {name}.png and {name}.json to {out.resolve()}")


def keep_themes(
    name: str, draw: Callable[[], Any], found: list[str], numbers: Any, out: Path
) -> None:
    """Do as `keep`, with a second picture for dark pages, in files of 256 colours."""
    keep(name, draw(), found, numbers, out)
    with jt.report.theme("dark"):
        draw().savefig(out / f"{name}-dark.png", dpi=RESOLUTION)
    for path in (out / f"{name}.png", out / f"{name}-dark.png"):
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(path, optimize=True)


def arguments(about: str | None, keys: int) -> tuple[int, Path]:
    """Return the number of keys and the folder for pictures, from the command line."""
    parser = with_folder(about)
    parser.add_argument("--keys", type=int, default=keys, help="searches of each kind")
    options = parser.parse_args()
    return options.keys, options.out


def with_folder(about: str | None) -> argparse.ArgumentParser:
    """Return the parser of an experiment, with the folder for pictures alone."""
    parser = argparse.ArgumentParser(description=str(about).split("\n")[0])
    parser.add_argument("--out", type=Path, default=GALLERY, help="folder for pictures")
    return parser
