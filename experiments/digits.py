"""Search four hyperparameters of a digit classifier, coarse to fine.

The data are the 1797 real 8 x 8 digits that come with scikit-learn. Of 256 networks a
fifth are the best settings, measured again; the others are trained in four rounds, and
after each round the box shrinks around the best ones. Why so: docs/experiments.md.

The folder is a run directory. A search that was killed goes on when it is begun again,
and ends in the same table.

    python experiments/digits.py [--out DIR]        # the same as: jaxtune demo
"""

import argparse
import shlex
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxtune as jt

SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-4, 10.0, tier=1),
    momentum=jt.reverse_log_uniform(0.0, 0.999, tier=2),
    weight_decay=jt.log_uniform(1e-6, 1e-1, tier=3),
    dropout=jt.uniform(0.0, 0.6, tier=3),
)
TRIALS, EPOCHS = 256, 20
OUT = Path("digits-demo")


def task() -> jt.Task:
    """Return the task: 600 digits to train, 600 and 597 to score."""
    x, y = load_digits(return_X_y=True)
    x, scored_x, y, scored_y = train_test_split(
        (x / 16).astype(np.float32), y, train_size=600, stratify=y, random_state=0
    )
    valid_x, test_x, valid_y, test_y = train_test_split(
        scored_x, scored_y, train_size=600, stratify=scored_y, random_state=0
    )
    return jt.classification(
        jt.models.MLP(classes=10, max_units=128),
        train=(x, y),
        valid=(valid_x, valid_y),
        test=(test_x, test_y),
    )


def search(out: Path, trials: int = TRIALS, epochs: int = EPOCHS) -> jt.Result:
    """Return the result of the search, or of what is left of it, in its folder."""
    return jt.search(
        task(),
        SPACE,
        key=jax.random.key(0),
        trials=trials,
        rounds=4,
        confirm=0.2,
        epochs=epochs,
        metric="loss",
        directory=out,
    )


def tell(result: jt.Result) -> None:
    """Print how the boxes shrank, and the best setting."""
    scores, rounds = result.trials["score"], result.trials["round"]
    for number, space in enumerate(result.spaces):
        losses = scores[rounds == number]
        confirms = number in result.confirming_rounds
        again = ", the best settings, measured again" if confirms else ""
        print(
            f"round {number + 1}: {len(losses)} trials{again}, loss: best "
            f"{np.nanmin(losses):.4f}, median {np.nanmedian(losses):.4f}"
        )
        for name in () if again else space.searched:
            low, high = space.bounds[name]
            print(f"    {name:<14} {low:10.6f} to {high:10.6f}")
    best, failed = result.best, (result.trials["status"] != "ok").sum()
    print(
        f"best trial {best.trial}: validation loss {best.score:.4f}, mean of "
        f"{len(best.scores)} trainings; {failed} trials diverged"
    )
    for name, value in best.hparams.items():
        print(f"    {name:<14} {value:10.6f}")
    # of the trainings that the loss is the mean of; one alone may have been lucky
    same = result.trials["repeat_of"] == best.trial
    same = same if same.any() else result.trials["trial"] == best.trial
    accuracy = result.trials["accuracy"][same].mean()
    print(f"    accuracy       {accuracy:10.4f} validation")
    print(f"    accuracy       {result.test()['accuracy']:10.4f} test")


def commands(result: jt.Result, out: Path) -> dict[str, str]:
    """Return commands that work on the folder, and what each does."""
    at, best = shlex.quote(str(out)), result.best.trial
    inside = {name: shlex.quote(str(out / name)) for name in ("model", "trials.csv")}
    return {
        f"jaxtune show {at}": "the boxes and the best trials",
        f"jaxtune rerun {at} {best}": "train the best trial again, to the bit",
        f"jaxtune train {at} --out {inside['model']}": "keep its model",
        f"jaxtune export {at} --to csv {inside['trials.csv']}": "the table",
        f"jaxtune report {at}": "the page again",
        f"jaxtune resume {at}": "go on, if it was killed",
    }


def main(out: Path = OUT, trials: int = TRIALS, epochs: int = EPOCHS) -> jt.Result:
    """Search, tell what was found, write the pictures, and say what to do next."""
    at = shlex.quote(str(out))
    print(
        f"jaxtune watch {at}  # in another terminal: see it while it runs", flush=True
    )
    result = search(out, trials, epochs)
    tell(result)
    picture = out / "digits.png"
    jt.report.zoom(result, "learning_rate", "momentum").savefig(picture, dpi=150)
    print(f"wrote {picture} and {result.report(out / 'digits.html')}")
    print(f"{out} is a run directory:")
    known = commands(result, out)
    for command, does in known.items():
        print(f"    {command:<{max(map(len, known))}}  # {does}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="the run directory, with the pictures (default: %(default)s)",
    )
    main(parser.parse_args().out)
