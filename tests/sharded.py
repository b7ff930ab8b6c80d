"""Tables of searches on two virtual devices; prints what is the same.

Run as a child, since the number of devices has to be set before JAX starts.
"""

import sys
import warnings

import jax
import killed
import numpy as np

import jaxtune as jt


def task():
    """Digits' size, made up: a network whose products are rounded."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 12)).astype(np.float32)
    y = (x @ rng.normal(size=12) > 0).astype(int)
    return jt.classification(
        jt.models.MLP(classes=2, max_units=16),
        train=(x[:120], y[:120]),
        valid=(x[120:], y[120:]),
        batch_size=16,
    )


def streamed():
    """The same in parts."""
    whole = task()
    rows = jax.device_get(whole.train)
    pairs = [(rows["x"][i : i + 40], rows["y"][i : i + 40]) for i in (0, 40, 80)]
    return jt.classification(
        jt.models.MLP(classes=2, max_units=16),
        train=jt.data.stream(lambda epoch: pairs, examples=120, rows=48),
        valid=tuple(jax.device_get(whole.valid).values()),
        batch_size=16,
    )


def wave(key, hparams):
    """A plain function."""
    return jax.numpy.sin(hparams["learning_rate"] * jax.numpy.arange(99.0)).sum()


SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 1.0), hidden_units=jt.integer(4, 16)
)


def seek(subject, block, scheduler="none", **more):
    plain = {
        "key": jax.random.key(3),
        "trials": 20,
        "rounds": 2,
        "verbose": 0,
        "sampler": "sobol",
    }
    plain |= {"block": block, "scheduler": killed.SCHEDULERS[scheduler]}
    if callable(subject):
        plain |= {"mode": "max"}
    else:
        plain |= {"epochs": 9, "metric": "loss"}
    return jt.search(subject, SPACE, **plain, **more)


def main(directory):
    shard, trained = jt.executors.local(shard=True), task()
    for name, subject in (("task", trained), ("stream", streamed()), ("wave", wave)):
        for scheduler in ["none", "pbt"] if name == "task" else ["none"]:
            spread = seek(subject, 4, scheduler, executor=shard)
            narrow = seek(subject, 2, scheduler)
            same = np.array_equal(
                spread.trials.scores, narrow.trials.scores, equal_nan=True
            )
            print(name, scheduler, same, *spread.devices, sep=", ")
    rule = {"score": "best", "history": True}
    spread = seek(trained, 4, "pbt", executor=shard, **rule)
    narrow = seek(trained, 2, "pbt", **rule)
    same = killed.digest(spread) == killed.digest(narrow) and all(
        np.array_equal(values, narrow.history[name], equal_nan=True)
        for name, values in spread.history.items()
    )
    print("epochs", "pbt", same, sep=", ")
    run = f"{directory}/run"
    found = seek(trained, 4, "halving", executor=shard, directory=run)
    known = jt.load(run, trained)
    print("again", all(jt.rerun(run, trial, trained).same for trial in (0, 7, 19)))
    print("load", killed.digest(known) == killed.digest(found))
    try:
        seek(trained, 5, executor=shard)
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "nothing reads hidden_units")
    main(sys.argv[1])
