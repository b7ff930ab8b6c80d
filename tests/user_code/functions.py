"""Plain functions of a key and hyperparameters."""

from __future__ import annotations

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import jaxtune as jt
from user_code.row import Row


def valley(key, h):
    """The first example of the documentation."""
    return (jnp.log10(h["learning_rate"]) + 2) ** 2 + 0.1 * jax.random.normal(key)


def rate(**more):
    return jt.Space(learning_rate=jt.log_uniform(1e-4, 1.0), **more)


def row(name, function, space=rate, by_hand=None, keyed=True, **search):
    """A function, and the same function with the plain values of the best trial."""
    plain = by_hand or function

    def value(h, keys):
        return {"score": plain(keys.lane, h) if keyed else plain(h)}

    return Row(name, lambda: function, space, value, {"mode": "min", **search})


# --- values of choices


def by_name(key, h):
    step = jnp.where(h["opt"] == "adam", 1.0, 2.0)
    return step * h["learning_rate"] + jnp.where(h["opt"] != "sgd", 0.25, 0.0)


def names(key, h):
    return {"adam": 1.0, "sgd": 2.0}[h["opt"]] * h["learning_rate"] + (
        0.25 if h["opt"] != "sgd" else 0.0
    )


def opts():
    return rate(opt=jt.choice(["sgd", "adam"]))


def flagged(key, h):
    return jnp.where(h["nesterov"], 0.0, 1.0) + h["learning_rate"]


def truths(key, h):
    return (0.0 if h["nesterov"] else 1.0) + h["learning_rate"]


def numbers(key, h):
    return (h["decay"] - 0.01) ** 2 + h["size"] / 64


def numbered():
    return jt.Space(
        decay=jt.choice([0.1, 0.01, 0.001]), size=jt.choice([64, 16]), other=jt.fixed(1)
    )


def maybe(key, h):
    return h["learning_rate"] if h["decay"] is None else h["decay"] + 1.0


def limited(key, h):
    return jnp.minimum(h["clip"], 7.0) + h["learning_rate"]


def in_order(key, h):
    return jnp.where(h["size"] >= "medium", 1.0, 0.0) + h["learning_rate"]


def in_python(key, h):
    return float(h["size"] in ("medium", "large")) + h["learning_rate"]


def switched(key, h):
    branches = [lambda x: x, lambda x: x**2, lambda x: -x]
    return jax.lax.switch(h["kind"].index, branches, h["learning_rate"])


def unswitched(key, h):
    x = h["learning_rate"]
    return {"same": x, "square": x**2, "minus": -x}[h["kind"]]


# --- hyperparameters are a pytree


@jax.jit
def jitted(key, h):
    return valley(key, h) + h["shift"]


@eqx.filter_jit
def filtered(key, h):
    return valley(key, h)


@jax.checkpoint
def saved(key, h):
    return valley(key, h)


def branched(key, h):
    def inside(h):
        return h["learning_rate"]

    return jax.lax.cond(h["learning_rate"] > 0.1, inside, lambda h: -inside(h), h)


def carried(key, h):
    def step(h, _):
        return {**h, "learning_rate": h["learning_rate"] * 0.5}, None

    def same(h, _):
        h["learning_rate"] = h["learning_rate"] * 0.5
        return h, None

    last, _ = jax.lax.scan(same if isinstance(h, jt.Hparams) else step, h, length=3)
    return last["learning_rate"]


def gradient(key, h):
    slope = jax.grad(lambda h: h["learning_rate"] ** 2 + h["scale"] ** 2)(h)
    return slope["learning_rate"] + slope["scale"]


def mapped(key, h):
    doubled = jax.tree.map(lambda a: a * 2, h)
    return doubled["learning_rate"] + doubled["scale"]


def two_numbers():
    return rate(scale=jt.uniform(0.0, 1.0))


def looped(key, h):
    def descend(x, _):
        return x - h["learning_rate"] * 0.1 * 2 * (x - 3.0), None

    return (jax.lax.scan(descend, jnp.float32(0.0), length=20)[0] - 3.0) ** 2


