"""The same searches in two processes: whether their tables are equal to the bit."""

import hashlib

from . import alone, classifier, row


def digest(result):
    """Return a hash of a table's scores and metrics."""
    table, known = result.trials, hashlib.sha256()
    known.update(table.scores.tobytes())
    for name, _ in result.setup.task.metrics:
        known.update(table[name].tobytes())
    return known.hexdigest()


def digests(trials):
    """Yield the hashes of two small searches in this process."""
    import families
    import jax

    import jaxtune as jt

    arguments = {"trials": trials, "epochs": 3, "key": jax.random.key(0), "verbose": 0}
    task, _ = classifier(jt.models.MLP(10, max_units=256, max_layers=3))
    nine = jt.search(task, jt.presets.standard(), **arguments)
    train, valid = families.splits("cnn", 256, 64)
    cnn = families.task("cnn", "linen", train, valid)
    convolutions = jt.search(cnn, families.SPACE, **arguments)
    yield {"nine hyperparameters": digest(nine), "a CNN": digest(convolutions)}


def same_bits(trials=64):
    """Yield for each search whether two processes, without a cache, found the same."""
    one, other = (alone("digests", trials=trials) for _ in range(2))
    for name, found in one.items():
        same = "equal" if found == other[name] else "DIFFERENT"
        both = {"digests": [found, other[name]]}
        yield row(f"tables of two processes, {name}, {trials} trials", same, **both)
