"""Fashion-MNIST whole: 60 000 images to train on, 10 000 to test.

Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747. Their eight MLPs are trained in their
setting, as one grid. Then three kinds of networks are searched: part of the training
images decides, and the test images are used once, for the winner of each. The images
are Debian's package ``dataset-fashion-mnist``; they stay bytes on the device.

    python -m benchmarks.published.fashion_mnist [--parts grid "two convolutions"]
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
from sklearn.model_selection import train_test_split

import jaxtune as jt
from benchmarks.published import common
from benchmarks.published.mnist1d import words

FOLDER = Path("/usr/share/datasets/fashion-mnist")
# table 3, the rows of scikit-learn's MLPClassifier: the means of five trainings
GRID = {
    ("relu", (100,)): 0.871,
    ("relu", (100, 10)): 0.870,
    ("tanh", (100,)): 0.868,
    ("tanh", (100, 10)): 0.863,
    ("relu", (10, 10)): 0.850,
    ("relu", (10,)): 0.848,
    ("tanh", (10, 10)): 0.841,
    ("tanh", (10,)): 0.840,
}
HELD_OUT = 1 / 6  # of the training images, to choose by


class Dense(nn.Module):
    """The networks of their grid: dense layers of some sizes."""

    sizes: tuple[int, ...] = (100,)
    activation: str = "relu"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = x.reshape(len(x), -1)
        for size in self.sizes:
            x = getattr(nn, self.activation)(nn.Dense(size)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10)(x)


class Convolutions(nn.Module):
    """Two convolutions, each with a max pool, and a dense layer."""

    channels: int = 8
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, train=False):
        x = x[..., None]
        for channels in (self.channels, 2 * self.channels):
            x = nn.relu(nn.Conv(channels, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Dense(64)(x.reshape(len(x), -1)))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(10)(x)


class Kind(NamedTuple):
    """A kind of network, what others published of it, and the size of its search."""

    network: Callable
    published: str
    own: dict[str, jt.space.Dimension]
    trials: int
    epochs: int
    seeds: int


KINDS = {
    "MLP, 100 units": Kind(Dense, "87.1 (the paper's best MLP)", {}, 81, 18, 10),
    "MLP, at most 3 layers of 256": Kind(
        lambda: jt.models.MLP(classes=10, max_units=256, max_layers=3),
        "88.3 (README: 256-128-100)",
        {
            "hidden_units": jt.integer(64, 256, scale="log"),
            "layers": jt.integer(1, 3),
        },
        *(27, 18, 5),
    ),
    "two convolutions": Kind(
        Convolutions,
        "87.6, 91.6 (README: 2 Conv+pooling)",
        {"channels": jt.ordinal([8, 16], static=True)},
        *(12, 6, 3),
    ),
}
COMMON = jt.Space(
    learning_rate=jt.log_uniform(3e-4, 3e-2, tier=1),
    weight_decay=jt.log_uniform(1e-4, 1.0),
    batch_size=jt.power_of_two(64, 512),
    dropout=jt.uniform(0.0, 0.5),
)


def images(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of ``"train"`` or ``"t10k"``, as bytes."""

    def read(name, skip):
        packed = (FOLDER / f"{part}-{name}-ubyte.gz").read_bytes()
        return np.frombuffer(gzip.decompress(packed), np.uint8, offset=skip)

    return read("images-idx3", 16).reshape(-1, 28, 28), read("labels-idx1", 8)


def share(pixels):
    """Return bytes as numbers from 0 to 1."""
    return pixels / 255


def annealed(hparams: dict, steps: int) -> optax.GradientTransformation:
    """Return AdamW whose learning rate falls to zero by the end."""
    rate = jt.schedules.cosine(hparams["learning_rate"], steps)
    return optax.adamw(rate, weight_decay=hparams["weight_decay"])


def their_grid(train: tuple, test: tuple, options) -> dict:
    """Train their eight MLPs in one search, with the defaults of MLPClassifier."""
    mean, spread = train[0].mean(0), np.maximum(train[0].std(0), 1e-6)
    task = jt.classification(
        Dense(),
        train=train,
        valid=test,  # all eight are shown, and none is chosen
        batch_size=200,
        optimizer=optax.adam(1e-3),
        preprocess=lambda x: (x - mean) / spread,
    )
    space = jt.Space(
        activation=jt.choice(["relu", "tanh"], static=True),
        sizes=jt.choice([(100,), (100, 10), (10, 10), (10,)], static=True),
    )
    with common.clock() as spent:
        result = jt.search(
            task,
            space,
            key=jax.random.key(0),
            trials=len(GRID),
            first=[{"activation": kind, "sizes": sizes} for kind, sizes in GRID],
            seeds=options.seeds or 3,
            epochs=options.epochs or 20,
            metric="accuracy",
            verbose=0,
        )
    return {"rows": grid_rows(result), "epochs": result.cost.epochs, **spent}


