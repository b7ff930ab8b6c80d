"""A child that kills itself: a durable search, then its report.

python killed.py DIRECTORY SCHEDULER CACHE [STAGE MOMENT]

A moment is a statement that may change the record, or the opening, making, renaming or
removing of a file: between two of them the disk does not change. Before the given
moment of a stage, ``search`` or ``report``, the child ends by SIGKILL; where it was to
end in the search, it writes no report. A child that comes to its end prints the hash of
its table, and the moments of each stage.
"""

import hashlib
import os
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.storage import writer
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
    """Thirty blocks in two rounds, or up to five times as many under a scheduler."""
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    arguments = {
        "key": jax.random.key(3),
        "trials": 60,
        "rounds": 2,
        "epochs": 9,
        "sampler": "sobol",
    }
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


class Moments:
    """Counts moments of each stage, and kills this process before one of them."""

    def __init__(self, folder, stage=None, number=0):
        self.folder, self.last = str(folder), (stage, int(number))
        self.stage, self.counts = "search", Counter()
        connect = sqlite3.connect
        sqlite3.connect = lambda *args, **more: self.watched(connect(*args, **more))
        sys.addaudithook(self.hear)

    def come(self):
        if (self.stage, self.counts[self.stage]) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.counts[self.stage] += 1

    def watched(self, connection):
        connection.set_trace_callback(self.state)
        return connection

    def state(self, statement):
        if not statement.startswith("SELECT"):
            self.come()

    def hear(self, event, args):
        """Of audit events, those that may change a file of the run or of its page."""
        changes = event in ("open", "os.mkdir", "os.rename", "os.remove")
        if changes and str(args[0]).startswith(self.folder):
            self.come()


def main():
    directory, scheduler, cache, *last = sys.argv[1:]
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    writer.PATIENCE = 0  # every block a transaction, so that moments can be counted
    moments = Moments(Path(directory).parent, *last)
    result = search(directory, scheduler)
    if moments.last[0] != "search":
        moments.stage = "report"
        result.report(Path(directory).with_suffix(".html"))
    print(digest(result), moments.counts["search"], moments.counts["report"])


if __name__ == "__main__":
    main()