def with_optax(key, h):
    optimizer = optax.adam(h["learning_rate"], b1=h["scale"])
    params = jnp.ones(3)
    state = optimizer.init(params)
    for _ in range(h["steps"]):
        updates, state = optimizer.update(2 * params, state, params)
        params = optax.apply_updates(params, updates)
    return (params**2).sum()


# --- fixed values


def shaped(key, h):
    x = jnp.arange(h["count"], dtype=jnp.float32)
    return sum(h["learning_rate"] * i for i in range(h["count"])) + x.sum()


def far(key, h):
    return h["learning_rate"] + (h["count"] - 9_999_999) / 4


# --- signatures


def alone(h):
    return h["learning_rate"] ** 2


def reversed_order(h, key):
    return valley(key, h)


def offset(amount, key, h):
    return valley(key, h) + amount


class Bowl:
    """A callable object."""

    def __call__(self, key, h):
        return valley(key, h)


def spread(key, h):
    def inner(learning_rate, scale):
        return learning_rate + scale

    return inner(**h)


def popped(key, h):
    rest = dict(h)
    rest.pop("learning_rate")
    return h.pop("learning_rate") + rest["scale"] + h.get("absent", 1.0)


def merged(key, h):
    both = {"shift": 2.0} | h
    return both["learning_rate"] + both["shift"] + (h | {"scale": 0.0})["scale"]


ROWS = [
    row("a function of key and hyperparameters", valley),
    row("a function of hyperparameters alone", alone, keyed=False),
    row(
        "a function of hyperparameters and key",
        reversed_order,
        by_hand=lambda key, h: valley(key, h),
    ),
    row("a partial function", functools.partial(offset, 1.5)),
    row("a callable object", Bowl()),
    row("a lambda", lambda key, h: h["learning_rate"] * 2.0),
    row("a choice compared by name", by_name, opts, names),
    row(
        "a choice of True and False",
        flagged,
        lambda: rate(nesterov=jt.choice([True, False])),
        truths,
    ),
    row("choices of numbers", numbers, numbered),
    row("a choice with None", maybe, lambda: rate(decay=jt.choice([None, 0.1]))),
    row(
        "an ordinal with infinity",
        limited,
        lambda: rate(clip=jt.ordinal([1.0, 5.0, float("inf")])),
    ),
    row(
        "an ordinal of names, in order",
        in_order,
        lambda: rate(size=jt.ordinal(["small", "medium", "large"])),
        in_python,
    ),
    row(
        "the place of a choice in lax.switch",
        switched,
        lambda: rate(kind=jt.choice(["same", "square", "minus"])),
        unswitched,
    ),
    row(
        "a static choice in an if",
        unswitched,
        lambda: rate(kind=jt.choice(["same", "square", "minus"], static=True)),
    ),
    row("jax.jit", jitted, lambda: rate(shift=jt.fixed(0.5))),
    row("eqx.filter_jit", filtered),
    row("jax.checkpoint", saved),
    row("hyperparameters through lax.cond", branched),
    row("hyperparameters as a carry of lax.scan", carried),
    row("jax.grad with respect to hyperparameters", gradient, two_numbers),
    row("jax.tree.map over hyperparameters", mapped, two_numbers),
    row("an own loop of gradient descent", looped),
    row(
        "optax inside a function",
        with_optax,
        lambda: jt.Space(
            learning_rate=jt.log_uniform(0.01, 1.0),
            scale=jt.uniform(0.5, 0.9),
            steps=jt.integer(2, 4, static=True),
        ),
    ),
    row("a fixed whole number as a shape", shaped, lambda: rate(count=jt.fixed(5))),
    row("a large fixed number", far, lambda: rate(count=jt.fixed(10_000_001))),
    row("hyperparameters as keywords", spread, two_numbers),
    row("hyperparameters taken out", popped, two_numbers),
    row("hyperparameters merged with a dict", merged, rate),
]
