"""Compare a search of PPO agents on CartPole with PureJaxRL's notebook.

The notebook (Lu et al., 2022, ``examples/walkthrough.ipynb``) trains agents side by
side by ``jit(vmap(train))``, and tries values of the entropy coefficient by a second
``vmap``. Here the same agents (`ppo`) train one by one in a jitted loop, by ``vmap`` as
there, and in `jaxtune.search`; and the settings that five ways to choose find, for
about as many agents, are trained again with fresh seeds beside the notebook's own.

    python -m benchmarks.published.purejaxrl [--parts speed,size,tuned] [--small]

``--parts size --size-agents 256`` is the size of the notebook, for an accelerator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

import jaxtune as jt
from benchmarks.published.agents import (
    DEFAULT,
    SPACE,
    corners,
    differences,
    programs,
    scoring,
    stacked,
    ways,
)
from benchmarks.published.common import arguments, clock, run_parts, shown, table
from benchmarks.published.ppo import CARTPOLE, updates_of

# outputs of the notebook's cells, on a GPU that it does not name: one agent when it is
# compiled, 256 with compiling, and 7 entropy coefficients times 8 seeds with compiling
THEIRS = {"one": 17.20, "many": 48.45, "grid": 26.80}
THEIR_AGENTS, THEIR_STEPS = {"one": 1, "many": 256, "grid": 56}, 500_000
ENTROPIES = (0.0, 0.001, 0.0005, 0.01, 0.05, 0.1, 0.5)
FRESH = 10_000  # keys of agents that no search has seen


def timed(known: dict[str, Callable], repeats: int) -> Iterator[dict]:
    """Yield the seconds of each way so far, cold and then warm, taking turns."""
    rows: dict = {name: {"seconds": [], "cpu": []} for name in known}
    for turn in range(1 + repeats):
        for name, run in known.items():
            with clock() as spent:
                areas = run()
            if turn:
                rows[name]["seconds"].append(spent["seconds"])
                rows[name]["cpu"].append(spent["cpu"])
            else:
                rows[name] |= {"cold": spent["seconds"], "areas": areas.tolist()}
            print(f"{name}, turn {turn}: {spent['seconds']:.2f} s", flush=True)
        yield rows


def speed(options) -> Iterator[dict]:
    """Measure the same agents three ways, `corners` times seeds."""
    settings = corners()[:: options.thin]
    known = ways(options.timesteps, settings, options.seeds, jax.random.key(0))
    found = {"agents": len(settings) * options.seeds, "timesteps": options.timesteps}
    found["differences"] = differences()
    for rows in timed(known, options.repeats):
        yield {**found, "ways": rows}


def size(options) -> Iterator[dict]:
    """Measure trainings as long as the notebook's: one agent, and many seeds of it."""
    timesteps = options.size_timesteps
    one = ways(timesteps, [DEFAULT], 1, jax.random.key(2))["loop"]
    many = ways(timesteps, [DEFAULT], options.size_agents, jax.random.key(2))
    many = {name: many[name] for name in ("vmap", "search")}
    found = {"agents": options.size_agents, "timesteps": timesteps}
    (*_, first) = timed({"one": one}, 1)
    for rows in timed(many, 1):
        yield {**found, "ways": first | rows}


def by_grid(timesteps: int, settings: list[dict], seeds: int) -> Callable:
    """Return a choice by hand: the best mean of a grid, all on the same seeds."""
    both = programs(timesteps)[1]

    def choose(key):
        keys = jax.random.split(key, seeds)
        keys = jnp.broadcast_to(keys, (len(settings), seeds))
        areas = np.asarray(both(keys, stacked(settings))["area"]).mean(1)
        return settings[int(areas.argmax())], len(settings) * seeds

    return choose


def by_search(timesteps: int, trials: int, seeds: int, **how) -> Callable:
    """Return a choice by a search."""

    def choose(key):
        more = {"metric": "area", "mode": "max", "verbose": 0, **how}
        more |= {"key": key, "trials": trials, "seeds": seeds}
        found = jt.search(scoring(timesteps), SPACE, **more)
        return found.best.hparams, trials * seeds

    return choose


def choices_of(options) -> dict[str, Callable]:
    """Return name to ``key -> (setting, agents trained)``."""
    steps, four = options.timesteps, corners()[:: options.thin]
    entropies = [{**DEFAULT, "ENT_COEF": value} for value in ENTROPIES]
    rates = [{**DEFAULT, "LR": value} for value in np.geomspace(*SPACE.bounds["LR"], 7)]
    return {
        "default": lambda key: (DEFAULT, 0),
        "entropies": by_grid(steps, entropies[-len(four) :], options.grid_seeds),
        "rates": by_grid(steps, rates[-len(four) :], options.grid_seeds),
        "grid": by_grid(steps, four, options.seeds),
        "search": by_search(steps, len(four), options.seeds),
        "confirmed": by_search(steps, len(four) * options.seeds, 1, confirm=0.25),
    }


def tuned(options) -> Iterator[dict]:
    """Measure what ways to choose find, on fresh agents, the same for all ways."""
    choices, both = choices_of(options), programs(options.timesteps)[1]
    rows: dict = {name: [] for name in choices}
    found = {"timesteps": options.timesteps, "fresh": options.fresh, "ways": rows}
    for number in range(options.keys):
        keys = jax.random.split(jax.random.key(FRESH + number), options.fresh)
        for name, choose in choices.items():
            with clock() as spent:
                setting, agents = choose(jax.random.key(number))
            again = both(keys[None], stacked([setting]))
            judged = {part: float(values.mean()) for part, values in again.items()}
            rows[name].append({**judged, "agents": agents, "setting": setting, **spent})
            print(f"key {number}, {name}: {judged['area']:.1f}", flush=True)
        yield found


