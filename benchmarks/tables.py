"""Make tables of trained networks, on which samplers are compared without training.

Every combination of a grid of hyperparameters is trained by jaxtune with several seeds,
so the optimum of the space is known. The data are scikit-learn's. ``digits`` has six
ordinals and ``breast_cancer`` five; ``diabetes`` is a regression with ordinals and
choices; ``operations`` has six choices of the parts of a network; in ``branches`` some
hyperparameters matter only for some values of others.

    python benchmarks/tables.py [--only digits] [--out benchmarks/tables]
"""

import argparse
import time
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

import jaxtune as jt

RATES = [float(f"{10**e:.3g}") for e in np.arange(-4, 0.6, 0.5)]
KINDS = ("identity", "relu", "tanh", "gelu", "sine")
UNITS = [4, 8, 16]
SPACES = {
    "digits": jt.Space(
        learning_rate=jt.ordinal(RATES),
        momentum=jt.ordinal([0.0, 0.5, 0.8, 0.9, 0.95, 0.99]),
        batch_size=jt.ordinal([16, 32, 64, 128]),
        hidden_units=jt.ordinal([8, 16, 32, 64]),
        layers=jt.ordinal([1, 2, 3]),
        dropout=jt.ordinal([0.0, 0.2, 0.4]),
    ),
    "breast_cancer": jt.Space(
        learning_rate=jt.ordinal(RATES),
        beta1=jt.ordinal([0.0, 0.5, 0.8, 0.9, 0.95, 0.99]),
        weight_decay=jt.ordinal([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        hidden_units=jt.ordinal([4, 8, 16, 32, 64]),
        layers=jt.ordinal([1, 2, 3]),
    ),
    "diabetes": jt.Space(
        learning_rate=jt.ordinal(RATES[2:]),
        optimizer=jt.choice(["momentum", "adam"]),
        batch_size=jt.ordinal([16, 32, 64]),
        hidden_units=jt.ordinal([4, 8, 16, 32]),
        layers=jt.ordinal([1, 2, 3]),
        activation=jt.choice(["relu", "tanh", "gelu", "silu"]),
        dropout=jt.ordinal([0.0, 0.2, 0.4]),
    ),
    "operations": jt.Space(
        first=jt.choice(list(KINDS)),
        second=jt.choice(list(KINDS)),
        third=jt.choice(list(KINDS)),
        norm=jt.choice(["none", "layer", "root"]),
        join=jt.choice(["plain", "residual", "gated", "dense"]),
        optimizer=jt.choice(["sgd", "momentum", "adam"]),
    ),
    "branches": jt.Space(
        learning_rate=jt.ordinal(RATES[2:]),
        optimizer=jt.choice(["sgd", "momentum", "adam"]),
        momentum=jt.when(jt.ordinal([0.5, 0.8, 0.9, 0.97]), optimizer="momentum"),
        beta1=jt.when(jt.ordinal([0.0, 0.8, 0.95]), optimizer="adam"),
        depth=jt.ordinal([1, 2, 3]),
        units_1=jt.ordinal(UNITS),
        units_2=jt.when(jt.ordinal(UNITS), depth=[2, 3]),
        units_3=jt.when(jt.ordinal(UNITS), depth=3),
    ),
}
SEEDS = {
    "digits": 2,
    "breast_cancer": 4,
    "diabetes": 2,
    "operations": 2,
    "branches": 2,
}
METRICS = {"diabetes": "mse"}  # of all others, the loss
DATA = {
    "digits": load_digits,
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "operations": load_digits,
    "branches": load_wine,
}


class Operations(nn.Module):
    """Three hidden layers whose operations are chosen."""

    @nn.compact
    def __call__(self, x, first, second, third, norm, join):
        for kind in (first, second, third):
            new = nn.Dense(16)(x)
            root = new * jax.lax.rsqrt((new**2).mean(-1, keepdims=True) + 1e-5)
            layer = nn.LayerNorm(use_bias=False, use_scale=False)(new)
            new = jnp.select([norm == "layer", norm == "root"], [layer, root], new)
            shaped = [new, nn.relu(new), jnp.tanh(new), nn.gelu(new), jnp.sin(new)]
            new = jnp.stack(shaped)[kind.index]
            gate = nn.sigmoid(nn.Dense(16)(x))
            # the first layer has another width, which nothing can be joined to
            if x.shape == new.shape:
                kinds = [join == "residual", join == "gated", join == "dense"]
                joined = [x + new, gate * new + (1 - gate) * x, new + nn.Dense(16)(x)]
                new = jnp.select(kinds, joined, new)
            x = new
        return nn.Dense(10)(x)


class Branches(nn.Module):
    """One to three hidden layers, each of a width of its own."""

    @nn.compact
    def __call__(self, x, depth, units_1, units_2, units_3):
        for layer, units in enumerate((units_1, units_2, units_3)):
            new = jnp.tanh(nn.Dense(max(UNITS))(x)) * (jnp.arange(max(UNITS)) < units)
            x = jnp.where(layer < depth, new, x) if layer else new
        return nn.Dense(3)(x)


def task(name: str) -> jt.Task:
    """Return a task: half of the examples to train, half to validate."""
    # a large validation split gives scores in fine steps
    x, y = DATA[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    x, y, half = x[order].astype(np.float32), y[order], len(x) // 2
    if name == "operations":
        half = 400  # few examples, where operations differ more
    splits = {"train": (x[:half], y[:half]), "valid": (x[half:], y[half:])}
    if name == "diabetes":
        y = ((y - y.mean()) / y.std()).astype(np.float32)
        splits = {"train": (x[:half], y[:half]), "valid": (x[half:], y[half:])}
        model = jt.models.MLP(classes=1, max_units=32, max_layers=3)
        return jt.regression(model, **splits)
    if name == "operations":
        return jt.classification(Operations(), batch_size=32, **splits)
    if name == "branches":
        return jt.classification(Branches(), batch_size=16, **splits)
    model = jt.models.MLP(classes=int(y.max()) + 1, max_units=64, max_layers=3)
    return jt.classification(model, **splits)


def configurations(space: jt.Space) -> int:
    """Count the configurations of a grid, each value that does not matter once."""
    axes = [np.arange(len(space[name].choices)) for name in space.names]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return len(np.unique(without_inactive(space, grid), axis=0))


def without_inactive(space: jt.Space, cells: np.ndarray) -> np.ndarray:
    """Return cells ``[n, d]`` with 0 for each value that does not matter."""
    cells = cells.copy()
    for column, name in enumerate(space.names):
        # parents stand before their children, so theirs are 0 already
        for parent, values in space[name].condition:
            choices = space[parent].choices
            wanted = [choices.index(value) for value in values]
            index = space.names.index(parent)
            cells[~np.isin(cells[:, index], wanted), column] = 0
    return cells


def table(name: str) -> pd.DataFrame:
    """Train the whole grid, and return a row for each combination."""
    space = SPACES[name]
    counts = [len(space[dim].choices) for dim in space.names]
    metric = METRICS.get(name, "loss")
    result = jt.search(
        task(name),
        space,
        key=jax.random.key(0),
        trials=configurations(space),
        epochs=10,
        seeds=SEEDS[name],
        metric=metric,
        sampler=jt.samplers.grid(max(counts)),
    )
    columns = {dim: result.trials[dim] for dim in space.names}
    if name not in METRICS:
        columns["accuracy"] = result.trials["accuracy"]
    for seed, scores in enumerate(result.trials.scores.T):
        columns[f"loss_{seed}"] = scores
    return pd.DataFrame(columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SPACES, help="the only table to make")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "tables",
        help="folder of the tables",
    )
    args = parser.parse_args()
    for name in [args.only] if args.only else SPACES:
        begin = time.perf_counter()
        rows = table(name)
        file = args.out / f"{name}.parquet"
        rows.to_parquet(file, compression="zstd", index=False)
        print(f"{file}: {len(rows)} rows, {time.perf_counter() - begin:.0f} s")