def grid_rows(result: jt.Result) -> list[dict]:
    """Return the setting and the accuracies of each trial."""
    table = result.trials
    return [
        {
            "activation": str(table["activation"][trial]),
            "sizes": [int(size) for size in table["sizes"][trial]],
            "accuracy": [float(score) for score in table.scores[trial]],
        }
        for trial in range(len(table))
    ]


def searched(kind: Kind, train: tuple, options) -> dict:
    """Search a kind of network on a part of the training images."""
    x, vx, y, vy = train_test_split(
        *train, test_size=HELD_OUT, stratify=train[1], random_state=0
    )
    task = jt.classification(
        kind.network(),
        train=(x, y),
        valid=(vx, vy),
        optimizer=annealed,
        preprocess=share,
    )
    with common.clock() as spent:
        result = jt.search(
            task,
            jt.Space(**COMMON, **kind.own),
            key=jax.random.key(0),
            trials=options.trials or kind.trials,
            epochs=options.epochs or kind.epochs,
            metric="accuracy",
            scheduler=jt.schedulers.successive_halving(min_epochs=1),
            verbose=0,
        )
    return common.outcome(result, spent)


def tested(kind: Kind, setting: dict, train: tuple, test: tuple, options) -> dict:
    """Train the winner on all training images with some seeds, and test it."""
    task = jt.classification(
        kind.network(), train=train, valid=test, optimizer=annealed, preprocess=share
    )
    with common.clock() as spent:
        result = jt.search(
            task,
            jt.Space(**{name: jt.fixed(value) for name, value in setting.items()}),
            key=jax.random.key(1),
            trials=1,
            seeds=options.seeds or kind.seeds,
            epochs=options.epochs or kind.epochs,
            metric="accuracy",
            verbose=0,
        )
    return {"accuracy": [float(score) for score in result.best.scores], **spent}


def measured(part: str, train: tuple, test: tuple, options) -> dict[str, Callable]:
    """Return what a part measures, each to be called with what is known of it."""
    if part == "grid":
        return {"theirs": lambda row: their_grid(train, test, options)}
    kind = KINDS[part]
    return {
        "search": lambda row: searched(kind, train, options),
        "tested": lambda row: tested(
            kind, row["search"]["setting"], train, test, options
        ),
    }


def tables(written: dict) -> str:
    """Return the table of their grid; empty if it was not measured."""
    if "grid" not in written["rows"]:
        return ""
    ours = {
        (row["activation"], tuple(row["sizes"])): row["accuracy"]
        for row in written["rows"]["grid"]["theirs"]["rows"]
    }
    rows = (
        (
            f"{activation}, {'-'.join(map(str, sizes))}",
            f"{100 * theirs:.1f}",
            common.shown(ours[activation, sizes], times=100),
        )
        for (activation, sizes), theirs in GRID.items()
    )
    return common.table(("MLP", "paper, %", "their setting here, %"), rows)


def finished(written: dict) -> list[tuple[str, dict]]:
    """Return the searches whose winner has been tested."""
    rows = [(name, written["rows"].get(name, {})) for name in KINDS]
    return [(name, row) for name, row in rows if "tested" in row]


def searches(written: dict) -> str:
    """Return the table of what each search took and reached."""
    header = ("network", "published, %", "searched, %", "trials", "epochs trained")
    header += ("seconds", "CPU s")
    rows = []
    for name, row in finished(written):
        kind = KINDS[name]
        found, accuracy = row["search"], row["tested"]["accuracy"]
        cells = (kind.published, common.shown(accuracy, times=100))
        cells += (found["trials"], found["epochs"])
        cells += tuple(f"{found[unit]:.0f}" for unit in ("seconds", "cpu"))
        rows.append((name, *cells))
    return common.table(header, rows)


def settings(written: dict) -> str:
    """Return the table of what each search found."""
    rows = [(name, words(row["search"])) for name, row in finished(written)]
    return common.table(("network", "the search found"), rows)


def main() -> None:
    """Measure, and print the tables."""
    parser = common.arguments(__doc__, "fashion_mnist")
    parser.add_argument("--parts", nargs="*", default=["grid", *KINDS])
    for name in ("trials", "epochs", "seeds"):
        parser.add_argument(f"--{name}", type=int, help="instead of each part's own")
    options = parser.parse_args()
    train, test = images("train"), images("t10k")
    if options.small:
        options.trials, options.epochs, options.seeds = 3, 3, 2
        train, test = ((x[:1200], y[:1200]) for x, y in (train, test))
    rows = common.so_far(options)
    for part in options.parts:
        row = rows.setdefault(part, {})
        common.complete(row, measured(part, train, test, options), options, rows)
    common.finish(options, rows, lambda made: f"{tables(made)}\n\n{searches(made)}")


if __name__ == "__main__":
    main()
