"""25 trials over two hyperparameters: a grid, at random, or Sobol points?

The lecture's argument: a 5 x 5 grid over learning rate and Adam's epsilon tries only
five learning rates, and before the search nobody knows that epsilon hardly matters.

    python experiments/grid_vs_random.py [--keys 50] [--out DIR]
"""

import jax
import numpy as np
from common import arguments, differ, digits, keep, strip, text
from matplotlib.figure import Figure

import jaxtune as jt

SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-5, 1.0, tier=1),
    epsilon=jt.log_uniform(1e-10, 1e-3, tier=4),
    optimizer=jt.fixed("adam"),
)
DESIGNS = {
    "grid": jt.samplers.grid(5),
    "random": jt.samplers.uniform(),
    "Sobol": jt.samplers.sobol(),
}


def main(keys, out):
    task, trials = digits(), {name: [] for name in DESIGNS}
    for key in map(jax.random.key, range(keys)):
        own = {"key": key, "trials": 25, "epochs": 5, "metric": "accuracy"}
        for name, sampler in DESIGNS.items():
            result = jt.search(task, SPACE, sampler=sampler, verbose=0, **own)
            trials[name].append(result.trials)
    best = {n: [float(np.nanmax(t["score"])) for t in ts] for n, ts in trials.items()}
    tried = {n: len(set(ts[0]["learning_rate"].tolist())) for n, ts in trials.items()}
    found = [
        f"{name}: {tried[name]} learning rates tried, best accuracy of 25 "
        f"{text(best[name])} over {keys} keys"
        for name in DESIGNS
    ]
    found += [
        f"{name} against the grid: {differ(best[name], best['grid'])}"
        for name in ("random", "Sobol")
    ]
    keep("grid_vs_random", draw(trials, best), found, {"best": best}, out)


def draw(trials, best):
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = figure.subplots(1, 4)
    for axes, (name, tables) in zip(panels, trials.items(), strict=False):
        table = tables[0]
        style = {"s": 45, "cmap": "viridis_r", "vmin": 0.1, "vmax": 1.0}
        x, y = table["learning_rate"], table["epsilon"]
        points = axes.scatter(x, y, c=table["score"], edgecolor="black", **style)
        for rate in table["learning_rate"]:  # the tried values of the one that matters
            axes.axvline(rate, ymax=0.04, color="black", linewidth=1)
        axes.set(xscale="log", yscale="log", title=f"{name}, the first key")
        axes.set(xlim=(5e-6, 2), ylim=(3e-11, 3e-3))
        axes.set(xlabel="learning_rate (log scale)", ylabel="epsilon (log scale)")
    figure.colorbar(points, ax=panels[2], label="accuracy")
    strip(panels[3], best)
    panels[3].set(title="best of 25", ylabel="accuracy (higher is better)")
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 50))
