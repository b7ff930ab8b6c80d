"""Does it help to zoom into the box around the best trials?

The same number of trials over six hyperparameters of a digit classifier: in one round,
or in rounds that each search the box around the best trials of the round before. The
naive box is the smallest one that holds the best points; jaxtune's box has a margin and
a floor.

    python experiments/coarse_to_fine.py [--keys 20] [--out DIR]
"""

import jax
import numpy as np
from common import arguments, differ, digits, keep, mean, text
from matplotlib.figure import Figure

import jaxtune as jt

SPACE = jt.presets.standard(["momentum"]).restrict(hidden_units=(16, 64), layers=(1, 2))
TRIALS, ROUNDS = 96, 4
SEARCHES = {
    "one round": {},
    "naive zoom": {"rounds": ROUNDS, "refine": jt.zoom(margin=0.0, floor=0.0)},
    "zoom": {"rounds": ROUNDS, "refine": jt.zoom()},
}


def main(keys, out):
    task, losses, tests = digits(layers=2), {}, {}
    for name, how in SEARCHES.items():
        losses[name], tests[name] = [], []
        for key in map(jax.random.key, range(keys)):
            own = {
                "key": key,
                "trials": TRIALS,
                "epochs": 8,
                "metric": "loss",
                "sampler": "sobol",
            }
            result = jt.search(task, SPACE, verbose=0, **own, **how)
            scores = np.nan_to_num(result.trials["score"], nan=np.inf)
            losses[name].append(np.minimum.accumulate(scores).tolist())
            tests[name].append(result.test()["loss"])
    ends = {name: [curve[-1] for curve in curves] for name, curves in losses.items()}
    found = [
        f"{name}: best validation loss {text(ends[name])}, test {text(tests[name])} "
        f"over {keys} keys, {differ(tests[name], tests['one round'])} against one round"
        for name in SEARCHES
    ]
    numbers = {"valid": ends, "test": tests}
    keep("coarse_to_fine", draw(losses), found, numbers, out)


def draw(losses):
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    colours = dict(zip(SEARCHES, ("#E69F00", "#CC79A7", "#0072B2"), strict=True))
    at = np.arange(8, TRIALS)
    for name, curves in losses.items():
        values = np.asarray([[mean(column) for column in np.asarray(curves)[:, at].T]])
        middle, low, high = values[0].T
        axes.fill_between(at, low, high, color=colours[name], alpha=0.2, linewidth=0)
        axes.plot(at, middle, color=colours[name], label=name)
    for number in range(1, ROUNDS):
        axes.axvline(number * TRIALS / ROUNDS, color="0.5", linestyle=":")
    axes.set(xlabel="trials", ylabel="best validation loss so far (lower is better)")
    axes.set_title("Mean over keys with its 95 % interval; dotted: a zoom", loc="left")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 20))
