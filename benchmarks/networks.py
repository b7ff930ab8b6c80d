"""Compare the training of ten families of networks in jaxtune and in a plain loop.

The networks are written as users write them (``families/``), and are not changed for
jaxtune. Two tables:

*A step*: milliseconds that a training step takes. *Plain* is the user's step, jitted,
one call after another; XLA gives a call all cores. *In a search* is the time of a
search divided by its steps and lanes; a search trains as many blocks at once as there
are cores, so both use the whole machine. Of two warm searches with different epochs the
difference counts, so that starting and scoring do not. Each search is measured beside
the plain step in a process of its own, in turns. *Compiling* is the first call less a
later one: of the plain step, of the functions that start and score too, and of the
search, which compiles all three; the ratio is to the step.

*A trial*: seconds for a trial of a whole search. *Cold* is the first search of a
process, with compiling and without imports and a cache; *warm* is the second one. The
plain loop has one jitted step for all trials; Optuna + Flax jits a step for each trial,
as both document it. These two do a few trials, since all but the first take as long.

    python benchmarks/networks.py [--only cnn,gru] [--libraries linen] [--json FILE]
"""

import argparse
import statistics
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import apart

BATCH, HELD_OUT = 64, 256
LANES = 16  # two blocks of the default width
SECONDS = 1.0  # a search is made so long, if a step is shorter
# a search of one epoch that takes longer is measured without another one
LONG = 3.0

# whether operations are rewritten, and the width of a block
SEARCHES = {
    "default": (True, None),
    "block of 1": (True, 1),
    "as written": (False, None),
    "as written, block of 1": (False, 1),
}


def seconds(function):
    """Return the seconds of a call, and what it returns."""
    import jax

    begin = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - begin, result


def plain_step(family, library):
    """Return a function that times some plain steps, and the seconds of compiling."""
    import families
    import jax

    own, hparams = (
        families.training(family, library),
        {
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
        },
    )
    (x, y), valid = families.splits(family, BATCH, HELD_OUT)
    x, y = jax.device_put((x, y))
    start, step, score = map(jax.jit, own)
    key = jax.random.key(0)
    first_start, carry = seconds(lambda: start(key, x, hparams))
    first_step, carry = seconds(lambda: step(carry, x, y, key, 0, hparams))
    first_score, _ = seconds(lambda: score(carry, *valid))

    def steps(count):
        now = carry
        for number in range(count):
            now = step(now, x, y, key, number, hparams)
        return now

    each = seconds(lambda: steps(3))[0] / 3
    count = max(3, min(300, int(0.3 / each)))
    compiling = {
        "plain_compile_s": first_step - each,
        "plain_compile_all_s": first_start + first_step + first_score,
    }
    return lambda: seconds(lambda: steps(count))[0] / count, compiling


def searching(family, library, examples, rewrite):
    """Return ``(trials, epochs, block) -> result`` of a search with the defaults."""
    import families
    import jax

    import jaxtune as jt

    train, valid = families.splits(family, examples, HELD_OUT)
    task = families.task(family, library, train, valid, BATCH)

    def run(trials, epochs, block=None):
        return jt.search(
            task,
            families.SPACE,
            key=jax.random.key(0),
            trials=trials,
            epochs=epochs,
            block=block,
            rewrite=rewrite,
            verbose=0,
            sampler="sobol",
        )

    return run


def lane_step(family, library, search, lanes, repeats):
    """Yield the times of a plain step and of a step in a search, in turns."""
    rewrite, block = SEARCHES[search]
    plain, compiling = plain_step(family, library)
    # an epoch is long where a step is short, so that it counts beside an epoch's start
    steps = max(2, min(32, int(0.1 / plain())))
    run = searching(family, library, steps * BATCH, rewrite)
    cold, result = seconds(lambda: run(lanes, 1, block))
    # a long search would measure widths; this one keeps what the first one had
    width = result.setup.workload.width
    once = seconds(lambda: run(lanes, 1, width))[0]
    row = {**compiling, "width": width, "steps": steps, "compile_s": cold - once}
    more = 0 if once > LONG else max(2, min(64, int(SECONDS / once)))
    plains, lane_steps = [], []
    for _ in range(repeats if more else 1):
        plains.append(plain())
        taken, epochs = once, 1
        if more:
            short = seconds(lambda: run(lanes, 1, width))[0]
            long = seconds(lambda: run(lanes, 1 + more, width))[0]
            taken, epochs = long - short, more
        lane_steps.append(taken / (epochs * steps * lanes))
        row["plain_ms"] = 1e3 * statistics.median(plains)
        row["lane_ms"] = 1e3 * statistics.median(lane_steps)
        yield row


