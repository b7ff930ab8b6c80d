"""Compare searches with two goals: the hypervolume after so many trials.

Two problems: ZDT1 (Zitzler, Deb & Thiele, 2000) in six dimensions, and networks on
scikit-learn's digits, accuracy against the logarithm of the parameters, whose 8640
trainings are in ``tables/digits.parquet``. Every contender gets the same number of
trials with several keys. The hypervolume is a share of that of the true front.

    OPENBLAS_NUM_THREADS=1 python benchmarks/goals.py [--trials 128] [--keys 10]
        [--only NAME ...] [--json FILE]

Optuna asks for one trial after another, as its ``optimize`` does, and in batches of as
many trials as jaxtune's rounds have. Its sampler is the default for several goals.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optuna
import pandas as pd
import record
from scipy.stats import bootstrap

import jaxtune as jt
from jaxtune.goals.front import volume

ROUNDS = 8
NAMES = ("learning_rate", "momentum", "batch_size", "hidden_units", "layers", "dropout")


class Problem(NamedTuple):
    """Two goals to minimise, and what their hypervolume is compared with."""

    name: str
    space: jt.Space
    function: Callable[..., Any]  # (key, hparams) -> two metrics
    goals: tuple[tuple[str, str], ...]
    reference: tuple[float, float]
    best: float  # the volume of the true front


def zdt1() -> Problem:
    """Return ZDT1 in six dimensions."""
    space = jt.Space(**{f"x{i}": jt.uniform(0.0, 1.0) for i in range(6)})

    def function(key: Any, h: Any) -> dict[str, Any]:
        del key
        first, *rest = [h[name] for name in space.names]
        g = 1 + 9 * jnp.mean(jnp.stack(rest))
        return {"f1": first, "f2": g * (1 - jnp.sqrt(first / g))}

    reference = (1.1, 6.0)
    # the front is f2 = 1 - sqrt(f1) for f1 in [0, 1], and 1/3 lies below it
    best = 1.1 * 6.0 - 1 / 3
    goals = (("f1", "min"), ("f2", "min"))
    return Problem("ZDT1", space, function, goals, reference, best)


def digits() -> Problem:
    """Return the networks on digits, each with the accuracy that it had."""
    frame = pd.read_parquet(Path(__file__).parent / "tables" / "digits.parquet")
    values = {name: np.sort(frame[name].unique()) for name in NAMES}
    frame = frame.sort_values(list(NAMES))
    shape = [len(values[name]) for name in NAMES]
    error = jnp.asarray(1 - frame["accuracy"].to_numpy(np.float32).reshape(shape))
    space = jt.Space(**{name: jt.ordinal(v.tolist()) for name, v in values.items()})
    tables = {name: jnp.asarray(v, jnp.float32) for name, v in values.items()}

    def size(units: Any, layers: Any) -> Any:
        hidden = units * units + units
        return 64 * units + units + (layers - 1) * hidden + units * 10 + 10

    def function(key: Any, h: Any) -> dict[str, Any]:
        del key
        at = tuple(jnp.argmin(jnp.abs(tables[n] - h[n])) for n in NAMES)
        own = size(h["hidden_units"] * 1.0, h["layers"] * 1.0)
        return {"error": error[at], "size": jnp.log10(own)}

    lanes = np.meshgrid(*values.values(), indexing="ij")
    sizes = np.log10(size(lanes[3].astype(float), lanes[4].astype(float)))
    reference = (0.5, float(sizes.max()))
    every = np.stack([np.asarray(error).ravel(), sizes.ravel()], axis=1)
    best = volume(-every, [-r for r in reference])
    goals = (("error", "min"), ("size", "min"))
    return Problem("digits", space, function, goals, reference, best)


def ours(
    problem: Problem, key: int, trials: int, sampler: str | None, zooms: bool = True
) -> np.ndarray:
    """Search with jaxtune, and return the goals ``[n, 2]``."""
    import jax

    result = jt.search(
        problem.function,
        problem.space,
        key=jax.random.key(key),
        trials=trials,
        rounds=ROUNDS,
        sampler=sampler,
        refine=None if zooms else jt.zoom(floor=1.0),
        goals=list(problem.goals),
        verbose=0,
    )
    return np.stack([result.trials[name] for name, _ in problem.goals], axis=1)


def theirs(
    problem: Problem, key: int, trials: int, make: Any, batch: int | None
) -> np.ndarray:
    """Search with Optuna, and return the goals ``[n, 2]``."""
    sampler = None if make is None else make(seed=key)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    if make is None:  # the default itself, with a seed
        study.sampler = type(study.sampler)(seed=key)
    space = problem.space
    kinds = {
        name: jt.integrations.optuna.distribution(space[name]) for name in space.names
    }
    value = _compiled(problem)
    size, found = batch or 1, []
    for _ in range(0, trials, size):
        asked = [study.ask(kinds) for _ in range(size)]
        for trial in asked:
            goals = value(trial.params)
            study.tell(trial, goals)
            found.append(goals)
    return np.asarray(found)


def _compiled(problem: Problem) -> Callable[[dict[str, Any]], list[float]]:
    import jax

    program = jax.jit(partial(problem.function, None))

    def value(params: dict[str, Any]) -> list[float]:
        found = program(
            {name: jnp.float32(params[name]) for name in problem.space.names}
        )
        return [float(found[name]) for name, _ in problem.goals]

    return value


CONTENDERS: dict[str, Callable[..., np.ndarray]] = {
    "jaxtune sobol + zoom": partial(ours, sampler=None),
    "jaxtune tpe": partial(ours, sampler="tpe", zooms=False),
    "jaxtune tpe + zoom": partial(ours, sampler="tpe"),
    "jaxtune gaussian_process": partial(ours, sampler="gaussian_process", zooms=False),
    "Optuna default": partial(theirs, make=None, batch=None),
    "Optuna default, batches": partial(theirs, make=None, batch=16),
    "Optuna NSGA-II": partial(theirs, make=optuna.samplers.NSGAIISampler, batch=None),
    "Optuna random": partial(theirs, make=optuna.samplers.RandomSampler, batch=None),
}


def shares(problem: Problem, goals: np.ndarray, counts: list[int]) -> list[float]:
    """Return the hypervolume after each count of trials, as a share of the best."""
    reference = [-r for r in problem.reference]
    return [volume(-goals[:n], reference) / problem.best for n in counts]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--keys", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    counts = [options.trials // 4, options.trials // 2, options.trials]
    rows = []
    for problem in (zdt1(), digits()):
        for name in options.only:
            found, begin = [], time.process_time()
            for key in range(options.keys):
                goals = CONTENDERS[name](problem, key, options.trials)
                found.append(shares(problem, goals, counts))
            seconds = (time.process_time() - begin) / options.keys
            values = np.asarray(found)
            row = {"problem": problem.name, "contender": name, "seconds": seconds}
            for count, column in zip(counts, values.T, strict=True):
                row[str(count)] = {"mean": column.mean(), "interval": _interval(column)}
                row[str(count)]["keys"] = column.tolist()
            rows.append(row)
            text = "  ".join(
                f"{row[str(n)]['mean']:.3f} [{row[str(n)]['interval'][0]:.3f}, "
                f"{row[str(n)]['interval'][1]:.3f}]"
                for n in counts
            )
            print(f"{problem.name:8}{name:26}{text}  {seconds:.1f} s", flush=True)
    default = optuna.create_study(directions=["minimize"] * 2).sampler
    print(f"Optuna {optuna.__version__}: the default is {type(default).__name__}")
    record.write(options, rows)


def _interval(values: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of the mean over keys."""
    if np.ptp(values) == 0:
        return [float(values[0])] * 2
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(0))
    return [float(edge) for edge in found.confidence_interval]


if __name__ == "__main__":
    main()
