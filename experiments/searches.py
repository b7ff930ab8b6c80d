"""Which search finds the best setting: points, boxes, a model, or all of them?

The same number of trials on the tasks of the demo and of the tutorial. The score of
the best trial is partly luck, and more so where many trials are as good. So the setting
that a search has chosen is trained eight times more, with keys that no search has used:
their mean loss on the validation split is what the setting is worth.

    python experiments/searches.py [--keys 10] [--out DIR]
"""

import digits
import jax
from common import arguments, differ, keep, strip, text
from matplotlib.figure import Figure
from pictures import tutorial

import jaxtune as jt

SEARCHES = {
    "Sobol": {"sampler": "sobol"},
    "Sobol, zoom": {"sampler": "sobol", "rounds": 4},
    "model": {"confirm": 0},
    "model, again": {"confirm": 0.2},
    "model, zoom": {"rounds": 4},
    "model, zoom, again": {"rounds": 4, "confirm": 0.2},
}


def main(keys, out):
    names = tutorial(2)  # its task and its space
    tasks = {
        "demo": (digits.task(), digits.SPACE, digits.TRIALS, digits.EPOCHS),
        "tutorial": (names["task"], names["space"], 64, 10),
    }
    told, worth = {}, {}
    for task, (made, space, trials, epochs) in tasks.items():
        told[task], worth[task] = {}, {}
        for name, how in SEARCHES.items():
            found = [
                jt.search(
                    made,
                    space,
                    key=jax.random.key(key),
                    trials=trials,
                    epochs=epochs,
                    metric="loss",
                    verbose=0,
                    **how,
                )
                for key in range(keys)
            ]
            again = [jt.analysis.reevaluate(result, top=1)[0] for result in found]
            told[task][name] = [result.best.score for result in found]
            worth[task][name] = [row.again for row in again]
    lines = [
        f"{task}, {name}: loss of the best {text(told[task][name])}, trained anew "
        f"{text(values)} over {keys} keys, {differ(values, columns['Sobol'])} against "
        "Sobol"
        for task, columns in worth.items()
        for name, values in columns.items()
    ]
    keep("searches", draw(worth), lines, {"told": told, "worth": worth}, out)


def draw(worth):
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    panels = figure.subplots(1, len(worth))
    for axes, (task, columns) in zip(panels, worth.items(), strict=True):
        wrapped = {name.replace(", ", "\n"): row for name, row in columns.items()}
        strip(axes, wrapped)
        axes.set_title(f"The {task}", loc="left")
    panels[0].set_ylabel("loss of the chosen setting, trained anew")
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 10))
