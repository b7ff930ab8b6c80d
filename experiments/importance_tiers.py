"""Does the lecture's order of importance hold?

One search over all nine hyperparameters of networks trained with Adam or momentum, on
each of three real data sets.
The lecture puts the learning rate first, then momentum, batch size and hidden units,
then layers and decay, and Adam's betas and epsilon last.

    python experiments/importance_tiers.py [--keys 4] [--out DIR]
"""

import jax
import numpy as np
from common import arguments, breast_cancer, diabetes, digits, keep
from matplotlib.figure import Figure

import jaxtune as jt
from jaxtune.report.palette import series

SPACE = jt.presets.standard(["adam", "momentum"]).restrict(
    hidden_units=(16, 64), batch_size=(16, 128)
)
TASKS = {
    "digits": (digits, "loss"),
    "breast cancer": (breast_cancer, "loss"),
    "diabetes": (diabetes, "mse"),
}
TRIALS = 256


def main(keys, out):
    shares, order = {}, {}
    for name, (make, metric) in TASKS.items():
        task, each, held = make(64, 3), [], []
        for key in map(jax.random.key, range(keys)):
            own = {
                "key": key,
                "trials": TRIALS,
                "epochs": 8,
                "metric": metric,
                "sampler": "sobol",
            }
            result = jt.search(task, SPACE, verbose=0, **own)
            found = jt.analysis.importances(result, resamples=2)
            each.append({row.name: row.share for row in found.rows})
            held.append(found.order)
        shares[name] = {n: [one[n] for one in each] for n in SPACE.searched}
        order[name] = held
    found = []
    for name, by_name in shares.items():
        means = {n: float(np.mean(values)) for n, values in by_name.items()}
        ranked = sorted(means, key=lambda n: -means[n])
        first = ", ".join(f"{n} {means[n]:.0%}" for n in ranked[:4])
        found.append(
            f"{name}: {first} come first; {np.mean(order[name]):.0%} of pairs of "
            f"different tiers are in the lecture's order ({keys} searches of {TRIALS})"
        )
    numbers = {"shares": shares, "order": order}
    keep("importance_tiers", draw(shares), found, numbers, out)


def draw(shares):
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    panels = figure.subplots(1, len(shares), sharey=True)
    names = sorted(SPACE.searched, key=lambda n: -SPACE[n].tier)
    for axes, (task, by_name) in zip(panels, shares.items(), strict=True):
        for place, name in enumerate(names):
            values, tier = by_name[name], SPACE[name].tier
            label = f"tier {tier}" if SPACE[names[place - 1]].tier != tier else None
            axes.barh(place, np.mean(values), color=series(tier - 1), label=label)
            axes.scatter(values, [place] * len(values), s=10, color="black", zorder=3)
        axes.set(title=task, xlabel="share of importance (PED-ANOVA)", xlim=(0, None))
        axes.set_yticks(range(len(names)), names)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("Points are searches, bars their mean")
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 4))
