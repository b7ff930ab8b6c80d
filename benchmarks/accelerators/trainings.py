"""What a trial costs: by other tools, by hand in JAX, and in jaxtune, by width."""

import dataclasses
from functools import partial

import hand
import jax
import jax.numpy as jnp
import numpy as np
import peers

import jaxtune as jt

from . import classifier, row, seconds, skipped

PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# how Optuna and Flax go together, and the trials that are enough to see it
GRADES = {
    "a step jitted for each trial": ("docs", 3),
    "one jitted step for all trials": ("step", 6),
    "whole training in one jitted scan": ("scan", 24),
}


def by_hand(precision, width, trials, epochs):
    """Return ``jit(vmap(train))`` over blocks of so many lanes."""
    program = jax.jit(jax.vmap(hand.training(epochs, PRECISIONS[precision])))
    keys = jax.random.split(jax.random.key(0), trials)
    parts = (keys, *hand.configurations(trials))

    def run():
        begins = range(0, trials, width)
        blocks = [[part[b : b + width] for part in parts] for b in begins]
        return np.concatenate([program(*block) for block in blocks])

    return run


def in_jaxtune(model, width, trials, epochs):
    """Return a whole search."""
    task, space = classifier(model)
    arguments = {
        "trials": trials,
        "epochs": epochs,
        "block": width,
        "verbose": 0,
        "sampler": "sobol",
    }
    arguments["key"] = jax.random.key(0)
    return lambda: jt.search(task, space, **arguments).trials["accuracy"]


def contenders():
    """Return name and precision to a maker of a training, or why there is none."""
    found = {}
    fields = {field.name for field in dataclasses.fields(jt.models.MLP)}
    for precision, dtype in PRECISIONS.items():
        found["by hand", precision] = partial(by_hand, precision)
        network = hand.Network(dtype)
        found["jaxtune, a Linen network", precision] = partial(in_jaxtune, network)
        ours = "jaxtune, jt.models.MLP", precision
        if precision == "float32":
            found[ours] = partial(in_jaxtune, jt.models.MLP(10, max_units=128))
        elif "precision" in fields:
            model = jt.models.MLP(10, max_units=128, precision=precision)
            found[ours] = partial(in_jaxtune, model)
        else:
            found[ours] = f"jt.models.MLP has no precision in {jt.__version__}"
    return found


def at_width(width, trials, epochs, times):
    """Yield what a trial costs each contender, the fastest of some times."""
    base, trials = None, max(width, trials // width * width)
    for (name, precision), make in contenders().items():
        what = f"{name}, {precision}, {width} lanes"
        if isinstance(make, str):
            yield skipped(what, make)
            continue
        run = make(width, trials, epochs)
        cold, accuracy = seconds(run)
        each = 1e3 * min(seconds(run)[0] for _ in range(times)) / trials
        base = base or each
        more = {"cold_s": cold, "accuracy": float(np.mean(accuracy)), "trials": trials}
        share = {"ratio": each / base, "of": f"by hand, float32, {width} lanes"}
        yield row(what, each, "ms a trial", **share, **more)


def by_optuna(ours, epochs, most):
    """Yield what a trial costs Optuna and Flax, as users put them together."""
    for name, (grade, enough) in GRADES.items():
        what, trials = f"Optuna + Flax, {name}", min(enough, most)
        try:
            run = peers.optuna_flax(grade)
        except ModuleNotFoundError as missing:
            yield skipped(what, str(missing))
            continue
        cold = seconds(lambda run=run: run(1, epochs))[0]
        each = 1e3 * seconds(lambda r=run, n=trials: r(n, epochs))[0] / trials
        share = {"ratio": each / ours["value"], "of": ours["what"]}
        yield row(what, each, "ms a trial", **share, cold_s=cold, trials=trials)


def trainings(widths=(4096, 1024, 256, 16384), trials=8192, epochs=20, most=24):
    """Yield what a trial costs, at the first width with other tools beside it.

    Args:
      widths: lanes of a block, the most important first.
      trials: of a search.
      epochs: of a trial.
      most: trials of Optuna.
    """
    for width in widths:
        found = {}
        for one in at_width(width, trials, epochs, 1 + (width == widths[0])):
            found[one["what"]] = one
            yield one
        if width == widths[0]:
            ours = found[f"jaxtune, a Linen network, float32, {width} lanes"]
            yield from by_optuna(ours, epochs, most)
