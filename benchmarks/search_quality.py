"""Compare samplers: regret after 25, 50, 100 and 200 trials, and time a point.

Every contender searches every problem of ``problems.py`` with several seeds, in batches
of 1, 25 or 100 trials. Its regret is that of the trial with the best measured value,
computed without the noise: 0 is the optimum, 1 the median random point.

    python benchmarks/search_quality.py [--seeds 20] [--only NAME ...] [--workers 2]
        [--cache DIR] [--json FILE]

Finished searches are kept in DIR, so an interrupted benchmark can be resumed. In FILE,
rows of contenders that were not run again are kept. "Optuna random" must always be in
DIR, since it is the reference. Set OPENBLAS_NUM_THREADS=1: otherwise the threads of the
workers wait for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from problems import Problem, suite
from scipy.stats import bootstrap

EVALUATIONS = (25, 50, 100, 200)
LIBRARIES = ("jax", "numpy", "optuna", "cmaes", "evosax", "torch", "hyperoptax")


class Ours:
    """One of jaxtune's samplers, in the whole space."""

    def __init__(self, make: str, problem: Problem, seed: int, batch: int):
        import jax

        import jaxtune as jt

        # CMA-ES learns from whole populations, so a batch is one
        options = {"population": batch} if make == "cma_es" and batch > 1 else {}
        self.sampler = getattr(jt.samplers, make)(**options)
        self.state = self.sampler.init(jax.random.key(seed), problem.space)

    def ask(self, n: int) -> np.ndarray:
        self.state, points = self.sampler.ask(self.state, n)
        return np.asarray(points)

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        self.state = self.sampler.tell(self.state, points, -values)


class Zoomed:
    """Sobol points, and a smaller box after every batch."""

    def __init__(self, zoom: dict, problem: Problem, seed: int, batch: int):
        import jax

        import jaxtune as jt

        self.key, self.round = jax.random.key(seed), 0
        self.root = self.box = problem.space
        self.sampler, self.zoom = jt.samplers.sobol(), jt.zoom(**zoom)
        self.points, self.values = np.empty((0, problem.space.dim)), np.empty(0)

    def ask(self, n: int) -> np.ndarray:
        import jax

        state = self.sampler.init(jax.random.fold_in(self.key, self.round), self.box)
        asked = np.asarray(self.sampler.ask(state, n)[1])
        # the sampler works in the cube of the box, the problem in that of the space
        return np.asarray(self.root.encode(self.box.decode(asked)))

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        self.points = np.concatenate([self.points, points])
        self.values = np.append(self.values, values)
        if np.isfinite(self.values).sum() > 1:
            first = 0 if self.zoom.rounds == "all" else -len(values)
            known = self.box.encode(self.root.decode(self.points[first:]))
            self.box = self.zoom(self.box, known, -self.values[first:])
        self.round += 1


class Optuna:
    """A sampler of Optuna, used by ask and tell as its documentation shows."""

    def __init__(
        self, make: str, options: dict, problem: Problem, seed: int, batch: int
    ):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        sampler = getattr(optuna.samplers, make)(seed=seed, **options)
        self.study = optuna.create_study(sampler=sampler)
        dims = [problem.space[name] for name in problem.space.names]
        # choices, whole numbers and ordinals by the number of their cell
        self.counts = [
            0 if d.cardinality == np.inf else int(d.cardinality) for d in dims
        ]
        kinds = optuna.distributions
        self.space = {
            name: kinds.CategoricalDistribution(range(count))
            if dim.allowed is not None
            else kinds.IntDistribution(0, count - 1)
            if count
            else kinds.FloatDistribution(0.0, 1.0)
            for name, dim, count in zip(
                problem.space.names, dims, self.counts, strict=True
            )
        }
        self.conditions = {
            name: [
                (parent, [problem.space[parent].choices.index(v) for v in values])
                for parent, values in dim.condition
            ]
            for name, dim in zip(problem.space.names, dims, strict=True)
        }
        self.open: list[Any] = []

    def ask(self, n: int) -> np.ndarray:
        self.open = [self.study.ask() for _ in range(n)]
        rows = [self._row(trial) for trial in self.open]
        return np.minimum(np.asarray(rows), 1 - 1e-7)  # the cube is half open

    def _row(self, trial: Any) -> list[float]:
        """Suggest the values that matter, and return the point of the cube."""
        values: dict[str, float] = {}
        for name, kind in self.space.items():
            needed = self.conditions[name]
            # parents stand before their children
            if all(values.get(parent) in wanted for parent, wanted in needed):
                values[name] = _suggested(trial, name, kind)
        return [
            (values[name] + 0.5) / count
            if count and name in values
            else values.get(name, 0.5)
            for name, count in zip(self.space, self.counts, strict=True)
        ]

    def add(self, points: np.ndarray, values: np.ndarray) -> None:
        """Add trials that the sampler did not suggest."""
        from optuna.trial import create_trial

        for point, value in zip(points.tolist(), values.tolist(), strict=True):
            params = dict(zip(self.space, point, strict=True))
            trial = create_trial(value=value, params=params, distributions=self.space)
            self.study.add_trial(trial)

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        from optuna.trial import TrialState

        for trial, value in zip(self.open, values.tolist(), strict=True):
            if np.isfinite(value):
                self.study.tell(trial, value)
            else:
                self.study.tell(trial, state=TrialState.FAIL)


