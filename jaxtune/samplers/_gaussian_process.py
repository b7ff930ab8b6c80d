"""Bayesian optimisation with a Gaussian process, in batches.

Matérn 5/2 with a length scale for every dimension, scores warped by half-ranks, cells
and choices as in the space, and batches by expected improvement over fantasies of the
scores of the batch so far.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxtune.cache import compiled_once
from jaxtune.door import an, demand, guarded, one_of, optional, whole
from jaxtune.environment import in_32_bits
from jaxtune.recent import recent_jit
from jaxtune.registry import maker
from jaxtune.samplers._model_based import ModelState, model_based
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.gp.batches import next_batch
from jaxtune.samplers.gp.suggest import ACQUISITIONS, model_of, shortened
from jaxtune.samplers.history import scored_trials
from jaxtune.threads import one_thread
from jaxtune.types import Array

ROWS = 1024  # trials in a model; its cost grows with their cube


# what the samplers with a Gaussian process share
MODEL = {
    "acquisition": one_of(*ACQUISITIONS),
    "initial": optional(whole(2)),
    "rows": whole(32),
}


@maker
@guarded(**MODEL)
def gaussian_process(
    acquisition: str = "log_ei", initial: int | None = None, rows: int = ROWS
) -> Sampler:
    """Fit a Gaussian process; use it when a trial takes more than a second.

    A configuration that was tried, or that is pending, is suggested again only when
    there is no other. Two programs are compiled for each doubling of the number of
    trials from 128 on, and one of them for batches of up to 32 points, 128, 512 ...

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.gaussian_process(initial=8)
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 4)  # Sobol points: no eight scores yet
    >>> state = sampler.tell(state, points, -((points - 0.3) ** 2).sum(axis=1))
    >>> int(state.history.trials)
    4

    Args:
      acquisition: ``"log_ei"``, expected improvement of the batch as a whole, or
        ``"thompson"``, each point the best of one function drawn from the process.
      initial: scored trials before the model is used; Sobol points until then. One
        more than the dimensions, and five at least, if not given.
      rows: trials that the model is fitted to at most. Of a longer history it sees the
        better ones, half of ``rows``, and the latest others.

    Returns:
      A sampler; its ``tell`` also takes trials of any earlier search, encoded in this
      space, and scores ``[n]`` or, with a column for each seed, ``[n, s]``.

    Raises:
      ValueError: an argument out of range.
    """

    def suggest(state: ModelState, n: int) -> Array:
        return next_batch(state, n, acquisition, rows)

    return model_based(suggest, initial)


A_STATE = an(
    "the state of a sampler with a model", ModelState, "Use what sampler.tell returns."
)


@compiled_once()
def sensitivity(state: ModelState) -> Array:
    """Compute how much each dimension matters, by a Gaussian process of the trials.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.gaussian_process()
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 16)
    >>> state = sampler.tell(state, points, -((points[:, 0] - 0.3) ** 2))
    >>> x, y = jt.samplers.sensitivity(state)
    >>> bool(x > 3 * y)
    True

    Args:
      state: of ``gaussian_process`` or ``trust_region``, with some scores.

    Returns:
      ``[d]`` inverse length scales in the unit cube: how many times the score can turn
      from one end of a dimension to the other.

    Raises:
      ValueError: fewer than two trials with a score.
    """
    demand("sensitivity", "state", state, A_STATE)
    if scored_trials(state.history) < 2:
        raise ValueError("sensitivity: tell the sampler at least two scores first.")
    with one_thread():
        return jax.block_until_ready(_sensitivity(state, ROWS))


@in_32_bits
@recent_jit(static=["rows"])
def _sensitivity(state: ModelState, rows: int) -> Array:
    """Return ``[d]`` inverse length scales of the fitted process."""
    process = model_of(shortened(state.history, rows), state.space)[0]
    return jnp.exp(-process.hypers.lengths)
