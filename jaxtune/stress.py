"""Searches over a recurrent network, which some versions of jaxlib never finish.

``python -m jaxtune.stress`` runs them in a process of its own, because a deadlock
inside XLA can only be ended by ending the process. Why: docs/decisions.md.
"""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

import jaxtune

SEARCHES = 10
# the smallest sizes that stopped every faulty version; smaller products run in one
# thread, and nothing waits
UNITS, STEPS, FEATURES, BATCH = 32, 20, 8, 32
LANES = 8


class Recurrent(nn.Module):
    """A gated recurrent unit that classifies a sequence by its last state."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits [n, 2] of sequences [n, steps, features]."""
        hidden: Any = nn.RNN(nn.GRUCell(UNITS))(x)  # Flax also allows a pair
        return nn.Dense(2)(hidden[:, -1])


def search_often() -> None:
    """Search ten times, with two blocks at once where there are two cores."""
    rows = np.random.default_rng(0).normal(size=(5 * BATCH, STEPS, FEATURES))
    x = rows.astype(np.float32)
    y = (rows.sum((1, 2)) > 0).astype(np.int32)
    task = jaxtune.classification(
        Recurrent(),
        train=(x[:-BATCH], y[:-BATCH]),
        valid=(x[-BATCH:], y[-BATCH:]),
        batch_size=BATCH,
    )
    space = jaxtune.Space(learning_rate=jaxtune.log_uniform(1e-3, 0.1))
    for number in range(SEARCHES):
        key = jax.random.key(number)
        jaxtune.search(
            task, space, key=key, trials=2 * LANES, epochs=2, block=LANES, verbose=0
        )
        print(f"search {number + 1} of {SEARCHES} ended", flush=True)


if __name__ == "__main__":
    search_often()
