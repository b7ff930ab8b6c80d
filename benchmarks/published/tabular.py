"""Tuned plain MLPs on tables, against a tuned MLP and boosted trees of scikit-learn.

The ground is that of Kadra et al. (2021), "Well-tuned simple nets excel on tabular
datasets", and Holzmüller et al. (2024), "Better by default": an MLP, tuned for each
table by folds. The tables are others, those that ship in packages. Every table is
parted at random into four fifths to tune on and a fifth that is used once, for the
table. jaxtune searches, and chooses an ensemble; scikit-learn's MLP and boosted trees
are tuned by Optuna for as many seconds of the processor. All use one core.

    python -m benchmarks.published.tabular [--splits 0 1 2] [--tables NAME...]
        [--rows 10000] [--add] [--json FILE]
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from benchmarks import record
from benchmarks.published import common
from benchmarks.published.tabular_contenders import (
    CONTENDERS,
    default,
    jaxtune,
    size_of,
    tuned,
)
from benchmarks.published.tabular_data import CLASSES, SOURCES, split_of

OURS, BEST = "jaxtune, ensemble", "jaxtune, best"
TUNED = {"sklearn MLP": "sklearn MLP, tuned", "boosted trees": "boosted trees, tuned"}
DEFAULT = {name: f"{name}, defaults" for name in CONTENDERS}
RIVALS = (OURS, *TUNED.values())  # those who had the same seconds
EVERYONE = (OURS, BEST, *TUNED.values(), *DEFAULT.values())


def measured(name: str, seed: int, options: Any) -> list[dict]:
    """Return the scores of all contenders on one split of a table."""
    split = split_of(name, seed, 300 if options.small else options.rows)
    size = size_of(len(split.targets[0]), options.small)
    scores = jaxtune(split, seed, size)
    found = {OURS: scores["ensemble"], BEST: scores["best"]}
    seconds = 2.0 if options.small else scores["ensemble"]["seconds"]
    for contender in CONTENDERS:
        found[TUNED[contender]] = tuned(contender, split, seed, seconds)
        found[DEFAULT[contender]] = default(contender, split, seed)
    about = {"table": name, "split": seed, "rows": len(split.targets[0])}
    about |= {"kind": split.kind, "columns": split.arrays[0].shape[1]}
    return [about | {"who": who} | row for who, row in found.items()]


def mean_of(rows: list[dict], table: str, who: str, column: str) -> np.ndarray:
    """Return a column of a contender's rows of a table, in the order of the splits."""
    own = [row for row in rows if row["table"] == table and row["who"] == who]
    return np.asarray([row[column] for row in sorted(own, key=lambda r: r["split"])])


def errors(rows: list[dict], names: tuple[str, ...]) -> np.ndarray:
    """Return mean errors, tables x contenders."""
    tables = list(dict.fromkeys(row["table"] for row in rows))
    return np.asarray(
        [[mean_of(rows, t, who, "error").mean() for who in names] for t in tables]
    )


def tables(written: dict) -> str:
    """Return the errors of all contenders, a table a row."""
    rows = written["rows"]
    about = {row["table"]: row for row in rows if row["who"] == OURS}
    body = []
    for (name, one), means in zip(about.items(), errors(rows, EVERYONE), strict=True):
        means = dict(zip(EVERYONE, means, strict=True))
        lowest = min(means[who] for who in RIVALS)
        best = [who for who in RIVALS if means[who] == lowest]
        cells = [f"{means[who]:.1f}" for who in EVERYONE]
        cells = [
            f"**{cell}**" if who in best else cell
            for who, cell in zip(EVERYONE, cells, strict=True)
        ]
        kind = "error" if one["kind"] == CLASSES else "RMSE"
        shape = f"{one['rows']} x {one['columns']}, {kind}"
        splits = len(mean_of(rows, name, OURS, "error"))
        title = f"{name} ({SOURCES[name].package})"
        body.append([title, f"{shape}, {splits}", *cells])
    return common.table(["table", "rows x columns, in %, splits", *EVERYONE], body)


