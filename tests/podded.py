"""One process of a pod: python podded.py PORT COUNT INDEX SCHEDULER DIRECTORY [KEY].

Prints the digest of its table.
"""

import sys
import warnings

import jax
import killed

import jaxtune as jt

EPOCHS = {"none": 9, "long": 4000}


def search(scheduler, directory=None, key=3, **more):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    plain = {"key": jax.random.key(key), "trials": 60, "rounds": 2, "seeds": 2}
    plain |= {"block": 4, "epochs": EPOCHS.get(scheduler, 9), "directory": directory}
    own = killed.SCHEDULERS.get(scheduler)
    return jt.search(killed.line(), space, **plain, scheduler=own, **more)


def main():
    port, count, index, scheduler, directory, *key = sys.argv[1:]
    own = (f"127.0.0.1:{port}", int(count), int(index))
    jax.distributed.initialize(*own, heartbeat_timeout_seconds=10)
    told = []
    follow = jt.Callback()
    follow.on_block = lambda *_: told.append(1)
    found = search(
        scheduler,
        directory or None,
        *map(int, key),
        executor=jt.executors.pod(),
        callbacks=[follow],
        verbose=0,
    )
    print(killed.digest(found), bool(told))


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
