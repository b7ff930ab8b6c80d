"""The same PPO agents one by one, side by side by hand, and in a search.

A grid of settings times seeds, with the keys that a search gives to its agents, so that
all ways train the very same agents.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from benchmarks.published.ppo import CARTPOLE, make_train
from jaxtune.random import lane_key

SPACE = jt.Space(
    LR=jt.log_uniform(1e-4, 1e-2, default=CARTPOLE["LR"]),
    ENT_COEF=jt.log_uniform(1e-4, 1e-1, default=CARTPOLE["ENT_COEF"]),
    CLIP_EPS=jt.uniform(0.1, 0.4, default=CARTPOLE["CLIP_EPS"]),
    GAE_LAMBDA=jt.uniform(0.8, 1.0, default=CARTPOLE["GAE_LAMBDA"]),
)
DEFAULT = {name: CARTPOLE[name] for name in SPACE.names}


@functools.cache  # so that searches of the same function share their programs
def scoring(timesteps: int) -> Callable:
    """Return ``(key, hparams) -> {"area", "last"}``, the returns of a training.

    ``area`` is the mean of all updates, ``last`` that of the last five.
    """
    config = {**CARTPOLE, "TOTAL_TIMESTEPS": timesteps}

    def score(key, hparams):
        returns = make_train({**config, **hparams})(key)["returns"]
        return {"area": returns.mean(), "last": returns[-5:].mean()}

    return score


@functools.cache
def programs(timesteps: int) -> tuple[Callable, Callable]:
    """Return the training of one agent, and of settings times seeds by two ``vmap``.

    The first takes a key and a setting, the second arrays of them, ``[settings,
    seeds]`` keys and ``[settings]`` numbers.
    """
    score = scoring(timesteps)
    return jax.jit(score), jax.jit(jax.vmap(jax.vmap(score, (0, None))))


def corners() -> list[dict[str, float]]:
    """Return the grid of two values a hyperparameter, a quarter from either end."""
    points = itertools.product([0.25, 0.75], repeat=SPACE.dim)
    columns = SPACE.decode(np.asarray(list(points), np.float32))
    return [
        {name: float(column[row]) for name, column in columns.items()}
        for row in range(2**SPACE.dim)
    ]


def stacked(settings: list[dict[str, float]]) -> dict[str, jax.Array]:
    """Return the settings as arrays, as a ``vmap`` by hand takes them."""
    return {name: jnp.asarray([s[name] for s in settings]) for name in settings[0]}


def keys_of(root: jax.Array, trials: int, seeds: int) -> jax.Array:
    """Return the keys that a search gives to its agents, ``[trials, seeds]``."""
    of_trial = jax.vmap(partial(lane_key, root), (None, 0))
    return jax.vmap(of_trial, (0, None))(jnp.arange(trials), jnp.arange(seeds))


def ways(timesteps: int, settings: list[dict], seeds: int, root: jax.Array) -> dict:
    """Return name to a function that trains the same agents and returns their areas.

    A search has their means over seeds, so that is what all return.
    """
    keys, arrays = keys_of(root, len(settings), seeds), stacked(settings)
    one, both = programs(timesteps)

    def loop():
        rows = zip(keys, settings, strict=True)
        areas = [[one(key, s)["area"] for key in some] for some, s in rows]
        return np.asarray(areas).mean(1)

    def searched():
        how = {"key": root, "trials": len(settings), "seeds": seeds, "verbose": 0}
        how |= {"metric": "area", "mode": "max"}
        how |= {"first": settings, "sampler": "uniform"}  # none is left to draw
        return jt.search(scoring(timesteps), SPACE, **how).trials["area"]

    return {
        "loop": loop,
        "vmap": lambda: np.asarray(both(keys, arrays)["area"]).mean(1),
        "search": searched,
    }


def differences(seeds: int = 2) -> dict[str, float]:
    """Return how far the areas of a few updates are from those of the loop.

    Agents that act are chaotic: a last bit that differs becomes another action one day.
    A few updates show whether the agents are the same.
    """
    steps = 3 * CARTPOLE["NUM_ENVS"] * CARTPOLE["NUM_STEPS"]
    known = ways(steps, corners()[::3], seeds, jax.random.key(1))
    found = {name: run() for name, run in known.items()}
    return {
        name: float(np.abs(areas - found["loop"]).max())
        for name, areas in found.items()
    }
