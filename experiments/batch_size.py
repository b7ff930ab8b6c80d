"""Is the batch size a hyperparameter to tune for quality?

For every batch size the learning rate is searched again, with the same number of epochs
and so of examples. The other result is the loss of each batch size at the rate that was
best for the smallest one. Google's tuning playbook says: choose the batch size for
speed, and tune the learning rate again whenever the batch size changes.

    python experiments/batch_size.py [--keys 20] [--out DIR]
"""

import jax
import numpy as np
from common import arguments, differ, digits, keep, mean, text
from matplotlib.figure import Figure

import jaxtune as jt

SIZES, RATES = (16, 32, 64, 128, 256), np.geomspace(1e-3, 3.0, 22)


def main(keys, out):
    task = digits()
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 3.0, tier=1),
        batch_size=jt.power_of_two(16, 256),
        momentum=jt.fixed(0.9),
    )
    rows = len(SIZES) * len(RATES)
    result = jt.search(
        task,
        space,
        key=jax.random.key(0),
        trials=rows,
        epochs=8,
        seeds=keys,
        metric="loss",
        sampler=jt.samplers.grid([len(RATES), len(SIZES)]),
        verbose=0,
    )
    table = {}
    for size in SIZES:
        own = result.trials["batch_size"] == size
        order = np.argsort(result.trials["learning_rate"][own])
        rates = result.trials["learning_rate"][own][order]
        scores = result.trials.scores[own][order].astype(float)
        table[size] = rates, np.where(np.isfinite(scores), scores, 10.0)
    first = int(table[SIZES[0]][1].mean(1).argmin())
    tuned = {size: int(scores.mean(1).argmin()) for size, (_, scores) in table.items()}
    found = []
    for size, (rates, scores) in table.items():
        retuned, fixed = scores[tuned[size]], scores[first]
        found.append(
            f"batch size {size}: loss {text(retuned)} at its best rate "
            f"{rates[tuned[size]]:.2g}, {text(fixed)} at the rate of batch size "
            f"{SIZES[0]} ({differ(retuned, fixed)})"
        )
    numbers = {
        size: {
            "rate": float(rates[tuned[size]]),
            "loss": scores[tuned[size]].tolist(),
            "loss at the first's rate": scores[first].tolist(),
        }
        for size, (rates, scores) in table.items()
    }
    keep("batch_size", draw(table, tuned, first), found, numbers, out)


def draw(table, tuned, first):
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00")
    for colour, (size, (rates, scores)) in zip(colours, table.items(), strict=True):
        label, best = f"batch size {size}", tuned[size]
        left.plot(rates, np.median(scores, axis=1), color=colour, label=label)
        left.plot(rates[best], np.median(scores[best]), "o", color=colour)
    left.set(xscale="log", yscale="log", xlabel="learning_rate (log scale)")
    left.set(ylabel="median loss (lower is better)", ylim=(0.1, 5))
    left.legend(frameon=False, loc="lower left")
    ways = (("rate searched again", tuned.get), ("rate of 16", lambda _: first))
    for (name, row), marker in zip(ways, "os", strict=True):
        means = [mean(scores[row(size)]) for size, (_, scores) in table.items()]
        middle, low, high = np.asarray(means).T
        bars = [middle - low, high - middle]
        style = {"fmt": f"{marker}-", "capsize": 3, "label": name}
        right.errorbar(list(table), middle, bars, **style)
    right.set_xscale("log", base=2)
    right.xaxis.set_major_formatter("{x:g}")
    right.set(xlabel="batch_size", ylabel="mean loss, 95 % interval", yscale="log")
    right.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 20))