def summary(written: dict) -> str:
    """Return ranks, wins and relative errors, over tables, of those with equal time."""
    found = errors(written["rows"], RIVALS)
    ranks = (found[:, :, None] > found[:, None]).sum(2) + 1
    # one point more, so that an error near zero decides nothing
    ratios = np.log((found + 1) / (found.min(1, keepdims=True) + 1))
    body = [
        [
            who,
            f"{ranks[:, i].mean():.2f}",
            f"{(ranks[:, i] == 1).sum()} of {len(found)}",
            f"{np.exp(ratios[:, i].mean()):.3f}",
        ]
        for i, who in enumerate(RIVALS)
    ]
    head = ["the same seconds", "mean rank", "lowest error", "error to the lowest"]
    return common.table(head, body)


def beside(written: dict) -> str:
    """Return what the papers say, and what was found here."""
    rows = written["rows"]
    mine, best, _, trees = errors(rows, (OURS, BEST, *TUNED.values())).T
    won = f"{(mine < trees).sum()} of {len(trees)}, without the ensemble"
    own = [row for row in rows if row["who"] == OURS]
    trials = " or ".join(str(n) for n in sorted({row["trials"] for row in own}))
    parts = []
    for words, some in {
        f"for {trials} settings": [row for row in own if row["split"] > 0],
        "with compiling": [row for row in own if row["split"] == 0],
    }.items():
        if some:
            seconds = np.median([1000 * row["seconds"] / row["rows"] for row in some])
            parts.append(f"{seconds:.1f} s {words}")
    spent = ", ".join(parts)
    body = [
        [
            "Kadra et al., 2021: plain MLPs, regularised by a search for each of 40 "
            "tables, are better than XGBoost",
            f"better than boosted trees on {won} {(best < trees).sum()}",
            "means over splits; both tuned for the same seconds",
        ],
        [
            "Holzmüller et al., 2024: seconds of CPU for 1000 training rows, of a "
            "random search of 50 settings",
            spent,
            "median over tables; search and ensemble, the first split of each compiles",
        ],
    ]
    return common.table(["theirs", "ours", "how"], body)


def cost(written: dict) -> str:
    """Return what the searches took, a table a row."""
    rows = written["rows"]
    body = []
    for name in dict.fromkeys(row["table"] for row in rows):
        count = next(row["rows"] for row in rows if row["table"] == name)
        first, *later = mean_of(rows, name, OURS, "seconds")
        cells = [f"{first:.0f}"]
        cells.append(f"{np.mean(later):.1f}" if later else "")
        cells += [f"{1000 * np.mean(later or [first]) / count:.1f}"]
        for who in RIVALS:
            cells.append(f"{mean_of(rows, name, who, 'trials').mean():.0f}")
        body.append([name, *cells])
    head = ["seconds of CPU", "first split, with compiling", "others"]
    return common.table(
        [*head, "for 1000 rows", *(f"trials: {w}" for w in RIVALS)], body
    )


def everything(written: dict) -> str:
    """Return all tables."""
    return "\n\n".join(part(written) for part in (beside, tables, summary, cost))


def main() -> None:
    """Measure, and print the tables."""
    parser = common.arguments(__doc__, "tabular")
    parser.add_argument("--splits", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--tables", nargs="*", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--rows", type=int, default=10_000, help="at most, of a table")
    options = parser.parse_args()
    if options.small:
        options.splits, options.tables = [0], options.tables[:1] + options.tables[-1:]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # one core for everybody, so that nobody's seconds depend on how they are shared
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    threadpool_limits(1)
    rows = list(common.so_far(options))
    known = {(row["table"], row["split"]) for row in rows}
    for name in options.tables:
        for seed in options.splits:
            if (name, seed) in known:
                continue
            rows += measured(name, seed, options)
            rows.sort(key=lambda row: (list(SOURCES).index(row["table"]), row["split"]))
            record.write(options, rows)  # what is measured is not lost
            print(name, seed, flush=True)
    common.finish(options, rows, everything)


if __name__ == "__main__":
    main()
