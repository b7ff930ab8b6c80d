"""Searches of plain functions: many values, and points of a Gaussian process."""

import jax
import jax.numpy as jnp

import jaxtune as jt

from . import alone, row, seconds


def six():
    """Return a space of six dimensions."""
    # no constant: it would take the card for this process, and pieces in others need it
    return jt.Space(**{f"x{number}": jt.uniform(0.0, 1.0) for number in range(6)})


def bowl(key, hparams):
    """Return the squared distance to a point."""
    del key
    return sum((value - 0.3) ** 2 for value in hparams.values())


def many_values(values=1_000_000):
    """Yield the seconds of many values of a function, cold and warm."""
    arguments = {
        "trials": values,
        "mode": "min",
        "key": jax.random.key(0),
        "sampler": "sobol",
    }
    run = lambda: jt.search(bowl, six(), **arguments, verbose=0)  # noqa: E731
    (cold, _), (warm, _) = seconds(run), seconds(run)
    yield row(f"{values} values, a new process", cold, "s")
    share = {"ratio": warm / cold, "of": "a new process"}
    yield row(f"{values} values, warm", warm, "s", **share)


def suggestion(points):
    """Yield the seconds of a first suggestion that stands on points, cold and warm."""
    sampler = jt.samplers.gaussian_process(initial=points)
    took = []
    for key in range(2):
        state, some = sampler.ask(sampler.init(jax.random.key(key), six()), points)
        state = sampler.tell(state, some, jnp.sum((some - 0.3) ** 2, axis=1))
        asked = lambda s=state: jax.block_until_ready(sampler.ask(s, points)[1])  # noqa: E731
        took.append(seconds(asked)[0])
    yield {"first": took[0], "again": took[1]}


def search_of_four_rounds(points):
    """Yield the seconds of a search of four rounds, cold and warm."""
    sampler = jt.samplers.gaussian_process(initial=points)
    arguments = {"trials": 4 * points, "rounds": 4, "mode": "min", "verbose": 0}
    arguments |= {"sampler": sampler, "key": jax.random.key(0)}
    space = six()
    run = lambda: jt.search(bowl, space, **arguments)  # noqa: E731
    (first, _), (again, _) = seconds(run), seconds(run)
    yield {"first": first, "again": again}


PIECES = {
    "suggestion": "first suggestion of {} points, six dimensions",
    "search_of_four_rounds": "four rounds of {} points",
}


def gaussian_process(points=25, pieces=tuple(PIECES)):
    """Yield the seconds of a Gaussian process, each piece in a new process."""
    for do in pieces:
        found, what = alone(do, points=points), PIECES[do].format(points)
        yield row(f"{what}, a new process", found["first"], "s")
        share = {"ratio": found["again"] / found["first"], "of": "a new process"}
        yield row(f"{what}, warm", found["again"], "s", **share)
