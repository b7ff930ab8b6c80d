"""Measure the winner again: what it is worth to spend a part of the budget on it.

Searches of noisy problems are recorded: the standard functions of ``problems.py`` with
noise, and tables of trained networks, where a measurement has the noise of one seed. Of
a search of 100 trials, plain search takes the best measured trial. With confirmation a
shorter search ends, and the rest of the trials measure its best ones again, with fresh
noise. Regret is that of the chosen configuration without noise: 0 is the optimum, 1 the
median random point.

    python benchmarks/confirm.py [--seeds 20] [--cache DIR] [--json FILE]

Finished searches are kept in DIR. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import record
from problems import Problem, functions, tabular
from scipy.stats import bootstrap, wilcoxon

TRIALS = 100
BATCH = {"sobol": 100, "gaussian_process": 5}
# configurations that are measured again, and how often
PLANS = ((2, 4), (3, 3), (3, 5), (5, 2), (5, 3), (5, 5), (10, 2), (10, 3))
STEPS = ((8, 1), (4, 1), (2, 2))  # of 8 once, the best 4 again, the best 2 twice more
DRAWS = 200  # of fresh noise, for each recorded search
RULES = ("fresh", "all", "shrunk")
LIKE = 100  # configurations of like loss, which share a level of noise


class Noisy(NamedTuple):
    """A problem, and the standard deviation of one measurement at each point.

    It is that of the logarithm where ``factor``: losses of seeds differ by a factor.
    """

    problem: Problem
    spread: Callable[[np.ndarray], np.ndarray]
    factor: bool

    def measured(self, value: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return value * np.exp(noise) if self.factor else value + noise


class Search(NamedTuple):
    """A recorded search: of each trial, in order ``[n]``.

    ``seen`` is what the sampler was told, ``value`` the truth, ``spread`` the noise,
    ``cell`` the configuration.
    """

    seen: np.ndarray
    value: np.ndarray
    spread: np.ndarray
    cell: np.ndarray


def suite() -> dict[str, Noisy]:
    """Return all problems by name; those without noise show what it costs."""
    found = {}
    for problem in functions():
        levels = (0.1, 0.03) if problem.noise else (0.0,)
        for level in levels:
            noise = level * (problem.typical - problem.best)
            name = problem.name.replace(" noisy", f", noise {level}")
            found[name] = Noisy(problem, lambda u, s=noise: np.full(len(u), s), False)
    for name in ("digits", "breast_cancer"):
        found[f"{name}, one seed"] = Noisy(
            tabular(name, "loss"), _seed_noise(name), True
        )
    return found


def _seed_noise(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the spread between seeds, of configurations with a like loss."""
    frame = pd.read_parquet(Path(__file__).parent / "tables" / f"{name}.parquet")
    losses = frame.filter(regex="^loss_").to_numpy(np.float64)
    means = losses.mean(1)
    finite = np.flatnonzero(np.isfinite(means))
    order = finite[np.argsort(means[finite])]
    variance = pd.Series(np.log(losses[order]).var(1, ddof=1))
    # two seeds say little of one configuration, and much of a hundred like ones
    smooth = variance.rolling(LIKE, center=True, min_periods=1).median()
    # the median of a variance of two seeds is less than its mean
    degrees = losses.shape[1] - 1
    of_median = np.median(np.random.default_rng(0).chisquare(degrees, 10**6)) / degrees
    spread = np.full(len(means), np.nan)
    spread[order] = np.sqrt(smooth.to_numpy() / of_median)
    # a problem looks rows up by their loss, which is as good as a name
    by_loss = dict(zip(means[order].tolist(), spread[order].tolist(), strict=True))
    look_up = tabular(name, "loss").value
    return lambda u: np.asarray([by_loss.get(v, 0.0) for v in look_up(u).tolist()])


