"""MNIST-1D: four families of networks on 4000 curves of 40 points.

Greydanus and Kobak (2024), "Scaling down deep learning with MNIST-1D", ICML. Each
family is trained in the authors' setting, ten seeds at once, and then searched: part of
their training data decides, and their test data are used once, for the winner. The
wheel ``mnist1d`` makes the data from its own seed, as the authors' file has them.

    python -m benchmarks.published.mnist1d [--points in order] [--families CNN GRU]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import optax
from sklearn.model_selection import train_test_split

import jaxtune as jt
from benchmarks.published import common
from benchmarks.published.curve_networks import CNN, GRU, MLP, Logistic

# in %: the table of their README, and after 6000 steps in their notebook
# mnist1d-classification.ipynb, which is one training of each
THEIRS = {
    "in order": {
        "logistic": (32, 31.5),
        "MLP": (68, 65.1),
        "CNN": (94, 92.3),
        "GRU": (91, 89.1),
    },
    "shuffled": {
        "logistic": (32, 31.5),
        "MLP": (68, 66.0),
        "CNN": (56, 58.7),
        "GRU": (57, 53.3),
    },
}
HELD_OUT = 800  # of their 4000 training examples, to choose by
BATCH, EPOCHS = 100, 150  # theirs: 6000 steps


class Family(NamedTuple):
    """A network, the dimensions that only its search has, and how much is measured."""

    network: Callable
    own: dict[str, jt.space.Dimension]
    trials: int = 81
    seeds: int = 10


DROPOUT = {"dropout": jt.uniform(0.0, 0.5)}
FAMILIES = {
    "logistic": Family(Logistic, {}),
    "MLP": Family(MLP, {"units": jt.ordinal([50, 100, 200], static=True)} | DROPOUT),
    "CNN": Family(CNN, {"channels": jt.ordinal([12, 25, 50], static=True)} | DROPOUT),
    "GRU": Family(
        GRU,
        {"units": jt.ordinal([4, 6, 12], static=True)} | DROPOUT,
        trials=27,
        seeds=5,
    ),
}
COMMON = jt.Space(
    learning_rate=jt.log_uniform(3e-4, 1e-1, tier=1),
    weight_decay=jt.log_uniform(1e-4, 1.0),
    batch_size=jt.power_of_two(32, 256),
)


def curves(points: str) -> tuple:
    """Return their training and test pairs, with the points in order or shuffled."""
    from mnist1d.data import get_dataset_args, make_dataset

    data = make_dataset(get_dataset_args())
    # the order of their notebook
    order = np.random.RandomState(42).permutation(40)
    order = order if points == "shuffled" else np.arange(40)
    return tuple(
        (data[f"x{part}"][:, order].astype(np.float32), data[f"y{part}"])
        for part in ("", "_test")
    )


def annealed(hparams: dict, steps: int) -> optax.GradientTransformation:
    """Return AdamW whose learning rate falls to zero by the end."""
    rate = jt.schedules.cosine(hparams["learning_rate"], steps)
    return optax.adamw(rate, weight_decay=hparams["weight_decay"])


def trained(task: jt.Task, setting: dict, seeds: int, options) -> dict:
    """Train one setting with all seeds at once; the last epoch is scored."""
    space = jt.Space(**{name: jt.fixed(value) for name, value in setting.items()})
    with common.clock() as spent:
        result = jt.search(
            task,
            space,
            key=jax.random.key(1),
            trials=1,
            seeds=seeds,
            epochs=options.epochs,
            metric="accuracy",
            verbose=0,
        )
    return {"accuracy": [float(score) for score in result.best.scores], **spent}


def theirs(family: Family, train: tuple, test: tuple, options) -> dict:
    """Train a family as its authors do: Adam, a batch of 100, the rows as they are."""
    task = jt.classification(
        family.network(),
        train=train,
        valid=test,  # nothing is chosen by it
        batch_size=BATCH,
        shuffle=False,
        optimizer="adam",
    )
    seeds = options.seeds or family.seeds
    return trained(task, {"learning_rate": 1e-2}, seeds, options)


def searched(family: Family, train: tuple, options) -> dict:
    """Search a family on a part of the training data; the others decide."""
    rows = train_test_split(
        *train, test_size=HELD_OUT, stratify=train[1], random_state=0
    )
    x, vx, y, vy = rows
    task = jt.classification(
        family.network(), train=(x, y), valid=(vx, vy), optimizer=annealed
    )
    halving = jt.schedulers.successive_halving(min_epochs=max(1, options.epochs // 25))
    with common.clock() as spent:
        result = jt.search(
            task,
            jt.Space(**COMMON, **family.own),
            key=jax.random.key(0),
            trials=options.trials or family.trials,
            epochs=options.epochs,
            metric="accuracy",
            scheduler=halving,
            verbose=0,
        )
    return common.outcome(result, spent)


def parts(name: str, train: tuple, test: tuple, options) -> dict[str, Callable]:
    """Return the parts of a row, each to be called: theirs, the search, its winner."""
    family = FAMILIES[name]
    task = jt.classification(
        family.network(), train=train, valid=test, optimizer=annealed
    )
    return {
        "theirs": lambda row: theirs(family, train, test, options),
        "search": lambda row: searched(family, train, options),
        "tuned": lambda row: trained(
            task, row["search"]["setting"], options.seeds or family.seeds, options
        ),
    }


def tables(written: dict) -> str:
    """Return the table of accuracies."""
    header = ("points", "network", "README, %", "notebook, %")
    header += ("their setting here, %", "searched, %")
    rows = []
    for points, name, row in finished(written):
        ours = (
            common.shown(row[part]["accuracy"], times=100)
            for part in ("theirs", "tuned")
        )
        rows.append((points, name, *THEIRS[points][name], *ours))
    return common.table(header, rows)


def finished(written: dict) -> list[tuple[str, str, dict]]:
    """Return the rows of which all parts were measured, in the order of theirs."""
    rows = written["rows"]
    return [
        (points, name, rows[points][name])
        for points, families in THEIRS.items()
        for name in families
        if "tuned" in rows.get(points, {}).get(name, {})
    ]


def costs(written: dict) -> str:
    """Return the table of what each search took."""
    header = ("points", "network", "their setting, s", "CPU s", "the search, s")
    header += ("CPU s", "trials", "epochs trained")
    rows = []
    for points, name, row in finished(written):
        found = row["search"]
        seconds = (
            f"{part[unit]:.0f}"
            for part in (row["theirs"], found)
            for unit in ("seconds", "cpu")
        )
        size = found["trials"], found["epochs"]
        rows.append((points, name, *seconds, *size))
    return common.table(header, rows)


def settings(written: dict) -> str:
    """Return the table of what each search found."""
    rows = [
        (points, name, words(row["search"])) for points, name, row in finished(written)
    ]
    return common.table(("points", "network", "the search found"), rows)


def words(found: dict) -> str:
    """Return a setting as text: ``units 200, dropout 0.31``."""
    values = found["setting"].items()
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.2g}"
        if isinstance(value, float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in values
    )


def main() -> None:
    """Measure, and print the tables."""
    parser = common.arguments(__doc__, "mnist1d")
    parser.add_argument("--points", nargs="*", default=list(THEIRS))
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    for name in ("trials", "seeds"):
        parser.add_argument(f"--{name}", type=int, help="instead of each family's own")
    options = parser.parse_args()
    if options.small:
        options.trials, options.epochs, options.seeds = 3, 6, 2
        options.points = options.points[:1]
    rows = common.so_far(options)
    for points in options.points:
        train, test = curves(points)
        for name in options.families:
            row = rows.setdefault(points, {}).setdefault(name, {})
            common.complete(row, parts(name, train, test, options), options, rows)
    common.finish(options, rows, lambda made: f"{tables(made)}\n\n{costs(made)}")


if __name__ == "__main__":
    main()