def jaxtune_trials(family, library, examples, epochs, trials, few):
    """Yield seconds a trial of jaxtune with its defaults, cold and warm."""
    del few
    run = searching(family, library, examples, True)
    row = {}
    for name in ("cold_s", "warm_s"):
        taken, result = seconds(lambda: run(trials, epochs))
        row[name] = taken / trials
        row["score"] = float(result.trials[result.setup.metric].mean())
        yield row


def user_training(family, library, examples, epochs):
    """Return a user's loop over epochs and batches: ``(number, hparams) -> score``.

    With ``anew``, it jits a step of its own, with the numbers of the trial in it.
    """
    import families
    import jax
    import numpy as np

    own = families.training(family, library)
    (x, y), valid = families.splits(family, examples, HELD_OUT)
    start, step, score = map(jax.jit, own)

    def train(number, hparams, anew):
        key = jax.random.key(number)
        carry, count = start(key, x, hparams), 0
        call = jax.jit(partial(own.step, hparams=hparams)) if anew else step
        given = {} if anew else {"hparams": hparams}
        generator = np.random.default_rng(number)
        for _ in range(epochs):
            for rows in generator.permutation(examples).reshape(-1, BATCH):
                carry = call(carry, x[rows], y[rows], key, count, **given)
                count += 1
        return float(score(carry, *valid))

    return train


def trial_row(ends, scores, trials):
    """Return seconds a trial from the moments when some trials ended, and the begin."""
    first, *rest = [end - begin for begin, end in pairwise(ends)]
    warm = statistics.median(rest)
    cold = (first + (trials - 1) * warm) / trials
    return {"cold_s": cold, "warm_s": warm, "score": statistics.mean(scores)}


def loop_trials(family, library, examples, epochs, trials, few):
    """Yield seconds a trial of a loop with one jitted step for all trials."""
    import numpy as np

    train = user_training(family, library, examples, epochs)
    generator = np.random.default_rng(0)
    ends, scores = [time.perf_counter()], []
    for number in range(few):
        hparams = {
            "learning_rate": 10 ** generator.uniform(-4, -2),
            "weight_decay": 10 ** generator.uniform(-5, -1),
        }
        scores.append(train(number, hparams, anew=False))
        ends.append(time.perf_counter())
    yield trial_row(ends, scores, trials)


def optuna_trials(family, library, examples, epochs, trials, few):
    """Yield seconds a trial of Optuna with its default sampler, a step for each."""
    import families
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    train = user_training(family, library, examples, epochs)
    goal = families.GOALS[families.FAMILIES[family].goal]
    direction = "maximize" if goal.mode == "max" else "minimize"

    def objective(trial):
        hparams = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
        }
        return train(trial.number, hparams, anew=True)

    ends = [time.perf_counter()]
    study = optuna.create_study(direction=direction)
    study.optimize(
        objective, n_trials=few, callbacks=[lambda *_: ends.append(time.perf_counter())]
    )
    yield trial_row(ends, [trial.value for trial in study.trials], trials)


CONTENDERS = {
    "jaxtune": jaxtune_trials,
    "plain loop": loop_trials,
    "Optuna + Flax": optuna_trials,
}
CHILDREN = {"lane step": lane_step, **CONTENDERS}


def median_row(rows):
    """Return the median of each figure over some rows."""
    names = {name for row in rows for name in row}
    return {
        name: statistics.median(row[name] for row in rows if name in row)
        for name in sorted(names)
    }


def measured(options, family, library):
    """Return all figures of a family in one library."""
    work = {"family": family, "library": library}
    rows = {"family": family, "library": library, "step": {}, "trial": {}}
    for search in options.searches:
        apart.note(f"{family}, {library}: a step, {search}")
        step = {"search": search, "lanes": options.lanes, "repeats": options.repeats}
        given = {"do": "lane step", **work, **step}
        rows["step"][search] = apart.measure(__file__, given, options.deadline)
    size = {name: getattr(options, name) for name in ("examples", "epochs", "trials")}
    found = {name: [] for name in CONTENDERS}
    for _ in range(options.repeats):
        for name in CONTENDERS:
            apart.note(f"{family}, {library}: trials, {name}")
            given = {"do": name, **work, **size, "few": options.few}
            found[name].append(apart.measure(__file__, given, options.deadline))
    rows["trial"] = {name: median_row(several) for name, several in found.items()}
    return rows


