"""Measure the winner again: what it is worth to spend a part of the budget on it.

Searches of noisy problems are recorded: the standard functions of ``problems.py`` with
noise, and tables of trained networks, where a measurement has the noise of one seed. Of
a search of 100 trials, plain search takes the best measured trial. With confirmation a
shorter search ends, and the rest of the trials measure its best ones again, with fresh
noise. Each rule says which measurements then decide: the fresh ones alone, or all; in
``halving`` the repeats go to fewer and fewer. Regret is that of the chosen one
without noise: 0 is the optimum, 1 the median random point, and no more is counted.

    python benchmarks/confirm.py [--seeds 20] [--cache DIR] [--json FILE]

Finished searches are kept in DIR. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import record
from problems import Problem, functions, tabular
from scipy.stats import bootstrap, wilcoxon
from tables import SPACES

TRIALS = 100
BATCH = {"sobol": 100, "gaussian_process": 5}
# configurations that are measured again, and how often
PLANS = ((2, 4), (3, 3), (3, 5), (5, 2), (5, 3), (5, 5), (10, 2), (10, 3))
STEPS = ((8, 1), (4, 1), (2, 2))  # of 8 once, the best 4 again, the best 2 twice more
DRAWS = 200  # of fresh noise, for each recorded search
RULES = ("fresh", "all")
KINDS = ("one seed", "noise 0.1", "noise 0.03", "no noise")
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
    for name in SPACES:
        trained = Noisy(tabular(name, "loss"), _seed_noise(name), True)
        found[f"{name}, one seed"] = trained
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
    for _ in range(TRIALS // BATCH[sampler]):
        state, asked = ours.ask(state, BATCH[sampler])
        points = np.asarray(asked, np.float64)
        value, spread = problem.value(points), noisy.spread(points)
        seen = noisy.measured(value, spread * random.standard_normal(len(value)))
        state = ours.tell(state, asked, -seen)
        # in a table configurations are as good as their losses; elsewhere none is twice
        cell = value if noisy.factor else np.arange(len(value)) + 1e6 * len(rows)
        rows.append(Search(seen, value, spread, cell))
    return Search(*map(np.concatenate, zip(*rows, strict=True)))


def best_of(search: Search, count: int, first: int) -> np.ndarray:
    """Return the best ``count`` different configurations of the first trials."""
    seen = search.seen[:first]
    order = np.argsort(np.where(np.isfinite(seen), seen, np.inf))
    _, where = np.unique(search.cell[order], return_index=True)
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


def study(noisy: Noisy, searches: list[Search]) -> dict[str, Any]:
    """Return regrets by plan and rule, each a list over searches."""

    def regret(value: np.ndarray) -> np.ndarray:
        # a lucky seed of a training that mostly diverges must not be all of a mean
        return np.minimum(noisy.problem.regret(value), 1.0)

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


def promised(noisy: Noisy, searches: list[Search]) -> list[tuple[float, bool]]:
    """Return how likely the chosen one was said to be the best, and whether it is."""
    from jaxtune.results.confirmed import chances

    random, found = np.random.default_rng(0), []
    for search in searches:
        rows = best_of(search, 5, TRIALS - 15)
        true = search.value[rows]
        for _ in range(5):
            noise = random.standard_normal((3, len(rows))) * search.spread[rows]
            fresh = noisy.measured(true, noise)
            chosen = fresh.mean(0).argmin()
            # lower is better here, and higher in `chances`
            chance = chances([*-fresh.T])[chosen]
            found.append((float(chance), bool(true[chosen] == true.min())))
    return found


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean regret of each plan and rule, and its gain on plain search."""
    found = []
    for sampler in BATCH:
        for kind in KINDS:
            some = [r for r in rows if r["sampler"] == sampler and r["kind"] == kind]
            plain = np.asarray([row["regrets"]["plain"] for row in some])
            for arm in some[0]["regrets"]:
                values = np.asarray([row["regrets"][arm] for row in some])
                better = int((values.mean(1) < plain.mean(1)).sum())
                gain = _gain((plain - values).mean(0))
                about = {"sampler": sampler, "kind": kind, "arm": arm}
                about |= {"regret": float(values.mean()), **gain}
                names = [row["problem"] for row in some]
                each = zip(names, values.mean(1).tolist(), strict=True)
                about["problem"] = dict(each)
                found.append(about | {"better": better, "problems": len(some)})
    return found


def calibration(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of each range of promised chances how often they came true."""
    known = np.asarray([pair for row in rows for pair in row.get("promised", [])])
    edges, found = (0.0, 0.3, 0.5, 0.7, 0.9, 1.01), []
    for low, high in itertools.pairwise(edges):
        here = known[(known[:, 0] >= low) & (known[:, 0] < high)]
        chance, hit = here.mean(0)
        about = {"from": low, "to": min(high, 1.0), "searches": len(here)}
        found.append(about | {"said": float(chance), "true": float(hit)})
    return found


def _gain(gain: np.ndarray) -> dict[str, Any]:
    """Return the mean gain of searches ``[seeds]`` over problems, and its interval."""
    if np.allclose(gain, 0):
        return {"gain": 0.0, "interval": [0.0, 0.0], "p": 1.0}
    p = float(wilcoxon(gain).pvalue)
    return {"gain": float(gain.mean()), "interval": _interval(gain), "p": p}


def _interval(values: np.ndarray) -> list[float]:
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(0))
    return [float(edge) for edge in found.confidence_interval]


def _kind(name: str) -> str:
    return next((kind for kind in KINDS if name.endswith(kind)), "no noise")


def main(options: argparse.Namespace) -> None:
    """Record, choose, print, and write the figures."""
    options.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for sampler in BATCH:
        for name, noisy in suite().items():
            searches = recorded(options.cache, name, noisy, sampler, options.seeds)
            row = {"problem": name, "kind": _kind(name), "sampler": sampler}
            if row["kind"] != "no noise":
                row["promised"] = promised(noisy, searches)
            rows.append(row | {"regrets": study(noisy, searches)})
            print(sampler, name, flush=True)
    found, known = summary(rows), calibration(rows)
    for row in found:
        low, high = row["interval"]
        print(
            f"| {row['sampler']} | {row['kind']} | {row['arm']} | {row['regret']:.4f} "
            f"| {row['gain']:+.4f} [{low:+.4f}, {high:+.4f}] | {row['p']:.3f} "
            f"| {row['better']} of {row['problems']} |"
        )
    for row in known:
        print(row)
    del options.cache  # a place on this machine, and no setting
    record.write(options, {"regrets": found, "calibration": known})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="searches of a problem")
    parser.add_argument("--cache", type=Path, default=Path("confirm"), help="folder")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    main(parser.parse_args())
