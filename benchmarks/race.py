"""Race the best: what it costs, whether it promises the truth, and what it finds.

``simulated``: races of configurations whose true quality is known. How many
measurements they take of the ``top * seeds`` that they may, how often the true best
leaves, how often the winner is the true best, and how often that was said.

``searched``: whole searches of a noisy function and of the digits of
``experiments/digits.py``, with a race and, for the same number of trainings, without:
plain search, ``confirm=``, and several seeds of every trial. The setting that each
chooses is judged by seeds that had no part in the choice, or by the function itself.

``shared``: what pairs of measurements with the same seeds would be worth: how the
scores of good settings of the digits correlate over seeds that they share.

    python benchmarks/race.py [--parts PART ...] [--races N] [--keys N] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import record

import jaxtune as jt
from jaxtune.results.confirmed import chances
from jaxtune.results.racing import measured_of, still_in

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import digits

TOP, SEEDS, LOOKS = 8, 16, (2, 4, 8, 16)
# spread of the true qualities in units of the noise; in "uneven" the noise of one
# configuration is that of another times a factor of about 1.5
SPREADS = (0.0, 0.3, 1.0, 3.0)
NOISES = {"even": 0.0, "uneven": 0.4}
SEARCHED, EPOCHS, FRESH = 128, 10, 64
EDGES = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)


class Race(NamedTuple):
    """The end of a simulated race: what was said, and what is true."""

    measurements: int
    winner: int
    left: np.ndarray
    chance: float


def raced(truth: np.ndarray, noise: np.ndarray, random: np.random.Generator) -> Race:
    """Return the race of configurations ``[m]`` of known quality, higher is better."""
    drawn = truth + noise * random.standard_normal((SEEDS, len(truth)))
    inside = np.ones(len(truth), bool)
    repeat_of, scores = np.zeros(0, int), np.zeros(0)
    for begin, end in zip((0, *LOOKS), LOOKS, strict=False):
        rows = np.flatnonzero(inside)
        repeat_of = np.append(repeat_of, np.tile(rows, end - begin))
        scores = np.append(scores, drawn[begin:end, rows].ravel())
        found = measured_of(repeat_of, {"score": scores}, "max")
        inside[found.trials] = still_in(found, scores, "max", LOOKS)
        if inside.sum() == 1:
            break
    means = np.where(inside, found.means["score"], -np.inf)
    winner = int(means.argmax())
    chance = chances([scores[rows] for rows in found.rows])[winner]
    return Race(len(scores), winner, ~inside, float(chance))


def simulated(races: int) -> Iterator[dict[str, Any]]:
    """Yield what became of many races, for each spread and noise."""
    for kind, factor in NOISES.items():
        for spread in SPREADS:
            random = np.random.default_rng(0)
            truths = spread * random.standard_normal((races, TOP))
            noises = np.exp(factor * random.standard_normal((races, TOP)))
            found = [raced(t, n, random) for t, n in zip(truths, noises, strict=True)]
            best = truths.argmax(1)
            right = np.asarray([r.winner for r in found]) == best
            # where all are equal, whoever leaves was as good as the best
            left = [r.left[b] for r, b in zip(found, best, strict=True)]
            lost = truths.max(1) - truths[np.arange(races), [r.winner for r in found]]
            yield {
                "noise": kind,
                "spread": spread,
                "share of the most": _mean(r.measurements / TOP / SEEDS for r in found),
                "best left": _mean(left),
                "winner is best": _mean(right),
                "said": _mean(r.chance for r in found),
                "lost": float(lost.mean()),
                "calibration": calibration([r.chance for r in found], right),
            }


def calibration(said: list[float], true: np.ndarray) -> list[dict[str, Any]]:
    """Return of each range of chances how often they came true."""
    values, found = np.asarray(said), []
    for low, high in itertools.pairwise(EDGES):
        here = (values >= low) & ((values < high) | (high == 1.0))
        if here.any():
            error = np.sqrt(true[here].mean() * (1 - true[here].mean()) / here.sum())
            row = {"from": low, "to": high, "races": int(here.sum())}
            row |= {
                "said": float(values[here].mean()),
                "true": float(true[here].mean()),
            }
            found.append(row | {"error": float(error)})
    return found


def _mean(values: Any) -> float:
    return float(np.mean([float(value) for value in values]))


BOWL = jt.Space(**{name: jt.uniform(0.0, 1.0) for name in "abcd"})
CENTRE = dict(zip("abcd", (0.3, 0.6, 0.5, 0.8), strict=True))


def depth(hparams: Any) -> Any:
    """Return the true value of the noisy function; 0 is the best."""
    return sum((hparams[name] - at) ** 2 for name, at in CENTRE.items())


def noisy(key: Any, hparams: Any) -> Any:
    """Return a measurement of the function."""
    return depth(hparams) + 0.1 * jax.random.normal(key)


def searches(search: Callable[..., jt.Result], key: Any) -> dict[str, jt.Result]:
    """Return searches of one key that take as many trainings as one with a race."""
    race = jt.schedulers.race(top=TOP, seeds=SEEDS)
    first = search(key=key, trials=SEARCHED, scheduler=race)
    total = len(first.trials)
    return {
        "race": first,
        "plain": search(key=key, trials=total, confirm=0),
        "confirm=5": search(key=key, trials=total, confirm=5),
        "confirm, as many": search(
            key=key, trials=total, confirm=(total - SEARCHED) / total
        ),
        "seeds=3": search(key=key, trials=total // 3, seeds=3, confirm=0),
    }


def searched(
    name: str,
    search: Callable[..., jt.Result],
    judge: Callable[[Any, dict[str, Any]], float],
    keys: int,
) -> dict[str, Any]:
    """Return the true value of what each search chooses, for each key; less is better.

    Args:
      name: of the problem and the sampler.
      search: searches it.
      judge: ``(key, setting) -> value``.
      keys: number of searches of each kind.
    """
    values: dict[str, list[float]] = {}
    spent, chances_said = [], []
    for number in range(keys):
        found = searches(search, jax.random.key(number))
        spent.append(len(found["race"].trials) - SEARCHED)
        chances_said.append(float(found["race"].confirmed.probability[0]))
        known: dict[str, float] = {}  # two may choose the same setting
        for arm, result in found.items():
            setting = result.best.hparams
            if str(setting) not in known:
                known[str(setting)] = judge(jax.random.key(1000 + number), setting)
            values.setdefault(arm, []).append(known[str(setting)])
        print(name, number, {arm: v[-1] for arm, v in values.items()}, flush=True)
    rows = []
    for arm, each in values.items():
        test = jt.analysis.paired_test(each, values["race"])
        gap = {"gap": test.difference, "low": test.low, "high": test.high, "p": test.p}
        rows.append({"arm": arm, "mean": float(np.mean(each)), "values": each, **gap})
    about = {"problem": name, "searched": SEARCHED, "race took": float(np.mean(spent))}
    return about | {"said": float(np.mean(chances_said)), "arms": rows}


def all_searched(keys: int) -> Iterator[dict[str, Any]]:
    """Yield the searches of both problems."""

    def of_bowl(sampler: str) -> Callable[..., jt.Result]:
        def search(**arguments: Any) -> jt.Result:
            own = {"mode": "min", "sampler": sampler, "verbose": 0, "block": 16}
            return jt.search(noisy, BOWL, **own, **arguments)

        return search

    def exact(key: Any, setting: dict[str, Any]) -> float:
        del key
        return float(depth(setting))

    task = digits.task()

    def of_digits(**arguments: Any) -> jt.Result:
        own = {"epochs": EPOCHS, "metric": "loss", "sampler": "sobol", "verbose": 0}
        return jt.search(task, digits.SPACE, **own, block=16, **arguments)

    def fresh(key: Any, setting: dict[str, Any]) -> float:
        once = of_digits(key=key, trials=1, seeds=FRESH, first=[setting], confirm=0)
        return float(once.best.score)

    yield searched("digits, sobol", of_digits, fresh, keys)
    yield searched("noisy bowl, sobol", of_bowl("sobol"), exact, 2 * keys)
    yield searched("noisy bowl, model", of_bowl("gaussian_process"), exact, keys)


def shared() -> Iterator[dict[str, Any]]:
    """Yield how scores of good settings of the digits correlate over shared seeds."""
    for metric in ("loss", "accuracy"):
        own = {"epochs": EPOCHS, "metric": metric, "sampler": "sobol", "confirm": 0}
        task = digits.task()
        found = jt.search(
            task, digits.SPACE, key=jax.random.key(1), trials=64, verbose=0, **own
        )
        order = np.argsort(-found.standing)[:TOP]
        scores = []
        for trial in order.tolist():
            setting = found.setup.space.values(found.trials.decoded, trial)
            # the same trial of the same key: the same random numbers
            once = jt.search(
                task,
                digits.SPACE,
                key=jax.random.key(5),
                trials=1,
                seeds=FRESH,
                first=[setting],
                verbose=0,
                **own,
            )
            scores.append(once.trials.scores[0])
        pairs = np.corrcoef(scores)[np.triu_indices(TOP, 1)]
        ends = np.quantile(pairs, (0.25, 0.75)).tolist()
        spreads = np.std(scores, axis=1, ddof=1).tolist()
        about = {"metric": metric, "mean": float(pairs.mean()), "quartiles": ends}
        yield about | {"spreads": spreads}


PARTS = {
    "simulated": lambda options: simulated(options.races),
    "shared": lambda options: shared(),
    "searched": lambda options: all_searched(options.keys),
}


def main(options: argparse.Namespace) -> None:
    """Measure the parts that are asked for, print them, and write the figures."""
    rows: dict[str, Any] = {}
    for part in options.parts:
        rows[part] = []
        for row in PARTS[part](options):
            print(row, flush=True)
            rows[part].append(row)
            record.write(options, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=[*PARTS])
    parser.add_argument("--races", type=int, default=1000, help="of each kind")
    parser.add_argument("--keys", type=int, default=10, help="searches of each kind")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    main(parser.parse_args())
