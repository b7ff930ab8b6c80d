"""The searches whose directories versions left behind, each finished and cut.

python old_runs.py ARCHIVE.tar.xz

This writes what the present version makes of them. Run it before a release that writes
its directories in another way, with jax 0.9.2 on Python 3.11, commit the archive, and
name it in `test_old_runs.py`. A search is never changed, since archives hold its runs;
add another one.
"""

import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import killed
import numpy as np

import jaxtune as jt

DEPTHS = jnp.float32([0.0, 1.0, 0.5])
FIRST = [{"x": 0.5, "how": "b"}, {"x": 0.1}]


def valley(key, hparams):
    """Two numbers, a choice and a condition, for a sampler that learns."""
    depth = hparams["x"] ** 2 + DEPTHS[hparams["how"].index] + hparams["deeper"]
    return depth + 0.1 * jax.random.normal(key)


def two_goals(key, hparams):
    """Metrics of a function: two goals, and one that is limited."""
    x, y = hparams["x"], hparams["y"]
    noise = 0.01 * jax.random.normal(key)
    return {"near": x**2 + y**2 + noise, "far": (x - 1) ** 2 + y, "sum": x + y}


def constant():
    """A task whose loss closes over an array inside of an inner `jit`."""
    weights = jnp.float32([1.0, 0.5, 2.0])
    inner = jax.jit(lambda w: 0.01 * jnp.sum(weights * w**2))
    line = killed.line()

    def loss(params, batch, key, hparams):
        return line.loss(params, batch, key, hparams) + inner(params["w"])

    return replace(line, loss=loss)


def rows():
    """Three classes of points in a plane, in blobs."""
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 3, 90)
    points = np.float32([[0, 1], [1, 0], [1, 1]])[labels] + draw.normal(size=(90, 2))
    return points.astype(np.float32), labels


def network(streams=False, **splits):
    """A classification of jaxtune's own, which a run can make again, or a stream."""
    x, y = rows()
    train, splits = (x, y), splits or {"valid": (x[60:], y[60:])}

    def pieces(epoch):
        return ((x[i : i + 20], y[i : i + 20]) for i in (0, 20, 40))

    if streams:
        train = jt.data.stream(pieces, examples=60, rows=40)
    model = jt.models.MLP(classes=3, max_units=8, max_layers=1)
    return jt.classification(model, train=train, batch_size=16, **splits)


VALLEY = jt.Space(
    x=jt.uniform(0.0, 1.0),
    how=jt.choice(["a", "b", "c"]),
    deeper=jt.when(jt.uniform(0.0, 1.0), how=["a", "b"]),
)
PLANE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
RATE = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
UNITS = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0), hidden_units=jt.integer(2, 8))
SOBOL = {"sampler": "sobol", "block": 4}

# name: the task (made anew for each search), its space, the other arguments, and after
# how many blocks it is cut
SEARCHES = {
    # the default sampler, cut between two of its batches
    "learning": (
        lambda: valley,
        VALLEY,
        {"trials": 32, "confirm": 4, "mode": "min", "block": 4, "first": FIRST},
        3,
    ),
    # cut in the round that measures the best again
    "confirming": (
        lambda: valley,
        VALLEY,
        {"trials": 28, "rounds": 2, "confirm": 4, "mode": "min", **SOBOL},
        5,
    ),
    "goals": (
        lambda: two_goals,
        PLANE,
        {
            "trials": 24,
            "rounds": 3,
            "goals": [("near", "min"), ("far", "min")],
            "constraints": {"sum": ("<=", 1.2)},
            **SOBOL,
        },
        4,
    ),
    "constant": (
        constant,
        RATE,
        {
            "trials": 12,
            "rounds": 2,
            "seeds": 2,
            "epochs": 6,
            "scheduler": jt.schedulers.successive_halving(),
            "score": "best",
            "history": True,
            **SOBOL,
        },
        5,
    ),
    # no task is needed to resume these two; their data and folds are beside them
    "folds": (
        lambda: network(test=rows()),
        UNITS,
        {"trials": 6, "rounds": 2, "epochs": 3, "folds": 3, **SOBOL},
        3,
    ),
    "network": (
        network,
        UNITS,
        {"trials": 16, "rounds": 2, "epochs": 3, "keep": "predictions", **SOBOL},
        3,
    ),
    "stream": (
        lambda: network(streams=True),
        UNITS,
        {"trials": 8, "rounds": 2, "epochs": 3, **SOBOL},
        3,
    ),
    "evolving": (
        killed.line,
        RATE,
        {
            "trials": 8,
            "epochs": 6,
            "scheduler": jt.schedulers.pbt(interval=2),
            **SOBOL,
        },
        3,
    ),
}


def searched(name, directory):
    """Run a search whole."""
    task, space, arguments, _ = SEARCHES[name]
    key = jax.random.key(7)
    return jt.search(
        task(), space, key=key, verbose=0, directory=directory, **arguments
    )


def main():
    archive = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w:xz") as out:
        for name, (*_, blocks) in SEARCHES.items():
            whole, cut = Path(folder, name), Path(folder, f"{name}_cut")
            searched(name, whole)
            with killed.cut_after(blocks):
                searched(name, cut)
            for path in (whole, cut):
                out.add(path, path.name)
                left = (jt.load(path).trials["status"] == "waiting").sum()
                print(f"{path.name:15} trials that wait: {left}")


if __name__ == "__main__":
    main()
