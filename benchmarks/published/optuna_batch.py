"""Compare samplers on Optuna's own benchmark of batches.

Five functions of BBOB and three tables of trained networks, in batches of 5, 10 and 50,
judged after 25, 50, 75 and 100 trials, as Optuna did for its Gaussian process (pull
requests 6430 and 6640 of optuna/optuna, 2026). Each sampler of Optuna stands beside
the one of jaxtune that is of its kind; all are used by ask and tell, as documented.

    python -m benchmarks.published.optuna_batch [--seeds 10] [--only NAME ...]
        [--batches 5 10 50]

After each job the figures are written, and jobs in the file are not run again, so that
an interrupted command can go on. Optuna's Gaussian process needs PyTorch (its CPU
build). Their Mann-Whitney test says which of two samplers is better on a problem.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from problems import Problem
from scipy.stats import mannwhitneyu, rankdata
from search_quality import Optuna, Ours

from benchmarks import record
from benchmarks.published.batch_problems import BBOB, PROBLEMS, problem_of
from benchmarks.published.common import arguments, interval, recorded, shown, table

LENGTHS, BATCHES, SEEDS = (25, 50, 75, 100), (5, 10, 50), 10  # theirs: 100 seeds
LEVEL = 0.05  # of the Mann-Whitney test, as theirs
NO_MODEL = "no model"
LEAST = 1e-7  # a regret that float32 still tells from none


class Contender(NamedTuple):
    """A sampler of either tool."""

    tool: str
    kind: str  # samplers of one kind are compared in pairs
    make: Callable[[Problem, int, int], Any]  # (problem, seed, batch)


def _theirs(kind: str, name: str) -> Contender:
    def make(problem: Problem, seed: int, batch: int) -> Optuna:
        # one population a batch, as our own gets it too
        options = {"popsize": batch} if name == "CmaEsSampler" else {}
        return Optuna(name, options, problem, seed, batch)

    return Contender("Optuna", kind, make)


def _ours(kind: str, name: str) -> Contender:
    return Contender("jaxtune", kind, lambda *given: Ours(name, *given))


CONTENDERS = {
    "GPSampler": _theirs("Gaussian process", "GPSampler"),
    "gaussian_process": _ours("Gaussian process", "gaussian_process"),
    "TPESampler": _theirs("Parzen estimator", "TPESampler"),
    "tpe": _ours("Parzen estimator", "tpe"),
    "CmaEsSampler": _theirs("CMA-ES", "CmaEsSampler"),
    "cma_es": _ours("CMA-ES", "cma_es"),
    "RandomSampler": _theirs(NO_MODEL, "RandomSampler"),
    "sobol": _ours(NO_MODEL, "sobol"),
    "trust_region": _ours("", "trust_region"),
}


def searched(name: str, problem: int | str, batch: int, seed: int) -> dict[str, Any]:
    """Search a problem once.

    Returns:
      Regret after each of `LENGTHS`, and what the sampler took: ``seconds`` and, with
      all its threads, ``cpu`` seconds.
    """
    what, spent = problem_of(problem), np.zeros(2)

    def clocks() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    begun = clocks()
    contender = CONTENDERS[name].make(what, seed, batch)
    spent += clocks() - begun
    values = np.empty(0)
    while len(values) < max(LENGTHS):
        begun = clocks()
        points = np.asarray(contender.ask(batch), np.float64)
        spent += clocks() - begun
        new = what.value(points)
        begun = clocks()
        contender.tell(points, new)
        spent += clocks() - begun
        values = np.append(values, new)
    best = [float(what.regret(np.nanmin(values[:n]))) for n in LENGTHS]
    return {"regret": best, "seconds": spent[0], "cpu": spent[1]}


def job(name: str, batch: int, problem: int | str, seeds: int) -> dict[str, Any]:
    """Return a row: a contender on a problem, ``regret`` by length and seed."""
    runs = [searched(name, problem, batch, seed) for seed in range(seeds)]
    regret = {
        str(length): [float(f"{run['regret'][i]:.4g}") for run in runs]
        for i, length in enumerate(LENGTHS)
    }
    row = {"name": name, "batch": batch, "problem": str(problem), "seeds": seeds}
    for clock in ("seconds", "cpu"):
        row[f"first_{clock}"] = round(runs[0][clock], 3)
        row[clock] = round(float(np.median([run[clock] for run in runs[1:]])), 4)
    return row | {"regret": regret}


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a row from the others."""
    return row["name"], row["batch"], row["problem"], row["seeds"]


