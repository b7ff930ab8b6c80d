"""Does the optimiser matter, when everything else is tuned for each of them?

A study of SGD, momentum and Adam on digits, with several keys: each draws other
settings and other seeds, so that the conclusions show how far one study can be trusted.
One search for each optimiser, with as many trials, shows what a study costs. And
simulated studies, whose truth is known, count how often a difference is claimed that is
not there.

    python experiments/study.py [--keys 8] [--out DIR]
"""

import time

import jax
import numpy as np
from common import arguments, digits, keep
from matplotlib.figure import Figure

import jaxtune as jt
from jaxtune.analysis._study import contrasts_of

MOMENTUM = jt.reverse_log_uniform(0.5, 0.99)
SPACE = jt.Space(
    optimizer=jt.choice(["sgd", "momentum", "adam"]),
    learning_rate=jt.log_uniform(1e-4, 10.0),
    momentum=jt.when(MOMENTUM, optimizer=["momentum"]),
    batch_size=jt.power_of_two(16, 128),
)
TRIALS, REPEATS, EPOCHS = 64, 20, 10
COMMON = {"epochs": EPOCHS, "metric": "accuracy", "verbose": 0}
SIMULATED = 1000  # studies of each kind
PAIRS = [("momentum", "sgd"), ("adam", "sgd"), ("adam", "momentum")]


def alone(task, name, key):
    """Search with one optimiser, and measure its best setting again."""
    own = {"momentum": MOMENTUM} if name == "momentum" else {}
    shared = {n: SPACE[n] for n in ("learning_rate", "batch_size")}
    fixed = jt.Space(optimizer=jt.fixed(name), **shared, **own)
    stages = (
        jt.Stage(fixed.searched, TRIALS),
        jt.Stage(fixed.searched, REPEATS, confirms=1),
    )
    schedule = jt.Schedule(fixed, stages)
    return jt.search(task, schedule, key=key, sampler="sobol", **COMMON)


def simulated():
    """Return how often simulated studies claim a difference, and intervals cover it.

    The score of a setting x in [0, 1] is -(x - 0.3)^2 and normal noise; that of the
    second value is higher by a shift. So without one, the values are equal when tuned.
    At last, both are equal at their best, and the second is a third as wide: fewer of
    its settings are good.
    """
    rows, rng = [], np.random.default_rng(0)
    for settings in (16, 64):
        for noise in (0.01, 0.05, 0.2):
            for shift in (0.0, noise, 3 * noise):
                rows.append(_simulated(rng, settings, noise, shift))
    for settings in (16, 64, 256):
        rows.append(_simulated(rng, settings, 0.01, 0.0, width=1 / 3))
    return rows


def _simulated(rng, settings, noise, shift, width=1.0):
    shown = seeds = covered = 0
    for _ in range(SIMULATED):
        x = rng.random(settings)
        truth = np.stack([-((x - 0.3) ** 2), shift - (x - 0.3) ** 2 / width**2])
        tuned = truth + noise * rng.normal(size=truth.shape)
        best = truth[np.arange(2), tuned.argmax(axis=1)]
        fresh = best[:, None] + noise * rng.normal(size=(2, 10))
        (pair,) = contrasts_of(list(fresh), list(tuned))
        shown += pair.shown
        seeds += pair.test.p <= 0.05
        true = shift if pair.better == 1 else -shift
        covered += pair.test.low <= true <= pair.test.high
    counts = {"shown": shown, "by_seeds_alone": seeds, "interval_covers": covered}
    shares = {name: count / SIMULATED for name, count in counts.items()}
    kind = {"settings": settings, "noise": noise, "shift": shift, "width": width}
    return kind | shares


