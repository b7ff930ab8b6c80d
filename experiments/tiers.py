"""Does it help to search the most important hyperparameters first?

Three searches with the same number of trainings on scikit-learn's digits, over the
standard nine hyperparameters and the optimiser: tier by tier, all at once with as many
zooms, and all at once without zoom. This is repeated with several keys; the same key
gives all three the same initial weights.

    python experiments/tiers.py [--keys 20] [--budget 64] [--epochs 10] [--json FILE]
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from scipy.stats import wilcoxon
from sklearn.datasets import load_digits

import jaxtune as jt

SPACE = jt.presets.standard().restrict(hidden_units=(16, 64), layers=(1, 2))


def task() -> jt.Task:
    """Return the task of classifying digits.

    600 examples to train, few enough that the setting matters; 600 and 597 to score.
    """
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    return jt.classification(
        jt.models.MLP(classes=10, max_units=64, max_layers=2),
        train=(x[:600], y[:600]),
        valid=(x[600:1200], y[600:1200]),
        test=(x[1200:], y[1200:]),
    )


def searches(budget: int) -> dict[str, dict]:
    """Return the arguments in which the searches differ, by name."""
    tiers = jt.tiered(SPACE, budget)
    zooms = len(tiers.stages)
    return {
        "tier by tier": {"space": tiers},
        f"flat, {zooms} rounds": {
            "space": SPACE,
            "trials": budget,
            "rounds": zooms,
            "sampler": "sobol",
        },
        "flat, no zoom": {"space": SPACE, "trials": budget},
    }


def main(keys: int, budget: int, epochs: int, out: Path | None) -> None:
    """Search with every key, compare key by key, and print the table."""
    subject = task()
    losses: dict[str, list[float]] = {name: [] for name in searches(budget)}
    tested: dict[str, list[float]] = {name: [] for name in losses}
    for number in range(keys):
        for name, how in searches(budget).items():
            result = jt.search(
                subject,
                key=jax.random.key(number),
                epochs=epochs,
                metric="loss",
                refine=jt.zoom(top=0.2),
                **how,
            )
            losses[name].append(result.best.score)
            tested[name].append(result.test()["loss"])
    first = next(iter(losses))
    print(f"{keys} keys, {budget} trials of {epochs} epochs each")
    print(f"{'':16}valid loss   sd      test loss   sd      p against {first}")
    rows = {}
    for name in losses:
        valid, test = np.asarray(losses[name]), np.asarray(tested[name])
        p = 1.0 if name == first else float(wilcoxon(test, tested[first]).pvalue)
        rows[name] = {"valid": valid.tolist(), "test": test.tolist(), "p": p}
        print(
            f"{name:16}{valid.mean():10.4f}{valid.std(ddof=1):8.4f}"
            f"{test.mean():12.4f}{test.std(ddof=1):8.4f}{p:9.3f}"
        )
    if out:
        setting = {"keys": keys, "budget": budget, "epochs": epochs}
        out.write_text(json.dumps({**setting, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    main(options.keys, options.budget, options.epochs, options.json)
