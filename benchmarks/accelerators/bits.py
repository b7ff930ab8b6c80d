"""The same searches in two processes: whether their tables are equal to the bit."""

import hashlib

from . import alone, classifier, row, standard


def digest(result, metrics=("loss", "accuracy")):
    """Return a hash of a table's scores and metrics."""
    table, known = result.trials, hashlib.sha256()
    known.update(table.scores.tobytes())
    for name in metrics:
        known.update(table[name].tobytes())
    return known.hexdigest()


def digests(trials, dimensions):
    """Yield the hashes of two small searches in this process."""
    import families
    import jax

    import jaxtune as jt

    arguments = {
        "trials": trials,
        "epochs": 3,
        "key": jax.random.key(0),
        "verbose": 0,
        "sampler": "sobol",
    }
    task, _ = classifier(jt.models.MLP(10, max_units=256, max_layers=3))
    nine = jt.search(task, standard(dimensions), **arguments)
    train, valid = families.splits("cnn", 256, 64)
    cnn = families.task("cnn", "linen", train, valid)
    convolutions = jt.search(cnn, families.SPACE, **arguments)
    yield {"jt.presets.standard()": digest(nine), "a CNN": digest(convolutions)}


def same_bits(trials=64, dimensions=None):
    """Yield for each search whether two processes, without a cache, found the same."""
    one, other = (
        alone("digests", trials=trials, dimensions=dimensions) for _ in range(2)
    )
    for name, found in one.items():
        same = "equal" if found == other[name] else "DIFFERENT"
        both = {"digests": [found, other[name]]}
        yield row(f"tables of two processes, {name}, {trials} trials", same, **both)