def measured(options: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[None]:
    """Run the jobs that ``rows`` lacks, and yield whenever it has one more."""
    known = {identity(row) for row in rows}
    jobs = product(options.only, options.batches, options.problems, [options.seeds])
    context = get_context("spawn")  # JAX has threads that a fork would not copy
    with (
        tempfile.TemporaryDirectory() as programs,
        ProcessPoolExecutor(options.workers, mp_context=context) as pool,
    ):
        # Optuna documents the first for GPSampler; and nothing is compiled beforehand
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.environ["JAXTUNE_CACHE"] = programs
        waiting = [
            pool.submit(job, *one)
            for one in jobs
            if (*one[:2], str(one[2]), one[3]) not in known
        ]
        for done in as_completed(waiting):
            rows.append(done.result())
            yield


# -- tables --


class Figures:
    """The rows of the file, by contender, batch and problem."""

    def __init__(self, written: dict[str, Any]):
        self.rows = {identity(row)[:3]: row for row in written["rows"]}
        self.batches = sorted({batch for _, batch, _ in self.rows})
        self.names = [n for n in CONTENDERS if any(n == row[0] for row in self.rows)]
        self.problems = [
            str(p) for p in PROBLEMS if any(str(p) == row[2] for row in self.rows)
        ]

    def regret(self, name: str, batch: int, problem: str, length: int) -> np.ndarray:
        """Return the regret of each seed."""
        return np.array(self.rows[name, batch, problem]["regret"][str(length)])

    def mean(self, name: str, batch: int, problems: list[str]) -> str:
        """Return the mean over problems after all trials, with its interval."""
        last = LENGTHS[-1]
        every = [self.regret(name, batch, problem, last) for problem in problems]
        return shown(np.mean(every, 0), 3) if every else ""

    def geometric(self, name: str, batch: int, problems: list[str]) -> str:
        """Return the same of the logarithms: the mean, and the factor of its ends."""
        last = LENGTHS[-1]
        every = [self.regret(name, batch, problem, last) for problem in problems]
        if not every:
            return ""
        mean, half = interval(np.mean(np.log(np.maximum(every, LEAST)), 0))
        return f"{np.exp(mean):.1e} ×/÷ {np.exp(half):.1f}"

    def better(self, name: str, other: str, batch: int) -> int:
        """Count the problems and lengths on which ``name`` is better by the test."""
        count = 0
        for problem, length in product(self.problems, LENGTHS):
            one, two = (self.regret(n, batch, problem, length) for n in (name, other))
            count += mannwhitneyu(one, two, alternative="less").pvalue < LEVEL
        return count


def _pairs() -> dict[str, tuple[str, str]]:
    kinds: dict[str, list[str]] = {}
    for name, contender in CONTENDERS.items():
        kinds.setdefault(contender.kind, []).append(name)
    return {kind: (names[0], names[1]) for kind, names in kinds.items() if kind}


def tables(written: dict[str, Any]) -> str:
    """Return the table of pairs: Optuna's sampler beside ours of its kind."""
    figures, rows = Figures(written), []
    functions = [p for p in figures.problems if p.isdigit()]
    others = [p for p in figures.problems if not p.isdigit()]
    for kind, (theirs, ours) in _pairs().items():
        if not {theirs, ours} <= {*figures.names}:
            continue
        # without a model the points are the same in any batches
        batches = figures.batches if kind != NO_MODEL else figures.batches[:1]
        for batch in batches:
            cells = [figures.geometric(n, batch, functions) for n in (theirs, ours)]
            cells += [figures.mean(n, batch, others) for n in (theirs, ours)]
            wins = f"{figures.better(ours, theirs, batch)} : "
            wins += f"{figures.better(theirs, ours, batch)}"
            said = batch if kind != NO_MODEL else "any"
            rows.append([f"`{theirs}`, `{ours}()`", said, *cells, wins])
    header = ["samplers: theirs, ours", "batch", "BBOB: theirs", "ours"]
    return table([*header, "tables: theirs", "ours", "better: ours : theirs"], rows)


def samplers(written: dict[str, Any]) -> str:
    """Return the table of all samplers: mean rank, and time a trial."""
    figures, rows = Figures(written), []
    ranks = {batch: _ranks(figures, batch) for batch in figures.batches}
    for place, name in enumerate(figures.names):
        own = [row for row in figures.rows.values() if row["name"] == name]
        spent = [
            np.median([row["cpu"] for row in own if row["batch"] == batch])
            for batch in figures.batches
        ]
        called = name if CONTENDERS[name].tool == "Optuna" else f"{name}()"
        rows.append(
            [
                f"{CONTENDERS[name].tool} `{called}`",
                *(shown(ranks[batch][place]) for batch in figures.batches),
                *(f"{1e3 * seconds / LENGTHS[-1]:.1f}" for seconds in spent),
                f"{max(row['first_cpu'] for row in own):.1f}",
            ]
        )
    rows.sort(key=lambda row: float(row[1].split()[0]))
    header = [f"rank, batches of {batch}" for batch in figures.batches]
    header += [f"ms a trial, {batch}" for batch in figures.batches]
    return table(["sampler", *header, "s, first search"], rows)


def _ranks(figures: Figures, batch: int) -> np.ndarray:
    """Return each contender's rank by seed, a mean over problems; 1 is the best."""
    last = LENGTHS[-1]
    by_problem = [
        [figures.regret(name, batch, problem, last) for name in figures.names]
        for problem in figures.problems
    ]
    # a slow sampler has fewer seeds
    seeds = min(len(regret) for every in by_problem for regret in every)
    ranks = [
        rankdata([regret[:seeds] for regret in every], axis=0) for every in by_problem
    ]
    return np.mean(ranks, 0)


def processes(written: dict[str, Any]) -> str:
    """Return the table of the two Gaussian processes, problem by problem."""
    figures, rows = Figures(written), []
    theirs, ours = _pairs()["Gaussian process"]
    if not {theirs, ours} <= {*figures.names}:
        return ""
    for problem in figures.problems:
        name = f"{BBOB[int(problem)]} (f{problem})" if problem.isdigit() else problem
        cells = [
            f"{np.median(figures.regret(one, batch, problem, LENGTHS[-1])):.2g}"
            for batch in figures.batches
            for one in (theirs, ours)
        ]
        rows.append([name, *cells])
    header = [
        text for batch in figures.batches for text in (f"{batch}: theirs", "ours")
    ]
    return table(["problem", *header], rows)


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = arguments(__doc__, "optuna_batch")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="searches of each")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=[*CONTENDERS])
    parser.add_argument("--batches", nargs="*", type=int, default=[*BATCHES])
    options = parser.parse_args()
    options.problems = PROBLEMS
    if options.small:
        options.batches, options.problems, options.seeds = [50], (1, "digits"), 2
    rows = [] if options.small else [*recorded(options)]
    for _ in measured(options, rows):
        record.write(options, rows)
    written = {"rows": rows}
    for made in (tables, samplers, processes):
        print(made(written), end="\n\n")


if __name__ == "__main__":
    main()