def _suggested(trial: Any, name: str, kind: Any) -> float:
    if hasattr(kind, "choices"):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind.low, int):
        return trial.suggest_int(name, kind.low, kind.high)
    return trial.suggest_float(name, kind.low, kind.high)


class Hyperoptax:
    """The Gaussian process of hyperoptax; a failure gets the worst value so far."""

    def __init__(self, problem: Problem, seed: int, batch: int):
        import jax
        from hyperoptax import LinearSpace
        from hyperoptax.bayesian import BayesianSearch

        self.names, self.key = problem.space.names, jax.random.key(seed)
        space = {name: LinearSpace(0.0, 1.0) for name in self.names}
        self.state, self.optimizer = BayesianSearch.init(
            space, n_max=200, n_parallel=batch, maximize=False
        )
        self.worst = 0.0

    def ask(self, n: int) -> np.ndarray:
        import jax

        self.key, key = jax.random.split(self.key)
        self.asked = self.optimizer.get_next_params(self.state, key)
        rows = [np.asarray(self.asked[name]) for name in self.names]
        return np.clip(np.stack(rows, axis=1), 0.0, 1 - 1e-7)

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        import jax
        import jax.numpy as jnp

        self.worst = max([self.worst, *values[np.isfinite(values)].tolist()])
        finite = jnp.asarray(np.where(np.isfinite(values), values, self.worst))
        self.key, key = jax.random.split(self.key)
        self.state = self.optimizer.update_state(
            self.state, key, finite.astype(jnp.float32), self.asked
        )


def searched(problem: Problem, seed: int, trials: int) -> float:
    """Return the regret of what ``jt.search`` finds that is told nothing else."""
    import jax

    import jaxtune as jt

    space = problem.space

    def values(hparams: dict[str, np.ndarray]) -> np.ndarray:
        columns = {name: np.ravel(column) for name, column in hparams.items()}
        return problem.value(np.asarray(space.encode(columns), np.float64))

    def host(hparams: dict[str, np.ndarray]) -> np.ndarray:
        shape = np.shape(next(iter(hparams.values())))
        return values(hparams).astype(np.float32).reshape(shape)

    def place(name: str, value: Any) -> Any:
        """Return a value as the space encodes it: a choice by its place."""
        if isinstance(value, jt.Choice):
            return value.index
        if space[name].allowed is None:
            return value
        return (jax.numpy.asarray(space[name].choices) == value).argmax()

    def objective(key: Any, hparams: dict[str, Any]) -> Any:
        columns = {name: place(name, hparams[name]) for name in space.names}
        number = jax.ShapeDtypeStruct((), np.float32)
        value = jax.pure_callback(host, number, columns, vmap_method="expand_dims")
        return (
            value + problem.noise * jax.random.normal(key) if problem.noise else value
        )

    result = jt.search(
        objective,
        space,
        key=jax.random.key(seed),
        trials=trials,
        mode="min",
        verbose=0,
    )
    true = values(dict(result.trials.decoded))
    return float(problem.regret(true[result.best.trial]))


# batch sizes for which the time a point is measured
ASKED = {
    "Optuna TPE": (1, 64),
    "jaxtune gaussian_process": (1, 64, 512),
    "jaxtune trust_region": (64,),
    "jaxtune tpe": (1, 64, 1024),
}

