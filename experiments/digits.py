"""Search four hyperparameters of a digit classifier, coarse to fine.

The data are the 1797 real 8 x 8 digits that come with scikit-learn. 256 networks are
trained in four rounds of 64; after each round the box shrinks around the eight best.

    python experiments/digits.py [--out DIR]        # the same as: jaxtune demo
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits

import jaxtune as jt

SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-4, 10.0, tier=1),
    momentum=jt.reverse_log_uniform(0.5, 0.999, tier=2),
    weight_decay=jt.log_uniform(1e-6, 1e-1, tier=3),
    dropout=jt.uniform(0.0, 0.6, tier=3),
)


def task() -> jt.Task:
    """Return the task, shuffled once: 1200 digits to train, 300 and 297 to score."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    return jt.classification(
        jt.models.MLP(classes=10, max_units=128),
        train=(x[:1200], y[:1200]),
        valid=(x[1200:1500], y[1200:1500]),
        test=(x[1500:], y[1500:]),
    )


def main(out: Path = Path()) -> jt.Result:
    """Search, print the shrinking boxes and the best trial, and write the pictures."""
    result = jt.search(
        task(),
        SPACE,
        key=jax.random.key(0),
        trials=256,
        rounds=4,
        epochs=20,
        metric="loss",
        refine=jt.zoom(top=8),
    )
    scores, rounds = result.trials["score"], result.trials["round"]
    for number, space in enumerate(result.spaces):
        print(
            f"round {number + 1}: best loss {np.nanmin(scores[rounds == number]):.4f}"
        )
        for name in space.searched:
            low, high = space.bounds[name]
            print(f"    {name:<14} {low:10.6f} to {high:10.6f}")
    best, failed = result.best, (result.trials["status"] != "ok").sum()
    print(
        f"best trial {best.trial}: validation loss {best.score:.4f}; {failed} diverged"
    )
    for name, value in best.hparams.items():
        print(f"    {name:<14} {value:10.6f}")
    print(
        f"    accuracy       {result.trials['accuracy'][best.trial]:10.4f} validation"
    )
    print(f"    accuracy       {result.test()['accuracy']:10.4f} test")
    out.mkdir(parents=True, exist_ok=True)
    picture = out / "digits.png"
    jt.report.zoom(result, "learning_rate", "momentum").savefig(picture, dpi=150)
    print(f"wrote {picture} and {result.report(out / 'digits.html')}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), help="folder for pictures")
    main(parser.parse_args().out)