def ratio(above, below):
    """Return a ratio, ``None`` if one of the two was not measured."""
    return above / below if above and below else None


def print_steps(found):
    """Print milliseconds of a step, and how often the plain step's they are."""
    import families

    columns = [c for name in SEARCHES for c in (name, "ratio")]
    compiling = ["compile plain, s", "with start, score", "compile search, s", "ratio"]
    rows = []
    for row in found:
        steps = row["step"]
        plain = median_row(steps.values()).get("plain_ms")
        says = families.FAMILIES[row["family"]].says
        cells = [says, row["library"], plain]
        for name in SEARCHES:
            step = steps.get(name, {})
            cells.append(step.get("lane_ms"))
            cells.append(ratio(step.get("lane_ms"), step.get("plain_ms")))
        first = steps.get("default", {})
        took, compiled = first.get("plain_compile_s"), first.get("compile_s")
        whole = first.get("plain_compile_all_s")
        rows.append([*cells, took, whole, compiled, ratio(compiled, took)])
    apart.table(["a step, ms", "", "plain", *columns, *compiling], rows)


def print_trials(found):
    """Print seconds of a trial, and how much longer the others take than jaxtune."""
    import families

    others = [name for name in CONTENDERS if name != "jaxtune"]
    head = ["a trial, s", "", "jaxtune warm", "cold"]
    head += [c for name in others for c in (f"{name} warm", "ratio", "cold", "ratio")]
    rows = []
    for row in found:
        ours = row["trial"]["jaxtune"]
        says = families.FAMILIES[row["family"]].says
        cells = [says, row["library"], ours.get("warm_s"), ours.get("cold_s")]
        for name in others:
            theirs = row["trial"][name]
            for when in ("warm_s", "cold_s"):
                cells.append(theirs.get(when))
                cells.append(ratio(theirs.get(when), ours.get(when)))
        rows.append(cells)
    apart.table(head, rows)


def names(text):
    """Return the names of a list with commas."""
    return text.split(",")


def arguments():
    """Return the options of the command line."""
    import families

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", type=names, help="families, such as cnn,gru")
    parser.add_argument(
        "--libraries", type=names, default=["linen"], help="linen,nnx,equinox"
    )
    parser.add_argument(
        "--searches", type=names, default=list(SEARCHES), help="of the first table"
    )
    parser.add_argument("--examples", type=int, default=1280, help="of a trial")
    parser.add_argument("--epochs", type=int, default=3, help="of a trial")
    parser.add_argument("--trials", type=int, default=16, help="of jaxtune's search")
    parser.add_argument("--few", type=int, default=4, help="trials of the others")
    parser.add_argument("--lanes", type=int, default=LANES, help="in the first table")
    parser.add_argument("--repeats", type=int, default=3, help="the median is shown")
    parser.add_argument(
        "--deadline", type=float, default=900, help="seconds for each process"
    )
    parser.add_argument(
        "--small", action="store_true", help="one family, little data, one repeat"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    options = parser.parse_args()
    default = ["cnn1d"] if options.small else list(families.FAMILIES)
    options.only = options.only or default
    known = {
        "only": families.FAMILIES,
        "libraries": families.LIBRARIES,
        "searches": SEARCHES,
    }
    for option, table in known.items():
        for name in getattr(options, option):
            if name not in table:
                parser.error(f"--{option}: no {name!r}. Use some of {', '.join(table)}")
    return options


SMALL = {"examples": 128, "epochs": 1, "trials": 4, "few": 2, "repeats": 1}


def main() -> None:
    """Measure, and print two tables."""
    if apart.serve(CHILDREN):
        return
    import record

    options = arguments()
    if options.small:
        vars(options).update(SMALL, searches=["default"])
    found = []
    for family in options.only:
        for library in options.libraries:
            found.append(measured(options, family, library))
            record.write(options, found)  # what is known, should this be interrupted
    print_steps(found)
    print_trials(found)


if __name__ == "__main__":
    main()
