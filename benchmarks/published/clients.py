"""Four public ways of training as their users' files, and 64 trials of each.

The files are `tests/clients`: Flax's MNIST example in Linen and in NNX, an Equinox MLP,
and an agent in the way of rejax. Each trains the same settings in its own loop, and in
a search by the lines of `tests/clients/brought.py`. Every measurement is a process of
its own, without a cache of programs. A loop trains ``--few`` of the trials, half of
them before the search and half after it, and its seconds are multiplied: each trial
compiles its step anew, as the file has it, so that all cost the same. The agents'
program is compiled once for all settings, so their loop trains all trials.

    python -m benchmarks.published.clients [--small] [--only flax_nnx,rejax]
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from benchmarks import record
from benchmarks.published.common import arguments, clock, finish, recorded, table

sys.path.append(str(Path(__file__).parents[2] / "tests"))

TRIALS = 64
NAMES = {
    "flax_linen": "Flax's MNIST example, Linen",
    "flax_nnx": "the MNIST tutorial of NNX",
    "equinox": "an MLP in Equinox",
    "rejax": "PPO on a cart-pole, in the way of rejax",
}
EPOCHS = {"flax_linen": 2, "flax_nnx": 2, "equinox": 10, "rejax": None}
LARGE = {"train": 1024, "valid": 512}
SMALL = {"train": 128, "valid": 64}
AGENT = {"total_timesteps": 16384}
SMALL_AGENT = {"total_timesteps": 2048, "eval_freq": 1024}


def data_of(client: str, small: bool) -> tuple[Any, Any]:
    """Return the client's training and validation data, as its own loader has them."""
    sizes = SMALL if small else LARGE
    if client == "flax_linen":
        return importlib.import_module("clients.flax_linen_mnist").get_datasets(**sizes)
    if client == "flax_nnx":
        return importlib.import_module("clients.flax_nnx_mnist").load(**sizes)
    return importlib.import_module("clients.equinox_mlp").data(**sizes)


def loop_of(client: str, small: bool) -> Any:
    """Return the client's own training: ``(hparams, key) -> score``."""
    epochs = EPOCHS[client]
    if client == "rejax":
        agent = importlib.import_module("clients.rejax_agent")
        sizes = SMALL_AGENT if small else AGENT
        return lambda h, key: agent.train(h | sizes, key)
    train, valid = data_of(client, small)
    if client == "flax_linen":
        own = importlib.import_module("clients.flax_linen_mnist").train

        def linen(h: dict, key: Any) -> Any:
            config = SimpleNamespace(**h, batch_size=128, num_epochs=epochs)
            return own(config, key, train, valid)

        return linen
    if client == "flax_nnx":
        own = importlib.import_module("clients.flax_nnx_mnist").train
        return lambda h, key: own(
            **h, key=key, train_ds=train, valid_ds=valid, epochs=epochs
        )
    own = importlib.import_module("clients.equinox_mlp").train
    return lambda h, key: own(h, key, train, valid, epochs)


def search_of(client: str, small: bool) -> tuple[Any, Any]:
    """Return the task or the function, and the space, by the lines of `brought`."""
    brought = importlib.import_module("clients.brought")
    if client == "rejax":
        return brought.rejax(**(SMALL_AGENT if small else AGENT))
    splits = data_of(client, small)
    if client != "equinox":
        splits = tuple((split["image"], split["label"]) for split in splits)
    return getattr(brought, client)(*splits)