def steps_of(timesteps: int) -> int:
    """Return the steps that an agent takes in whole updates."""
    a_turn = CARTPOLE["NUM_ENVS"] * CARTPOLE["NUM_STEPS"]
    return a_turn * updates_of({**CARTPOLE, "TOTAL_TIMESTEPS": timesteps})


def sizes(written: dict) -> str:
    """Return the table of the notebook's figures beside ours."""
    rows = []
    part = written["rows"]["size"]
    ours = {"one": ("one", 1), "many": ("search", part["agents"])}
    labels = {"one": "one agent, compiled before", "many": "many seeds, with compiling"}
    for name, (way, agents) in ours.items():
        row = part["ways"][way]
        seconds = row["cold"] if name == "many" else float(np.median(row["seconds"]))
        rows.append([labels[name]])
        theirs = THEIR_AGENTS[name], THEIR_STEPS, THEIRS[name]
        for count, steps, took in (theirs, (agents, part["timesteps"], seconds)):
            rate = count * steps_of(steps) / took
            rows[-1] += [f"{count}", f"{took:.1f}", f"{rate:,.0f}"]
    header = [f"{THEIR_STEPS:,} steps each", "agents, theirs", "seconds"]
    header += ["steps a second"]
    return table([*header, "agents, ours", "seconds", "steps a second"], rows)


NAMES = {
    "loop": "one by one, `jit(train)`",
    "vmap": "the notebook's way, `jit(vmap(vmap(train)))`",
    "search": '`jt.search(first=grid, sampler="uniform")`',
}


def speeds(written: dict) -> str:
    """Return the table of the same agents trained three ways, the fastest turn each."""
    part = written["rows"]["speed"]
    base = min(part["ways"]["search"]["seconds"])
    alone = np.asarray(part["ways"]["loop"]["areas"])
    rows = []
    for name, label in NAMES.items():
        row = part["ways"][name]
        took, cpu = min(row["seconds"]), min(row["cpu"])
        rate = part["agents"] * steps_of(part["timesteps"]) / took
        speed = f"{part['agents'] / took:.1f}", f"{rate:,.0f}", f"{took / base:.2f}"
        same = int((np.abs(np.asarray(row["areas"]) - alone) < 0.1).sum())
        cells = [f"{took:.1f}", *speed, f"{cpu:.1f}", f"{row['cold']:.1f}"]
        rows.append([label, *cells, f"{same} of {len(alone)}"])
    what = f"{part['agents']} agents of {part['timesteps']:,} steps"
    header = [what, "seconds", "agents a second", "steps a second", "ratio"]
    header += ["CPU seconds", "seconds when cold", "scores as in the loop"]
    return table(header, rows)


CHOICES = {
    "default": "the notebook's setting",
    "entropies": "the notebook's seven entropy coefficients, 8 seeds",
    "rates": "by hand, seven learning rates, 8 seeds",
    "grid": "by hand, a grid of two values of each of four, 4 seeds",
    "search": "`jt.search(trials=16, seeds=4)`",
    "confirmed": "`jt.search(trials=64, confirm=0.25)`",
}


def tuning(written: dict) -> str:
    """Return the table of what each way to choose finds."""
    part = written["rows"]["tuned"]
    base = np.asarray([row["area"] for row in part["ways"]["default"]])
    rows = []
    for name, label in CHOICES.items():
        known = part["ways"][name]
        areas = np.asarray([row["area"] for row in known])
        gap = "" if name == "default" else shown(areas - base)
        last = shown([row["last"] for row in known])
        took = f"{np.median([row['seconds'] for row in known[1:]]):.1f}"
        agents = known[0]["agents"]
        cells = [shown(areas), gap, last, agents or "", took if agents else ""]
        rows.append([label, *cells])
    header = ["chosen by", "mean return", "more than the default", "return at the end"]
    return table([*header, "agents", "seconds"], rows)


def tables(written: dict) -> str:
    """Return all tables that there are figures for."""
    parts = {"size": sizes, "speed": speeds, "tuned": tuning}
    known = [parts[name](written) for name in parts if name in written["rows"]]
    return "\n\n".join(known)


SMALL = {"timesteps": 1536, "size_timesteps": 1536, "thin": 2, "seeds": 2}
SMALL |= {"grid_seeds": 2, "repeats": 1, "keys": 2, "fresh": 2, "size_agents": 2}
PARTS = {"size": size, "speed": speed, "tuned": tuned}


def main() -> None:
    """Measure the parts, and write each when it is known."""
    parser = arguments(__doc__, "purejaxrl")
    parser.add_argument("--parts", default=",".join(PARTS), help="%(default)s")
    parser.add_argument("--timesteps", type=int, default=20_000, help="of an agent")
    parser.add_argument("--seeds", type=int, default=4, help="of a setting")
    parser.add_argument("--grid-seeds", type=int, default=8, help="of a coefficient")
    parser.add_argument("--thin", type=int, default=1, help="take each n-th setting")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    parser.add_argument("--keys", type=int, default=10, help="searches of each way")
    parser.add_argument("--fresh", type=int, default=16, help="agents that judge")
    parser.add_argument("--size-agents", type=int, default=16)
    parser.add_argument("--size-timesteps", type=int, default=500_000)
    options = parser.parse_args()
    if options.small:
        vars(options).update(SMALL)
    run_parts(options, PARTS, tables)


if __name__ == "__main__":
    main()