def main(keys, out):
    task, rows, found = digits(), [], []
    for number in range(keys):
        key = jax.random.key(number)
        begin = time.perf_counter()
        study = jt.study(
            task,
            SPACE,
            key=key,
            scientific=["optimizer"],
            trials=TRIALS,
            repeats=REPEATS,
            **COMMON,
        )
        middle = time.perf_counter()
        for name in SPACE["optimizer"].members:
            alone(task, name, key)
        end = time.perf_counter()
        compared = study.comparisons["optimizer"]
        names = [value.values["optimizer"] for value in compared.values]
        rows.append(
            {
                "key": number,
                "conclusion": study.conclusion,
                "notes": study.notes,
                "means": {
                    n: v.mean for n, v in zip(names, compared.values, strict=True)
                },
                "pairs": [
                    {
                        "better": names[pair.better],
                        "other": names[pair.other],
                        "difference": pair.test.difference,
                        "low": pair.test.low,
                        "high": pair.test.high,
                        "p_seeds": pair.test.p,
                        "p_tuning": pair.tuning,
                        "p": pair.p,
                    }
                    for pair in compared.contrasts
                ],
                "trials": len(study.result.trials),
                "seconds": middle - begin,
                "seconds_of_searches": end - middle,
            }
        )
        print(number, study, flush=True)
    # the first key compiles
    ratios = [row["seconds"] / row["seconds_of_searches"] for row in rows[1:] or rows]
    found.append(
        f"a study of {TRIALS} settings for each of 3 optimisers, {REPEATS} repeats: "
        f"{rows[0]['trials']} trials, {np.median(ratios):.2f} times the seconds of "
        f"three searches with as many ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    for one, other in PAIRS:
        found.append(_told(rows, one, other))
    known = simulated()
    equal = [row for row in known if row["shift"] == 0 and row["width"] == 1]
    worst = max(row["shown"] for row in equal)
    seeds = max(row["by_seeds_alone"] for row in equal)
    found.append(
        f"simulated studies of equal values: a difference is claimed in {worst:.1%} at "
        f"most; by fresh seeds alone it would be {seeds:.1%}"
    )
    keep("study", draw(rows), found, {"studies": rows, "simulated": known}, out)


def _told(rows, one, other):
    """Return in how many studies each of two values is shown to be better."""
    shown, seeds, differences = {one: 0, other: 0}, {one: 0, other: 0}, []
    for row in rows:
        for pair in row["pairs"]:
            if {pair["better"], pair["other"]} == {one, other}:
                if pair["p"] <= 0.05 and pair["low"] > 0:
                    shown[pair["better"]] += 1
                if pair["p_seeds"] <= 0.05:
                    seeds[pair["better"]] += 1
                sign = 1 if pair["better"] == one else -1
                differences.append(sign * pair["difference"])
    return (
        f"{one} against {other}: {one} is shown to be better in {shown[one]} of "
        f"{len(rows)} studies, {other} in {shown[other]}; by fresh seeds alone "
        f"{one} in {seeds[one]}, {other} in {seeds[other]}; the difference in accuracy "
        f"is {np.mean(differences):.4f} on average, {min(differences):.4f} to "
        f"{max(differences):.4f}"
    )


def draw(rows):
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, (one, other) in zip(panels, PAIRS, strict=True):
        for place, row in enumerate(rows):
            for pair in row["pairs"]:
                if {pair["better"], pair["other"]} != {one, other}:
                    continue
                sign = 1 if pair["better"] == one else -1
                ends = sorted((sign * pair["low"], sign * pair["high"]))
                shown = pair["p"] <= 0.05 and pair["low"] > 0
                colour = "#0072B2" if shown else "0.6"
                axes.plot(ends, [place, place], color=colour, linewidth=2)
                axes.plot(sign * pair["difference"], place, "D", color=colour)
        axes.axvline(0, color="0.8", zorder=0)
        axes.set_yticks(range(len(rows)), [str(row["key"]) for row in rows])
        axes.set(title=f"{one} − {other}", xlabel="difference in accuracy")
    panels[0].set_ylabel("key of the study")
    figure.suptitle("Best settings with 20 fresh seeds, 95 % interval; blue: shown")
    return figure


if __name__ == "__main__":
    main(*arguments(__doc__, 8))