# name: how to make the contender, and batch size to number of evaluations
ALL = {1: 200, 25: 200, 100: 200}
FORMER = {"top": 0.1, "margin": 1.0, "evidence": 0.05, "rounds": "last"}
OWN = 0  # in place of a batch size: a whole search, which chooses its own
CONTENDERS: dict[str, tuple[Callable[..., Any], dict[int, int]]] = {
    "jaxtune search": (searched, {OWN: 200}),
    "jaxtune uniform": (partial(Ours, "uniform"), {25: 200}),
    "jaxtune sobol": (partial(Ours, "sobol"), {25: 200}),
    "jaxtune sobol + zoom": (partial(Zoomed, {}), {25: 200}),
    "jaxtune sobol + zoom of 0.2.0": (partial(Zoomed, FORMER), {25: 200}),
    "jaxtune tpe": (partial(Ours, "tpe"), ALL),
    "jaxtune cma_es": (partial(Ours, "cma_es"), {25: 200}),
    "jaxtune gaussian_process": (partial(Ours, "gaussian_process"), ALL | {1: 100}),
    "jaxtune trust_region": (partial(Ours, "trust_region"), {25: 200, 100: 200}),
    "Optuna random": (partial(Optuna, "RandomSampler", {}), {25: 200}),
    "Optuna TPE": (partial(Optuna, "TPESampler", {}), ALL),
    "Optuna CMA-ES": (partial(Optuna, "CmaEsSampler", {}), ALL),
    "Optuna GP": (partial(Optuna, "GPSampler", {}), {1: 100}),
    "hyperoptax GP": (Hyperoptax, {1: 100}),  # 8 s a point: days for all of it
}


def run(name: str, batch: int, index: int, seeds: int) -> dict[str, Any]:
    """Run one contender on one problem.

    Returns:
      Regrets ``[seeds, evaluations]``, and milliseconds of the sampler for each point.
    """
    make, evaluations = CONTENDERS[name]
    most = evaluations[batch]
    problem = suite()[index]
    regrets, asking = [], 0.0
    if batch == OWN:
        begin = time.perf_counter()
        for seed in range(seeds):
            # of each length, since the batches follow from it
            regrets.append([make(problem, seed, n) for n in EVALUATIONS])
        asking = (time.perf_counter() - begin) * most / sum(EVALUATIONS)
        return {"regrets": regrets, "asking_ms": 1e3 * asking / (seeds * most)}
    for seed in range(seeds):
        noise = np.random.default_rng(seed)
        contender = make(problem, seed, batch)
        seen, true = np.empty(0), np.empty(0)
        while len(seen) < most:
            begin = time.perf_counter()
            points = contender.ask(batch)
            asking += time.perf_counter() - begin
            value = problem.value(np.asarray(points, np.float64))
            measured = value + problem.noise * noise.standard_normal(len(value))
            begin = time.perf_counter()
            contender.tell(points, measured)
            asking += time.perf_counter() - begin
            seen, true = np.append(seen, measured), np.append(true, value)
        regrets.append([_incumbent(problem, seen, true, n) for n in EVALUATIONS])
    return {"regrets": regrets, "asking_ms": 1e3 * asking / (seeds * most)}


def _incumbent(problem: Problem, seen: np.ndarray, true: np.ndarray, n: int) -> float:
    """Return the true regret of the trial that looks best among the first ``n``.

    NaN if there are fewer than ``n`` trials, or none of them has a score.
    """
    if n > len(seen) or not np.isfinite(seen[:n]).any():
        return float("nan")
    return float(problem.regret(true[np.nanargmin(seen[:n])]))


def measure(seeds: int, only: list[str], cache: Path, workers: int) -> None:
    """Run what the cache lacks: a file for each contender, batch and problem."""
    cache.mkdir(parents=True, exist_ok=True)
    names = [problem.name for problem in suite()]
    jobs = [
        (name, batch, index)
        for name in only
        for batch in CONTENDERS[name][1]
        for index in range(len(names))
    ]
    jobs.sort(key=lambda job: (25, OWN, 1, 100).index(job[1]))
    # "spawn", since JAX has threads that a fork would not copy
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    with pool:
        waiting = {}
        for name, batch, index in jobs:
            file = cache / f"{name}, {batch}, {names[index]}, {seeds}.json"
            if not file.exists():
                waiting[pool.submit(run, name, batch, index, seeds)] = file
        for done in as_completed(waiting):
            waiting[done].write_text(json.dumps(done.result()))
            print(waiting[done].stem, flush=True)