def timed_loop(client: str, small: bool, settings: list[dict]) -> list[dict]:
    """Return the seconds of the loop over some settings, and those of compiling."""
    compiling = []

    def listen(event: str, seconds: float, **more: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiling.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    own = loop_of(client, small)
    with clock() as spent:
        for number, hparams in enumerate(settings):
            own(hparams, jax.random.key(number))
    return [{**spent, "compiling": sum(compiling)}]


def timed_vmap(client: str, small: bool, settings: list[dict]) -> list[dict]:
    """Return the seconds of all agents in one ``jit(vmap(train))``, and of another."""
    del client
    agent = importlib.import_module("clients.rejax_agent")
    sizes = SMALL_AGENT if small else AGENT
    agents = [agent.PPO.create(**h, **sizes) for h in settings]
    algo = jax.tree.map(lambda *parts: np.asarray(parts, np.float32), *agents)
    keys = jax.random.split(jax.random.key(0), len(settings))
    mapped, turns = jax.jit(jax.vmap(agent.PPO.train)), []
    for _ in range(2):
        with clock() as spent:
            jax.block_until_ready(mapped(algo, keys))
        turns.append(spent)
    return turns


def timed_search(client: str, small: bool, settings: list[dict]) -> list[dict]:
    """Return the seconds of a search in a new process, and of another one."""
    import jaxtune as jt

    what, space = search_of(client, small)
    more = {"mode": "max"} if client == "rejax" else {"epochs": EPOCHS[client]}
    turns = []
    for turn in range(2):
        key = jax.random.key(turn)
        with clock() as spent:
            jt.search(
                *(what, space),
                key=key,
                trials=len(settings),
                sampler="uniform",
                verbose=0,
                **more,
            )
        turns.append(spent)
    return turns


WAYS = {"loop": timed_loop, "vmap": timed_vmap, "search": timed_search}


def in_a_process(client: str, way: str, small: bool, settings: list) -> list[dict]:
    """Return what a way of training took, in a new process without a cache."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.published.clients"]
    command += ["--one", f"{client}:{way}", *(["--small"] if small else [])]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            input=json.dumps(settings),
            env={**os.environ, "JAXTUNE_CACHE": folder},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    took = json.loads(done.stdout.splitlines()[-1])
    print(f"{client} {way}: {took} ({time.perf_counter() - begun:.0f} s)", flush=True)
    return took


def measured(client: str, small: bool, trials: int, few: int) -> dict:
    """Return a client's row: its loop, the search, and the loop again."""
    _, space = search_of(client, small)
    points = np.random.default_rng(0).random((trials, space.dim), np.float32)
    decoded = space.decode(points)
    settings = [
        {name: float(value) for name, value in space.values(decoded, i).items()}
        for i in range(trials)
    ]
    run = functools.partial(in_a_process, client, small=small)
    if client == "rejax":  # its loop compiles once, so it trains all of them
        loop = run("loop", settings=settings)
        row = {"search": run("search", settings=settings)}
        row["vmap"] = run("vmap", settings=settings)
        return row | {"loop": loop, "few": trials, "trials": trials}
    half = few // 2
    loop = run("loop", settings=settings[:half])
    row = {"search": run("search", settings=settings)}
    loop += run("loop", settings=settings[half:few])
    return row | {"loop": loop, "few": few, "trials": trials}


def cells(name: str, row: dict, way: str = "loop") -> list[str]:
    """Return a line of the table: a way of the client's, and jaxtune."""
    first, again = row["search"]
    if way == "vmap":
        own, compiling = row["vmap"][0], None
    else:
        times = row["trials"] / row["few"]
        parts = ("seconds", "cpu", "compiling")
        own = {part: times * sum(t[part] for t in row["loop"]) for part in parts}
        compiling = own["compiling"]
    return [
        name,
        f"{own['seconds']:.0f}",
        "" if compiling is None else f"{compiling:.0f}",
        f"{own['cpu']:.0f}",
        f"{first['seconds']:.1f}",
        f"{first['cpu']:.0f}",
        f"{own['seconds'] / first['seconds']:.1f}",
        f"{again['seconds']:.1f}",
    ]


def tables(written: dict) -> str:
    """Return the table from the figures."""
    header = ["64 trials, seconds", "its own loop", "of it compiling", "CPU"]
    header += ["jaxtune", "CPU", "ratio", "a second search"]
    lines = []
    for client, row in written["rows"].items():
        lines.append(cells(NAMES[client], row))
        if "vmap" in row:
            lines.append(
                cells("the same agents in one `jit(vmap(train))`", row, "vmap")
            )
    return table(header, lines)


def main() -> None:
    """Measure, and write the figures of each client as soon as they are there."""
    parser = arguments(__doc__, "clients")
    parser.add_argument("--only", default=",".join(NAMES), help="clients by name")
    parser.add_argument("--few", type=int, default=8, help="trials of a loop")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        client, way = options.one.split(":")
        print(json.dumps(WAYS[way](client, options.small, json.load(sys.stdin))))
        return
    rows, few = {}, 2 if options.small else options.few
    if options.only != parser.get_default("only"):
        rows = recorded(options)
    for client in options.only.split(","):
        trials = 8 if options.small else TRIALS
        rows[client] = measured(client, options.small, trials, few)
        ordered = {name: rows[name] for name in NAMES if name in rows}
        record.write(options, ordered)
    finish(options, ordered, tables)


if __name__ == "__main__":
    main()
