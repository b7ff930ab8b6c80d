"""A child to be killed: a durable search, then its report. Prints where it stands.

python killed.py DIRECTORY SCHEDULER CACHE
"""

import hashlib
import sqlite3
import sys
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.storage.durable import Durable

SCHEDULERS = {
    "none": None,
    "halving": jt.schedulers.successive_halving(),
    "asha": jt.schedulers.asha(),
    "pbt": jt.schedulers.pbt(interval=2),
}


def line():
    """Linear regression; it diverges at the largest learning rates."""
    x = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
    data = {"x": x, "y": x @ np.float32([1.0, -2.0, 0.5])}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    return jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key, (3,))},
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        train=data,
        valid=data,
        batch_size=16,
        metrics=(("mse", "min"),),
    )


def search(directory, scheduler):
    """Some fifty blocks in two rounds."""
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    arguments = {"key": jax.random.key(3), "trials": 120, "rounds": 2, "epochs": 9}
    arguments |= {"scheduler": SCHEDULERS[scheduler], "block": 4, "seeds": 2}
    return jt.search(line(), space, **arguments, directory=directory)


@contextmanager
def cut_after(blocks):
    """Around a search in a directory: it is interrupted when it has kept so many."""
    keep, left = Durable.keep, [blocks]

    def stopping(self, *args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        keep(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Durable, "keep", stopping)
        with pytest.raises(KeyboardInterrupt):
            yield


def done_blocks(record):
    """How many blocks are on record; none if there is no run yet."""
    if not record.with_name("run.json").exists():
        return 0
    db = sqlite3.connect(record)
    try:
        return db.execute("SELECT count(*) FROM blocks").fetchone()[0]
    finally:
        db.close()


def digest(result):
    """A hash of the whole table."""
    known = hashlib.sha256()
    for name in result.trials.names:
        column = result.trials[name]
        plain = column.astype(str) if column.dtype == object else column
        known.update(np.ascontiguousarray(plain).tobytes())
    known.update(result.trials.scores.tobytes())
    return known.hexdigest()


def interruptible(*command):
    """A command that SIGINT interrupts, even where it is ignored, as under nohup."""
    reset = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    code = f"import os, signal, sys; {reset}; os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", code, sys.executable, *command]


def main():
    directory, scheduler, cache = sys.argv[1:]
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    print("search", flush=True)
    result = search(directory, scheduler)
    print("report", flush=True)
    result.report(Path(directory).with_suffix(".html"))
    print(digest(result), flush=True)


if __name__ == "__main__":
    main()
