"""Searches that train: under schedulers, over nine hyperparameters, convolutions."""

import os
import tempfile
import time
from pathlib import Path

from . import alone, classifier, row, seconds, standard


def under_schedulers(trials=4096, epochs=27, block=512):
    """Yield the seconds under each scheduler, without and with a run directory."""
    import jax

    import jaxtune as jt

    task, space = classifier(jt.models.MLP(10, max_units=128))
    arguments = {
        "trials": trials,
        "epochs": epochs,
        "block": block,
        "verbose": 0,
        "sampler": "sobol",
    }
    plain = whole = None
    for name, scheduler in {
        "none": None,
        "halving": jt.schedulers.successive_halving(),
        "Hyperband": jt.schedulers.hyperband(),
        "ASHA": jt.schedulers.asha(),
        "population based training": jt.schedulers.pbt(),
    }.items():

        def run(directory=None, scheduler=scheduler):
            more = {"scheduler": scheduler, "directory": directory}
            return jt.search(task, space, key=jax.random.key(0), **arguments, **more)

        cold = seconds(run)[0]
        took, found = seconds(run)
        plain, whole = plain or took, whole or found.cost.epochs
        share = {"ratio": took / plain, "of": "none"}
        more = {"epochs_ratio": found.cost.epochs / whole, "cold_s": cold}
        what = f"{trials} trials, {name}, {more['epochs_ratio']:.0%} of the epochs"
        yield row(what, took, "s", **share, **more)
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder) / "first")  # what it compiles beside the others
            kept, _ = seconds(lambda r=run, at=Path(folder) / "run": r(at))
        share = {"ratio": kept / took, "of": "without it"}
        yield row(f"{trials} trials, {name}, with a run directory", kept, "s", **share)


def search_of_nine(trials, epochs, dimensions, key):
    """Yield the seconds of a search in this process, and once more."""
    begin = time.perf_counter()
    import jax

    import jaxtune as jt

    task, _ = classifier(jt.models.MLP(10, max_units=256, max_layers=3))
    ready = time.perf_counter() - begin
    arguments = {
        "trials": trials,
        "epochs": epochs,
        "rounds": 2,
        "verbose": 0,
        "sampler": "sobol",
    }
    arguments["key"] = jax.random.key(key)
    space = standard(dimensions)
    first, again = (
        seconds(lambda: jt.search(task, space, **arguments))[0] for _ in range(2)
    )
    yield {"first": first, "again": again, "ready": ready}


def nine(trials=1024, epochs=10, dimensions=None):
    """Yield the seconds of nine hyperparameters, in new processes and in a warm one."""
    size = {"trials": trials, "epochs": epochs, "dimensions": dimensions}
    label = f"{trials} trials, {epochs} epochs"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "JAXTUNE_CACHE": folder}
        cold = alone("search_of_nine", environment, **size, key=0)
        yield row(f"{label}, a new process", cold["first"], "s", **cold)
        share = {"ratio": cold["again"] / cold["first"], "of": "a new process"}
        yield row(f"{label}, warm", cold["again"], "s", **share)
        # programs do not depend on the key
        later = alone("search_of_nine", environment, **size, key=1)
    share = {"ratio": later["first"] / cold["first"], "of": "a new process"}
    what = f"{label}, a second process with its cache, another key"
    yield row(what, later["first"], "s", **share, **later)


def convolutions(lanes=128, examples=3840, forms=("as written", "for lanes", "ours")):
    """Yield what an epoch of a lane costs, by how the convolutions are computed."""
    import families
    import jax

    import jaxtune as jt

    train, valid = families.splits("cnn", examples, 256)
    flax = families.task("cnn", "linen", train, valid)
    shared = {"train": train, "valid": valid, "optimizer": families.optimizer}
    model = jt.models.CNN(10, max_channels=16, norm="batch")
    ours = jt.classification(model, **shared)
    base = None
    known = {
        "as written": ("Flax, 16 and 32 channels, as written", flax, False),
        "for lanes": ("Flax, 16 and 32 channels, in the form for lanes", flax, True),
        "ours": ("jt.models.CNN, 16 channels", ours, True),
    }
    for name, task, rewrite in map(known.get, forms):

        def run(epochs, task=task, rewrite=rewrite):
            arguments = {
                "trials": lanes,
                "epochs": epochs,
                "block": lanes,
                "sampler": "sobol",
            }
            arguments |= {"key": jax.random.key(0), "rewrite": rewrite, "verbose": 0}
            return jt.search(task, families.SPACE, **arguments)

        cold = seconds(lambda r=run: r(3))[0]
        run(1)
        # the difference, so that starting and scoring do not count
        short, long = (seconds(lambda r=run, n=n: r(n))[0] for n in (1, 3))
        each = 1e3 * (long - short) / (2 * lanes)
        base = base or each
        what = f"{name}, {lanes} lanes, {examples} examples"
        share = {"ratio": each / base, "of": forms[0]}
        yield row(what, each, "ms a lane-epoch", **share, cold_s=cold)