def searched(noisy: Noisy, sampler: str, seed: int) -> Search:
    """Run a search in batches, told measurements with noise."""
    import jax

    import jaxtune as jt

    problem, random = noisy.problem, np.random.default_rng(seed)
    ours = getattr(jt.samplers, sampler)()
    state = ours.init(jax.random.key(seed), problem.space)
    rows: list[Search] = []
    counts = [len(problem.space[n].choices) or 10**6 for n in problem.space.names]
    for _ in range(TRIALS // BATCH[sampler]):
        state, asked = ours.ask(state, BATCH[sampler])
        points = np.asarray(asked, np.float64)
        value, spread = problem.value(points), noisy.spread(points)
        seen = noisy.measured(value, spread * random.standard_normal(len(value)))
        state = ours.tell(state, asked, -seen)
        cells = np.floor(points * counts).astype(np.int64)
        rows.append(Search(seen, value, spread, cells))
    return Search(*map(np.concatenate, zip(*rows, strict=True)))


def best_of(search: Search, count: int, first: int) -> np.ndarray:
    """Return the best ``count`` different configurations of the first trials."""
    order = np.argsort(
        np.where(np.isfinite(search.seen[:first]), search.seen[:first], np.inf)
    )
    _, where = np.unique(search.cell[order], axis=0, return_index=True)
    return order[np.sort(where)][:count]


def confirmed(
    noisy: Noisy, search: Search, count: int, times: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the true values of the choices by each rule, of ``DRAWS`` draws."""
    rows = best_of(search, count, TRIALS - count * times)
    noise = random.standard_normal((DRAWS, times, count)) * search.spread[rows]
    fresh = noisy.measured(search.value[rows], noise)
    chosen = {"fresh": fresh.mean(1)}
    first = search.seen[rows]
    chosen["all"] = (fresh.sum(1) + first) / (times + 1)
    # the first score, drawn to the fresh mean of all by what selection added to it
    luck = (first.mean() - fresh.mean((1, 2)))[:, None]
    weight = 0.5
    chosen["shrunk"] = (fresh.sum(1) + weight * (first - luck)) / (times + weight)
    return {rule: search.value[rows[s.argmin(1)]] for rule, s in chosen.items()}


def halved(noisy: Noisy, search: Search, random: np.random.Generator) -> np.ndarray:
    """Return the true values of the choices where repeats go to fewer and fewer."""
    first = TRIALS - sum(count * times for count, times in STEPS)
    rows = best_of(search, STEPS[0][0], first)
    rows = np.tile(rows, (DRAWS, 1))
    total, done = np.zeros(rows.shape), 0
    for count, times in STEPS:
        keep = np.argsort(total, axis=1)[:, :count]
        rows, total = (np.take_along_axis(a, keep, 1) for a in (rows, total))
        noise = random.standard_normal((times, *rows.shape)) * search.spread[rows]
        fresh = noisy.measured(search.value[rows], noise)
        total, done = (total * done + fresh.sum(0)) / (done + times), done + times
    return search.value[np.take_along_axis(rows, total.argmin(1)[:, None], 1)[:, 0]]


def study(name: str, noisy: Noisy, searches: list[Search]) -> dict[str, Any]:
    """Return regrets by plan and rule, each a list over searches."""
    regret = noisy.problem.regret
    random = np.random.default_rng(0)
    found: dict[str, Any] = {
        "plain": [float(regret(s.value[best_of(s, 1, TRIALS)[0]])) for s in searches],
        "best there": [float(regret(np.nanmin(s.value))) for s in searches],
    }
    for count, times in PLANS:
        short = TRIALS - count * times
        found[f"plain, {short}"] = [
            float(regret(s.value[best_of(s, 1, short)[0]])) for s in searches
        ]
        draws = [confirmed(noisy, s, count, times, random) for s in searches]
        for rule in RULES:
            found[f"{count} x {times}, {rule}"] = [
                float(np.mean(regret(d[rule]))) for d in draws
            ]
    draws = [halved(noisy, s, random) for s in searches]
    found["halving"] = [float(np.mean(regret(d))) for d in draws]
    return found


def recorded(cache: Path, name: str, noisy: Noisy, sampler: str, seeds: int):
    """Return the searches of a problem: from the cache, or run now."""
    searches = []
    for seed in range(seeds):
        file = cache / f"{name}, {sampler}, {seed}.npz"
        if not file.exists():
            np.savez(file, **searched(noisy, sampler, seed)._asdict())
        with np.load(file) as arrays:
            searches.append(Search(**arrays))
    return searches


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean regret of each plan and rule, and its gain on plain search."""
    found = []
    for sampler in BATCH:
        here = [row for row in rows if row["sampler"] == sampler]
        for kind in ("noise 0.1", "noise 0.03", "one seed", "no noise"):
            some = [r for r in here if r["kind"] == kind]
            if not some:
                continue
            plain = np.asarray([row["regrets"]["plain"] for row in some])
            for arm in some[0]["regrets"]:
                values = np.asarray([row["regrets"][arm] for row in some])
                gain = (plain - values).mean(0)  # of each seed, over problems
                equal = np.allclose(gain, 0)
                found.append(
                    {
                        "sampler": sampler,
                        "kind": kind,
                        "arm": arm,
                        "regret": float(values.mean()),
                        "gain": float(gain.mean()),
                        "interval": [0.0, 0.0] if equal else _interval(gain),
                        "p": 1.0 if equal else float(wilcoxon(gain).pvalue),
                        "better": f"{(values.mean(1) < plain.mean(1)).sum()} of {len(some)}",
                    }
                )
    return found


def _interval(values: np.ndarray) -> list[float]:
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(0))
    return [float(edge) for edge in found.confidence_interval]


def _kind(name: str) -> str:
    ends = [k for k in ("noise 0.1", "noise 0.03", "one seed") if name.endswith(k)]
    return ends[0] if ends else "no noise"


def main(options: argparse.Namespace) -> None:
    """Record, choose, print, and write the figures."""
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for sampler in BATCH:
        for name, noisy in suite().items():
            searches = recorded(options.cache, name, noisy, sampler, options.seeds)
            regrets = study(name, noisy, searches)
            rows.append(
                {
                    "problem": name,
                    "kind": _kind(name),
                    "sampler": sampler,
                    "regrets": regrets,
                }
            )
            print(sampler, name, flush=True)
    found = summary(rows)
    for row in found:
        low, high = row["interval"]
        print(
            f"| {row['sampler']} | {row['kind']} | {row['arm']} | {row['regret']:.4f} | "
            f"{row['gain']:+.4f} [{low:+.4f}, {high:+.4f}] | {row['p']:.3f} | "
            f"{row['better']} |"
        )
    record.write(options, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="searches of a problem")
    parser.add_argument("--cache", type=Path, default=Path("confirm"), help="folder")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    main(parser.parse_args())
