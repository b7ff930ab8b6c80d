"""Does the best learning rate of a narrow network suit a wide one?

In the standard parametrisation the best rate falls as a network gets wider. In the
maximal update parametrisation (muP; Yang et al., 2021) it should stay where it is, so
that it can be found at a small width. Digits, two hidden layers, all widths from 16 to
1024 and both parametrisations in one search for each optimiser.

    python experiments/widths.py [--keys 6] [--out DIR]
"""

import jax
import numpy as np
from common import arguments, differ, keep_themes, mean, split, text
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import jaxtune as jt
from jaxtune.report.palette import colour, picture, score_colours

WIDTHS, BASE = [16, 32, 64, 128, 256, 512, 1024], 64
RATES = {"sgd": (0.03, 5.0), "adam": (2e-4, 0.1)}
WAYS = {"standard": "standard", "mup": "muP"}
POINTS, EPOCHS = 15, 5
WORST = 10.0  # in place of the loss of a training that diverged, or is still larger


def main(keys, out):
    model = jt.models.MLP(classes=10, max_units=1024, max_layers=2, base_units=BASE)
    task = jt.classification(model, **split(load_digits, 600, 600))
    losses, rates, found, numbers = {}, {}, [], {}
    for optimizer, bounds in RATES.items():
        result = search(task, optimizer, bounds, keys)
        for way in WAYS:
            rates[optimizer], losses[optimizer, way] = table(result, way)
            line, row = judged(rates[optimizer], losses[optimizer, way])
            found.append(f"{optimizer}, {WAYS[way]}: {line}")
            numbers[f"{optimizer}, {WAYS[way]}"] = row
    keep_themes("widths", lambda: draw(rates, losses), found, numbers, out)


def search(task, optimizer, bounds, keys):
    """Return the losses on a grid of rates, widths and parametrisations."""
    space = jt.Space(
        learning_rate=jt.log_uniform(*bounds),
        hidden_units=jt.ordinal(WIDTHS),
        parametrization=jt.choice(list(WAYS), static=True),
        optimizer=jt.fixed(optimizer),
    )
    counts = [POINTS, len(WIDTHS), len(WAYS)]
    return jt.search(
        task,
        space,
        key=jax.random.key(0),
        trials=int(np.prod(counts)),
        epochs=EPOCHS,
        seeds=keys,
        metric="loss",
        sampler=jt.samplers.grid(counts),
    )


def table(result, way):
    """Return the rates, and the losses ``[widths, rates, seeds]``."""
    trials = result.trials
    own = trials["parametrization"] == way
    order = np.lexsort((trials["learning_rate"][own], trials["hidden_units"][own]))
    scores = trials.scores[own][order].astype(float)
    scores = np.where(np.isfinite(scores), scores, WORST).clip(max=WORST)
    rates = np.unique(trials["learning_rate"][own])
    return rates, scores.reshape(len(WIDTHS), POINTS, -1)


def judged(rates, losses):
    """Return, in words and as numbers, where the best rates lie and what transfers."""
    best = best_rates(rates, losses)
    slopes = [
        np.polyfit(np.log(WIDTHS), np.log(best_rates(rates, drawn)), 1)[0]
        for drawn in resampled(losses)
    ]
    low, high = np.quantile(slopes, [0.025, 0.975])
    slope = np.polyfit(np.log(WIDTHS), np.log(best), 1)[0]
    widest, base = losses[-1], losses[WIDTHS.index(BASE)]
    moved = widest[base.mean(1).argmin()]
    own = widest[widest.mean(1).argmin()]
    line = (
        f"the best rate goes from {best[0]:.2g} at width {WIDTHS[0]} to {best[-1]:.2g} "
        f"at {WIDTHS[-1]}, as the width to the power {slope:.2f} [{low:.2f}, "
        f"{high:.2f}]; width {WIDTHS[-1]} has loss {text(moved)} at the best rate of "
        f"width {BASE}, and {text(own)} at its own ({differ(moved, own)})"
    )
    row = {
        "best rates": dict(zip(WIDTHS, best.tolist(), strict=True)),
        "power": [slope, low, high],
        "rates": rates.tolist(),
        "mean losses": losses.mean(2).round(4).tolist(),
        "loss at the rate of the base width": moved.tolist(),
        "loss at its own best rate": own.tolist(),
    }
    return line, row


def best_rates(rates, losses):
    """Return for each width the rate of the lowest mean loss."""
    return rates[losses.mean(2).argmin(1)]


def resampled(losses, times=2000):
    """Yield the losses with seeds drawn anew, as the bootstrap does."""
    rng, seeds = np.random.default_rng(0), losses.shape[2]
    for _ in range(times):
        yield losses[:, :, rng.integers(0, seeds, seeds)]


@picture
def draw(rates, losses):
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    panels = figure.subplots(len(RATES), len(WAYS), sharex="row", sharey="row")
    colours = score_colours(len(WIDTHS))
    for row, optimizer in zip(panels, RATES, strict=True):
        for axes, way in zip(row, WAYS, strict=True):
            draw_panel(axes, rates[optimizer], losses[optimizer, way], colours)
            axes.set_title(f"{optimizer}, {WAYS[way]}")
            axes.set_xlabel("learning_rate (log scale)")
        row[0].set_ylabel("validation loss, mean of seeds (log scale)")
    lines, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, title="width", loc="outside right center")
    return figure


def draw_panel(axes, rates, losses, colours):
    """Draw a curve for each width, and its lowest point with intervals."""
    drawn = np.asarray([best_rates(rates, again) for again in resampled(losses)])
    for width, colour_of_width, own, places in zip(
        WIDTHS, colours, losses, drawn.T, strict=True
    ):
        means = own.mean(1)
        lowest = int(means.argmin())
        axes.plot(rates, means, color=colour_of_width, lw=1.4, label=str(width))
        low, high = np.quantile(places, [0.025, 0.975])
        middle, under, over = mean(own[lowest])
        at = rates[lowest]
        axes.errorbar(
            at,
            middle,
            yerr=[[middle - under], [over - middle]],
            xerr=[[at - low], [high - at]],
            fmt="o",
            color=colour_of_width,
            markeredgecolor=colour("back"),
            markersize=7,
            lw=1,
            zorder=3,
        )
    axes.set(xscale="log", yscale="log", ylim=(0.1, 4))
    axes.set_yticks([0.1, 0.2, 0.4, 1, 2, 4], minor=False)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.grid(axis="x")


if __name__ == "__main__":
    main(*arguments(__doc__, 6))
