"""On which scale should a hyperparameter be searched?

The lecture's two examples. Learning rates from 0.0001 to 1: on a linear scale nine of
ten lie above 0.1. Momenta from 0.9 to 0.999, which average over 10 to 1000 steps: on a
linear scale half of them average over fewer than 20.

    python experiments/scales.py [--keys 50] [--out DIR]
"""

import jax
import numpy as np
from common import arguments, differ, digits, keep, strip, text
from matplotlib.figure import Figure

import jaxtune as jt

OWN = {"optimizer": jt.fixed("adam")}, {"learning_rate": jt.log_uniform(1e-4, 1.0)}
SEARCHES = {
    "learning_rate": {
        "linear": jt.Space(learning_rate=jt.uniform(1e-4, 1.0), **OWN[0]),
        "log": jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0), **OWN[0]),
    },
    "momentum": {
        "linear": jt.Space(momentum=jt.uniform(0.9, 0.999), **OWN[1]),
        "log of 1 − x": jt.Space(momentum=jt.reverse_log_uniform(0.9, 0.999), **OWN[1]),
    },
}
TRIALS = 8  # few: a search over many hyperparameters has few for each


def main(keys, out):
    task, best, trials, found = digits(), {}, {}, []
    for name, spaces in SEARCHES.items():
        for scale, space in spaces.items():
            best[name, scale], trials[name, scale] = [], []
            for key in map(jax.random.key, range(keys)):
                own = {"key": key, "trials": TRIALS, "epochs": 5, "metric": "accuracy"}
                sampler = jt.samplers.uniform()
                result = jt.search(task, space, sampler=sampler, verbose=0, **own)
                scores = np.nan_to_num(result.trials["score"], nan=0.0)
                best[name, scale].append(float(scores.max()))
                trials[name, scale].append((result.trials[name], scores))
        one, other = spaces
        found.append(
            f"{name}: best accuracy of {TRIALS} trials {text(best[name, one])} on the "
            f"{one} scale, {text(best[name, other])} on the {other} scale over {keys} "
            f"keys ({differ(best[name, one], best[name, other])})"
        )
    numbers = {f"{name}, {scale}": values for (name, scale), values in best.items()}
    keep("scales", draw(trials, best), found, numbers, out)


def draw(trials, best):
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, 4)
    for place, name in enumerate(SEARCHES):
        seen, judged = panels[2 * place : 2 * place + 2]
        for (scale, _), colour in zip(
            SEARCHES[name].items(), ("#E69F00", "#0072B2"), strict=True
        ):
            values, scores = np.concatenate(trials[name, scale], axis=1)
            x = 1 - values if name == "momentum" else values
            seen.scatter(x, scores, s=8, color=colour, label=scale)
        label = "1 − momentum" if name == "momentum" else name
        seen.set(
            xscale="log", xlabel=f"{label} (log scale)", title=f"{name}, all trials"
        )
        seen.set_ylabel("accuracy; 0 if diverged")
        seen.legend(frameon=False)
        strip(judged, {scale: best[name, scale] for scale in SEARCHES[name]})
        judged.set(title=f"best of {TRIALS}", ylabel="accuracy (higher is better)")
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 50))
