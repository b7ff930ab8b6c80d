"""Searches on a device beside the host's; prints what ran where.

Run as a child with two virtual CPU devices: the second one plays an accelerator, the
first one the CPU of its host.
"""

import functools
import importlib
import threading
import warnings

import compiled
import jax
import killed
import numpy as np

import jaxtune as jt
from jaxtune import environment
from jaxtune.programs import block
from jaxtune.rounds import asking

SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
SPACES = importlib.import_module("jaxtune.space.space")


def watched(function, name, seen):
    """The function, which notes the devices of what it returns."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        found = function(*args, **kwargs)
        leaves = [
            leaf for leaf in jax.tree.leaves(found) if isinstance(leaf, jax.Array)
        ]
        for leaf in leaves:
            if not isinstance(leaf, jax.core.Tracer):
                seen.update((name, str(device.id)) for device in leaf.devices())
        return found

    return call


def parts(seen):
    """A sampler with a model, a refiner and an explorer that note where they ran."""
    sampler = jt.samplers.gaussian_process(initial=4)
    pbt = jt.schedulers.pbt(interval=2)
    return {
        "sampler": jt.samplers.Sampler(
            *(
                watched(one, name, seen)
                for name, one in zip(sampler._fields, sampler, strict=True)
            )
        ),
        "refine": watched(jt.zoom(), "refine", seen),
        "scheduler": pbt._replace(explore=watched(pbt.explore, "explore", seen)),
    }


def seek(key, **chosen):
    """The table of a search in three rounds."""
    own = {"trials": 24, "rounds": 3, "epochs": 6, "block": 4, "verbose": 0}
    found = jt.search(killed.line(), SPACE, key=key, **own, **chosen)
    return killed.digest(found), found


def main():
    host, accelerator = jax.devices()
    key, seen = jax.random.key(3), set()
    plain, _ = seek(key, **parts(set()))
    for module, name in ((block, "advance"), (block, "score"), (SPACES, "_decode")):
        setattr(module, name, watched(getattr(module, name), name.strip("_"), seen))
    jax.config.update("jax_default_device", accelerator)
    environment.host = lambda: host
    # a key that the user has bound to the accelerator
    beside, found = seek(jax.device_put(key, accelerator), **parts(seen))
    print("same", beside == plain)
    for name, device in sorted(seen):
        print(name, device)
    # what was refined on the host is of use where the user computes
    bound = jax.device_put(np.full((1, SPACE.dim), 0.5, np.float32), accelerator)
    decoded = jax.jit(found.spaces[-1].decode)(bound)
    print("after", *decoded["learning_rate"].devices())
    rehearsed(key)


def rehearsed(key):
    """Print what is compiled when a round begins, and that nothing is left running."""
    heard, begin = [], asking.first_batch

    def listen(event, duration, **_):
        if event == compiled.EVENT:
            heard.append(threading.current_thread().name)

    def begun(search, number, *more):
        before = heard.count("MainThread")
        points = begin(search, number, *more)
        print("begin", number, heard.count("MainThread") - before)
        return points

    asking.first_batch = begun
    chosen = {"sampler": jt.samplers.tpe(initial=4), "seeds": 2}
    jax.monitoring.register_event_duration_secs_listener(listen)
    beside, _ = seek(key, **chosen)
    print("threads", "jaxtune-rehearsal" in heard, threading.active_count())
    jax.config.update("jax_default_device", None)
    environment.host = lambda: None
    print("same", beside == seek(key, **chosen)[0])


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
