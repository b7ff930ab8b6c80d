"""Spaces, and arguments of a search."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from user_code.row import Row

INF = float("inf")


def total(key, h):
    """The sum of all values that are numbers."""
    return sum(jnp.float32(h[name]) for name in sorted(h))


def clipped(key, h):
    """Gradient clipping by value, where infinity clips nothing."""
    return jnp.minimum(h["rate"] * 10.0, h["clip"])


def exact(h, keys):
    return {"score": sum(np.float32(value) for value in h.values())}


def row(name, space, function=total, by_hand=exact, **search):
    return Row(name, lambda: function, space, by_hand, {"mode": "min"} | search)


def branches(key, h):
    return jnp.where(h["units"] > 4, h["units"] + h["deep"], h["units"] * 1.0)


def of_branches(h, keys):
    return {"score": h["units"] + h.get("deep", 0.0)}


def suggested(trial):
    """An objective of Optuna's with a loop over suggestions."""
    layers = trial.suggest_int("layers", 1, 2)
    weights = [trial.suggest_float(f"w{i}", 0.0, 1.0) for i in range(layers)]
    return jnp.sum(jnp.stack(weights)) + layers


def found():
    return jt.integrations.from_optuna_objective(suggested)


ROWS = [
    row(
        "an ordinal with an infinite value",
        lambda: jt.Space(
            rate=jt.log_uniform(0.1, 1.0), clip=jt.ordinal([1.0, 5.0, INF])
        ),
        clipped,
        lambda h, keys: {"score": min(h["rate"] * 10.0, h["clip"])},
        mode="max",
        trials=8,
    ),
    row("a dict as space", lambda: {"x": jt.uniform(0.0, 1.0), "n": jt.integer(1, 5)}),
    row(
        "bounds and counts of NumPy",
        lambda: jt.Space(
            x=jt.uniform(np.float32(0.5), jnp.float32(2.0)),
            n=jt.power_of_two(np.int64(2), np.int64(16), default=np.int64(8)),
        ),
        trials=np.int64(4),
        rounds=np.int32(2),
        seeds=np.int64(1),
    ),
    row("arrays as ordinals", lambda: jt.Space(x=jt.ordinal(np.linspace(0, 1, 11)))),
    row("a space of fixed values", lambda: jt.Space(x=jt.fixed(0.5)), trials=1),
    row(
        "parts by their names",
        lambda: jt.Space(x=jt.uniform(0.0, 1.0)),
        sampler="tpe",
        refine="zoom",
        executor="local",
        trials=4,
        rounds=2,
    ),
    row(
        "a sampler that is not called",
        lambda: jt.Space(x=jt.uniform(0.0, 1.0)),
        sampler=jt.samplers.halton,
    ),
    row(
        "the limits of float32",
        lambda: jt.Space(x=jt.log_uniform(1.2e-38, 1e-30)),
        lambda key, h: jnp.log(h["x"]),
        lambda h, keys: {"score": np.log(h["x"])},
    ),
    row(
        "a momentum near 1 by what is left",
        lambda: jt.Space(left=jt.log_uniform(1e-6, 0.1)),
        lambda key, h: jnp.log(h["left"]) + (1 - h["left"]),
        lambda h, keys: {"score": np.log(h["left"]) + (1 - h["left"])},
    ),
    row(
        "a tuple that is a value of a choice",
        lambda: jt.Space(
            sizes=jt.choice([(4,), (4, 8)], static=True),
            last=jt.when(jt.uniform(1.0, 2.0), sizes=(4, 8)),
        ),
        lambda key, h: sum(h["sizes"]) + (h["last"] if len(h["sizes"]) > 1 else 0.0),
        lambda h, keys: {"score": sum(h["sizes"]) + h.get("last", 0.0)},
        mode="max",
        trials=6,
    ),
    row(
        "a condition on a number",
        lambda: jt.Space(
            units=jt.ordinal([2, 4, 8]), deep=jt.when(jt.uniform(1.0, 2.0), units=[8])
        ),
        branches,
        of_branches,
        mode="max",
        trials=6,
    ),
    row(
        "None as a value and as the default",
        lambda: jt.Space(
            x=jt.uniform(0.0, 1.0),
            decay=jt.choice([0.5, None], default=None, static=True),
        ).keep("x"),
        lambda key, h: h["x"] + (2.0 if h["decay"] is None else h["decay"]),
        lambda h, keys: {"score": h["x"] + (2.0 if h["decay"] is None else 0.5)},
    ),
    Row(
        "an objective of Optuna's with a loop",
        lambda: found().objective,
        lambda: found().space,
        lambda h, keys: {"score": sum(h.values())},
        {"mode": "max", "trials": 6},
    ),
]
