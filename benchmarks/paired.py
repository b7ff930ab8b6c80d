"""Compare variants of the Gaussian process on the same problems and seeds, in minutes.

A variant is a maker's call, then constants of modules below ``jaxtune.samplers``, which
it changes. The first variant is the one that the others are compared with. A variant is
better if the mean over seeds is lower on most problems: Wilcoxon's test of the
logarithm of the ratio, and the bootstrap interval of the mean difference.

    python benchmarks/paired.py "gaussian_process()" "gaussian_process(initial=5)"
        "gaussian_process(); gp.model.CENTRE=-0.3" [--seeds 3] [--batches 5 25]
        [--only TEXT ...] [--cache DIR]

All variants that change real numbers share one program, since these are its arguments;
each value of a whole number has its own. Finished searches are kept in DIR under the
variant's text. Give another version of the code a label: ``"old: gaussian_process()"``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from problems import Problem, suite
from scipy.stats import bootstrap, wilcoxon

import jaxtune as jt
from jaxtune.samplers._model_based import design_length, model_based
from jaxtune.samplers.gp.suggest import suggested

EVALUATIONS = {1: (25, 50), 5: (25, 50), 25: (50, 100)}  # batch: after how many trials
FLOOR = 1e-3  # of a mean regret: less is no difference that matters


class Variant(NamedTuple):
    """A sampler with some constants changed."""

    label: str
    call: str
    settings: dict[str, int | float]

    @classmethod
    def of(cls, text: str) -> Variant:
        label, _, rest = text.rpartition(": ")
        call, *pairs = [part.strip() for part in rest.split(";")]
        settings = dict(pair.split("=") for pair in pairs)
        settings = {name.strip(): json.loads(value) for name, value in settings.items()}
        return cls(label or text, call, settings)


def constant(name: str) -> tuple[Any, str]:
    """Return the module of a constant, and its name there."""
    module, _, name = name.rpartition(".")
    return importlib.import_module(f"jaxtune.samplers.{module}"), name


@contextmanager
def changed(settings: dict[str, Any]) -> Any:
    """Change constants of modules, while a program is traced."""
    before = []
    for full, value in settings.items():
        module, name = constant(full)
        before.append((module, name, getattr(module, name)))
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


@partial(jax.jit, static_argnums=(1, 3, 4, 5))
def _suggest(
    real: dict[str, Any],
    whole: tuple[tuple[str, int], ...],
    state: Any,
    n: int,
    acquisition: str,
    rows: int,
) -> Any:
    with changed(real | dict(whole)):
        return suggested(state, n, acquisition, rows)


def sampler(variant: Variant, names: set[str]) -> Any:
    """Return the sampler of a variant; every constant in ``names`` is an argument."""
    if not names:
        return eval(variant.call, vars(jt.samplers))
    values = {name: getattr(*constant(name)) for name in sorted(names)}
    values |= variant.settings
    whole = tuple((n, v) for n, v in values.items() if isinstance(v, int))
    real = {n: v for n, v in values.items() if isinstance(v, float)}

    def process(
        acquisition: str = "log_ei", initial: int | None = None, rows: int = 1024
    ) -> Any:
        return model_based(
            lambda state, n: _suggest(real, whole, state, n, acquisition, rows), initial
        )

    return eval(variant.call, vars(jt.samplers) | {"gaussian_process": process})


def regrets(make: Any, problem: Problem, batch: int, seeds: int) -> dict[str, Any]:
    """Search one problem with several seeds.

    Returns:
      Regrets ``[seeds, evaluations]`` of the trial that looks best, and seconds.
    """
    rows, begin = [], time.process_time()
    for seed in range(seeds):
        noise = np.random.default_rng(seed)
        state = make.init(jax.random.key(seed), problem.space)
        seen, true = np.empty(0), np.empty(0)
        # a search begins with as many trials as its model needs, if a batch is smaller
        size = max(batch, design_length(problem.space.dim))
        while len(seen) < EVALUATIONS[batch][-1]:
            state, points = make.ask(state, size)
            value = problem.value(np.asarray(points, np.float64))
            measured = value + problem.noise * noise.standard_normal(size)
            size = batch
            state = make.tell(state, points, -measured)
            seen, true = np.append(seen, measured), np.append(true, value)
        looks = [int(np.nanargmin(seen[:n])) for n in EVALUATIONS[batch]]
        rows.append(problem.regret(true[looks]).tolist())
    return {"regrets": rows, "seconds": time.process_time() - begin}


def compared(old: np.ndarray, new: np.ndarray) -> str:
    """Return how the new mean regrets ``[problems]`` compare with the old ones."""
    ratio = np.log(np.maximum(new, FLOOR)) - np.log(np.maximum(old, FLOOR))
    test = wilcoxon(ratio).pvalue if np.any(ratio) else 1.0
    change = new - old
    low, high = change.min(), change.max()
    if high > low:
        found = bootstrap((change,), np.mean, rng=np.random.default_rng(0))
        low, high = found.confidence_interval
    return (
        f"{new.mean():.4f} | {change.mean():+.4f} [{low:+.4f}, {high:+.4f}] | "
        f"{np.exp(ratio.mean()):.2f} | {(ratio < 0).sum()} : {(ratio > 0).sum()} | "
        f"{test:.3f}"
    )


def main(
    variants: list[str],
    seeds: int,
    batches: list[int],
    only: list[str],
    cache: Path,
    details: bool,
) -> None:
    """Run what the cache lacks, and print a line for each variant and budget."""
    cache.mkdir(parents=True, exist_ok=True)
    parsed = [Variant.of(text) for text in variants]
    names = {name for variant in parsed for name in variant.settings}
    makers = [sampler(variant, names) for variant in parsed]
    problems = [p for p in suite() if not only or any(t in p.name for t in only)]
    for batch in batches:
        files = [
            [
                cache / f"{variant.label}, {batch}, {problem.name}, {seeds}.json"
                for problem in problems
            ]
            for variant in parsed
        ]
        # problem by problem, since variants share its programs
        for index, problem in enumerate(problems):
            for make, row in zip(makers, files, strict=True):
                if not row[index].exists():
                    found = regrets(make, problem, batch, seeds)
                    row[index].write_text(json.dumps(found))
            if (index + 1) % 10 == 0 or index + 1 == len(problems):
                show(parsed, files, problems, batch, index + 1, details)


def show(
    variants: list[Variant],
    files: list[list[Path]],
    problems: list[Problem],
    batch: int,
    done: int,
    details: bool,
) -> None:
    """Print the comparison over the first ``done`` problems."""
    documents = [[json.loads(f.read_text()) for f in row[:done]] for row in files]
    means = np.array([[np.mean(d["regrets"], 0) for d in row] for row in documents])
    print(f"\nbatches of {batch}, {done} problems")
    print("| variant | after | mean | change [95 %] | ratio | better : worse | p |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for column, n in enumerate(EVALUATIONS[batch]):
        for variant, row in zip(variants, means, strict=True):
            told = compared(means[0, :, column], row[:, column])
            print(f"| {variant.label} | {n} | {told} |", flush=True)
    if details and done == len(problems):
        for problem, at in zip(problems, means.transpose(1, 2, 0), strict=True):
            columns = ["  ".join(f"{x:.4f}" for x in row) for row in at]
            print(f"{problem.name:22} {'  |  '.join(columns)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="+", help="the first is the reference")
    parser.add_argument("--seeds", type=int, default=3, help="searches of a problem")
    parser.add_argument("--batches", type=int, nargs="*", default=[5, 25])
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    parser.add_argument("--cache", type=Path, default=Path("paired"))
    parser.add_argument("--details", action="store_true", help="every problem")
    main(**vars(parser.parse_args()))
