"""One process of a pod: python podded.py PORT COUNT INDEX SCHEDULER DIRECTORY [KEY].

Prints the digest of its table. With ``PODDED_HOLD=n`` in the environment a process that
hears of blocks stops at the n-th, says so, and goes on when it is sent a line. With
``PODDED_STOP=n`` the search stops when so many trials are done.
"""

import os
import sys
import traceback
import warnings

import jax
import killed

import jaxtune as jt


def search(scheduler, directory=None, key=3, **more):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    plain = {
        "key": jax.random.key(key),
        "trials": 60,
        "rounds": 2,
        "seeds": 2,
        "sampler": "sobol",
    }
    plain |= {"block": 4, "epochs": 9, "directory": directory}
    plain |= {"scheduler": killed.SCHEDULERS[scheduler]}
    return jt.search(killed.line(), space, **plain, **more)


class Heard(jt.Callback):
    """Counts blocks, and holds the process at one of them."""

    def __init__(self):
        self.blocks, self.hold = 0, int(os.environ.get("PODDED_HOLD", "0"))

    def on_block(self, *_):
        self.blocks += 1
        if self.blocks == self.hold:
            print("held", flush=True)
            sys.stdin.readline()


def enough(result):
    """Stop after so many trials; only the first process may have to be asked."""
    done = int((result.trials["status"] != "waiting").sum())
    return done >= int(os.environ["PODDED_STOP"]) and f"{done} trials"


def main():
    port, count, index, scheduler, directory, *key = sys.argv[1:]
    jax.distributed.initialize(f"127.0.0.1:{port}", int(count), int(index))
    heard = Heard()
    found = search(
        scheduler,
        directory or None,
        *map(int, key),
        executor=jt.executors.pod(),
        callbacks=[heard],
        verbose=0,
        stop=enough if "PODDED_STOP" in os.environ else None,
    )
    print(killed.digest(found), heard.blocks > 0)


if __name__ == "__main__":
    warnings.simplefilter("error")
    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        # an ordinary exit would wait until the heartbeats of a dead process are missed
        os._exit(1)
