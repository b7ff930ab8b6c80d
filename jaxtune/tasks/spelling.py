"""The standard names of hyperparameters, and what people write in their place."""

from __future__ import annotations

from difflib import get_close_matches

STANDARD = (
    *("learning_rate", "learning_rate_decay", "momentum", "weight_decay", "beta1"),
    *("beta2", "epsilon", "optimizer", "batch_size"),
)
OTHERWISE = {
    "learning_rate": ("lr", "eta", "step_size", "stepsize", "rate", "alpha"),
    "learning_rate_decay": ("lr_decay",),
    "weight_decay": ("wd", "l2", "decay"),
    "batch_size": ("bs", "batch", "minibatch_size"),
    "beta1": ("b1",),
    "beta2": ("b2",),
    "epsilon": ("eps",),
    "optimizer": ("opt", "optimiser"),
}


def standard_name(name: str) -> str | None:
    """Return the standard name that was meant by another one, if any.

    Args:
      name: of a dimension that nothing reads.
    """
    plain = name.lower().replace("-", "_")
    for standard, others in OTHERWISE.items():
        if plain in others:
            return standard
    bare = {standard.replace("_", ""): standard for standard in STANDARD}
    close = get_close_matches(plain.replace("_", ""), bare, n=1, cutoff=0.8)
    return bare[close[0]] if close and bare[close[0]] != name else None
