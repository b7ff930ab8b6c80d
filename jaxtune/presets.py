"""Ready-made search spaces."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtune.door import guarded, list_of, one_of
from jaxtune.space import (
    A_SPACE,
    Space,
    choice,
    integer,
    log_uniform,
    near,
    power_of_two,
    reverse_log_uniform,
    when,
)

KNOWN = ("sgd", "momentum", "rmsprop", "adam")


SOME = list_of(one_of(*KNOWN), 1)._replace(way_out=f"Use some of {', '.join(KNOWN)}.")


@guarded(optimizers=SOME)
def standard(optimizers: Sequence[str] = ("momentum", "adam")) -> Space:
    """Return a space of the nine usual hyperparameters, and the optimiser.

    Tiers: 1 learning rate; 2 momentum, batch size, hidden units; 3 layers, learning
    rate decay; 4 Adam's beta1, beta2, epsilon, whose defaults are 0.9, 0.999 and 1e-8.
    The optimiser shares tier 1, since the best learning rate depends on it. Momentum
    matters only for ``momentum``, beta1 only for ``adam``, and beta2 and epsilon only
    for ``adam`` and ``rmsprop``.

    >>> import jaxtune as jt
    >>> space = jt.presets.standard(optimizers=["adam"])
    >>> small = space.keep("learning_rate", "batch_size").restrict(batch_size=(16, 64))
    >>> small.searched, small.bounds["batch_size"]
    (('learning_rate', 'batch_size'), (16, 64))

    Args:
      optimizers: the optimisers to choose from, the default first; some of ``sgd``,
        ``momentum``, ``rmsprop`` and ``adam``.

    Returns:
      A space with every dimension searched. `Space.keep` fixes the others at their
      defaults, and `Space.restrict` shrinks ranges.

    Raises:
      ValueError: an unknown optimiser, or none at all.
    """
    dimensions = {
        "learning_rate": log_uniform(1e-4, 1.0, default=1e-2, tier=1),
        "optimizer": choice(list(optimizers), tier=1),
        "momentum": reverse_log_uniform(0.5, 0.999, default=0.9, tier=2),
        "batch_size": power_of_two(16, 256, default=64, tier=2),
        "hidden_units": integer(16, 256, scale="log", default=64, tier=2),
        "layers": integer(1, 3, default=1, tier=3),
        "learning_rate_decay": log_uniform(1e-3, 1.0, default=1e-3, tier=3),
        "beta1": reverse_log_uniform(0.5, 0.99, default=0.9, tier=4),
        "beta2": reverse_log_uniform(0.9, 0.9999, default=0.999, tier=4),
        "epsilon": log_uniform(1e-10, 1e-3, default=1e-8, tier=4),
    }
    # a dimension that no chosen optimiser reads would be searched in vain
    for name, users in USED_BY.items():
        values = [user for user in users if user in optimizers]
        if values:
            dimensions[name] = when(dimensions[name], optimizer=values)
        else:
            del dimensions[name]
    return Space(**dimensions)


SPREADS = {2: 0.3, 3: 0.2, 4: 0.1}  # of a tier; the first one is open


@guarded(space=A_SPACE)
def near_defaults(space: Space) -> Space:
    """Return a space with a belief in its defaults, firmer in less important ones.

    Tier 1 stays open; the spreads of tiers 2, 3 and 4 are .3, .2 and .1, see `near`.

    >>> import jaxtune as jt
    >>> space = jt.presets.near_defaults(jt.presets.standard(optimizers=["adam"]))
    >>> space.keep("learning_rate", "layers", "beta2")["beta2"].prior is not None
    True

    Args:
      space: a space whose defaults and tiers say what is usual, such as `standard`.

    Returns:
      The space; what is fixed, and a belief that a dimension has already, stay.
    """
    dims = {name: space[name] for name in space.searched}
    return space.expect(
        **{
            name: near(dim.default, SPREADS[dim.tier])
            for name, dim in dims.items()
            if dim.tier in SPREADS and dim.prior is None
        }
    )


USED_BY = {
    "momentum": ("momentum",),
    "beta1": ("adam",),
    "beta2": ("adam", "rmsprop"),
    "epsilon": ("adam", "rmsprop"),
}
