"""Draw the pictures of the documentation, for light and for dark pages.

    python experiments/pictures.py

Runs the demo for the picture of its boxes, the code of docs/tutorial.md, one search
with population based training for the picture of which trial copied which state, one
with a history of every epoch, one with folds, and some to compare.
"""

import dataclasses
import os
import re
import tempfile
from pathlib import Path

import digits
import jax
from matplotlib.figure import Figure

import jaxtune as jt

RESOLUTION = 144  # dots per inch: sharp on a dense screen
DOCS = Path(__file__).parents[1] / "docs"


def tutorial(number: int | None = None) -> dict:
    """Run the tutorial's first blocks in a temporary folder; return their names."""
    names: dict = {}
    blocks = re.findall(
        r"```python\n(.*?)```", (DOCS / "tutorial.md").read_text(), re.S
    )[:number]
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for code in blocks:
            exec(compile(code, "tutorial.md", "exec"), names)
        os.chdir(here)
    return names


def main() -> None:
    """Write every picture of `jaxtune.report` to docs/pictures, in both themes."""
    with tempfile.TemporaryDirectory() as out:
        demo = digits.search(Path(out) / "demo")
    names = tutorial()
    first, zoomed, result = names["first"], names["zoomed"], names["result"]
    bred = jt.search(
        names["task"],
        names["space"].keep("learning_rate", "momentum"),
        key=jax.random.key(0),
        trials=16,
        epochs=20,
        metric="loss",
        scheduler=jt.schedulers.pbt(interval=2),
    )
    judged = jt.search(
        names["task"],
        names["space"].keep("learning_rate", "momentum"),
        key=jax.random.key(0),
        trials=32,
        epochs=20,
        metric="loss",
        score="best",
        history=True,
    )
    folded = jt.search(
        dataclasses.replace(names["task"], valid=None),
        names["space"].keep("learning_rate", "momentum"),
        key=jax.random.key(0),
        trials=16,
        epochs=5,
        folds=5,
    )
    kept = jt.search(
        names["task"],
        names["space"],
        key=jax.random.key(0),
        trials=32,
        epochs=10,
        metric="loss",
        keep="predictions",
    )
    aimed = jt.search(
        names["task"],
        names["space"],
        key=jax.random.key(0),
        trials=48,
        rounds=3,
        epochs=10,
        goals=["accuracy", "parameters"],
        constraints={"parameters": ("<=", 6000)},
    )
    compared = [
        jt.search(
            names["task"],
            names["space"],
            key=jax.random.key(seed),
            trials=32,
            epochs=5,
            metric="loss",
            sampler=sampler,
        )
        for seed in range(6)
        for sampler in ("sobol", "gaussian_process")
    ]
    study = optimisers(names["task"])
    pictures = {
        "slices": first,
        "parallel": first,
        "contour": first,
        "best_of": first,
        "zoom": demo,
        "history": zoomed,
        "importance": first,
        "ranks": result,
        "rungs": names["halved"],
        "curves": names["halved"],
        "epochs": judged,
        "lineage": bred,
        "fold_scores": folded,
        "ensemble": kept,
        "front": aimed,
    }
    folder = DOCS / "pictures"
    folder.mkdir(exist_ok=True)
    comparison = jt.report.compare(compared)
    for theme, ending in (("light", ""), ("dark", "-dark")):
        with jt.report.theme(theme):
            drawn = {at: getattr(jt.report, at)(of) for at, of in pictures.items()}
            drawn["compare"] = comparison.figure()
            drawn["study"] = study.figure()
        for name, figure in drawn.items():
            save(figure, folder / f"{name}{ending}.png")


def optimisers(task: jt.Task) -> jt.Study:
    """Return a study of three optimisers."""
    space = jt.Space(
        optimizer=jt.choice(["sgd", "momentum", "adam"]),
        learning_rate=jt.log_uniform(1e-4, 10.0),
    )
    return jt.study(
        task,
        space,
        key=jax.random.key(0),
        scientific=["optimizer"],
        trials=64,
        epochs=5,
        metric="accuracy",
    )


def save(figure: Figure, path: Path) -> None:
    """Write a picture: it says what it shows, and equal searches give equal files."""
    about = {"Description": jt.report.description(figure), "Software": None}
    figure.savefig(path, dpi=RESOLUTION, metadata=about)


if __name__ == "__main__":
    main()