def summary(seeds: int, cache: Path) -> list[dict[str, Any]]:
    """Return a row for every contender and batch that ran on all problems."""
    names = [problem.name for problem in suite()]
    found, rows = {}, []
    for name, (_, batches) in CONTENDERS.items():
        for batch in batches:
            files = [cache / f"{name}, {batch}, {p}, {seeds}.json" for p in names]
            if all(file.exists() for file in files):
                found[name, batch] = [json.loads(file.read_text()) for file in files]
    reference = _regrets(found["Optuna random", 25]).mean(1)
    for (name, batch), results in found.items():
        regrets = _regrets(results)
        row: dict[str, Any] = {"contender": name, "batch": batch}
        for column, n in enumerate(EVALUATIONS):
            values = regrets[:, :, column]
            # the trials of a batch have no order, so its best is known only as a whole
            if np.isnan(values).any() or n < batch:
                continue
            row[str(n)] = {
                "mean": values.mean(),
                "interval": _interval(values.mean(0)),
                "median": np.median(values),
                "of random": (values.mean(1) / reference[:, column]).mean(),
                "problems": dict(zip(names, values.mean(1).tolist(), strict=True)),
            }
        row["asking_ms"] = np.mean([result["asking_ms"] for result in results])
        rows.append(row)
    return rows


def _regrets(results: list[dict[str, Any]]) -> np.ndarray:
    """Return regrets ``[problems, seeds, evaluations]``."""
    return np.asarray([result["regrets"] for result in results], np.float64)


def _interval(means: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of the mean over seeds."""
    found = bootstrap((means,), np.mean, rng=np.random.default_rng(0))
    return [float(edge) for edge in found.confidence_interval]


def asking(known: int = 500, dim: int = 5) -> list[dict[str, Any]]:
    """Return milliseconds a point after 500 trials, compiled; medians of five asks."""
    import jaxtune as jt

    space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(dim)})
    problem = Problem("cube", space, lambda u: ((u - 0.3) ** 2).sum(1), 0.0, 0.0, 1.0)
    random = np.random.default_rng(0).random((known, dim), dtype=np.float32)
    rows = []
    for name, batches in ASKED.items():
        for batch in batches:
            contender = CONTENDERS[name][0](problem, 0, batch)
            if isinstance(contender, Optuna):
                contender.add(random, problem.value(random))
            else:
                contender.tell(random, problem.value(random))
            times = []
            for turn in range(6):  # the first one compiles
                state = getattr(contender, "state", None)
                begin = time.perf_counter()
                contender.ask(batch)
                if turn:
                    times.append(time.perf_counter() - begin)
                if state is not None:  # ask the same again, with no points pending
                    contender.state = state
            each = 1e3 * float(np.median(times)) / batch
            rows.append({"contender": name, "batch": batch, "ms": each})
            print(f"{name}, batches of {batch}: {each:.3f} ms a point", flush=True)
    return rows


def show(rows: list[dict[str, Any]], evaluations: int) -> str:
    """Return a Markdown table at one number of evaluations, best contender first."""
    key = str(evaluations)
    shown = sorted((r for r in rows if key in r), key=lambda r: r[key]["mean"])
    lines = [
        f"| after {key} trials | batch | mean regret [95 %] | median "
        "| share of random's | ms/point |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in shown:
        at = row[key]
        low, high = at["interval"]
        lines.append(
            f"| {row['contender']} | {row['batch']} | {at['mean']:.3f} "
            f"[{low:.3f}, {high:.3f}] | {at['median']:.4f} | {at['of random']:.2f} | "
            f"{row['asking_ms']:.2f} |"
        )
    return "\n".join(lines)


def _with_earlier(rows: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Return the rows, and those of an earlier file that were not measured again."""
    known = {(row["contender"], row["batch"]) for row in rows}
    earlier = json.loads(out.read_text())["rows"] if out.exists() else []
    kept = [row for row in earlier if (row["contender"], row["batch"]) not in known]
    return rows + kept


def _versions() -> dict[str, str]:
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def main(seeds: int, only: list[str], cache: Path, out: Path | None, workers: int):
    """Measure, print the tables, and write the figures."""
    measure(seeds, only, cache, workers)
    rows = summary(seeds, cache)
    for n in EVALUATIONS:
        print(show(rows, n), end="\n\n")
    if out:
        rows = _with_earlier(rows, out)
        settings = {
            "seeds": seeds,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": _versions(),
        }
        document = {"settings": settings, "rows": rows, "asking": asking()}
        out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="searches of a problem")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=CONTENDERS,
        default=[*CONTENDERS],
        help="contenders to run",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("search_quality"),
        help="folder of finished searches",
    )
    parser.add_argument(
        "--json", type=Path, dest="out", help="file to write the figures to"
    )
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    main(**vars(parser.parse_args()))
