"""Covariance matrix adaptation (Hansen & Ostermeier, 2001), by the package ``cmaes``.

The strategy is a function of the history: it is replayed from it, generation by
generation, so that no other state is kept.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.door import guarded, optional, real, whole
from jaxtune.registry import maker
from jaxtune.samplers._model_based import ModelState, model_based
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.extras import needed, seed_of
from jaxtune.samplers.geometry import inside
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array


@maker
@guarded(population=optional(whole(4, 2**20)), sigma=real(above=0, below=1))
def cma_es(population: int | None = None, sigma: float = 0.25) -> Sampler:
    """Run an evolution strategy, for continuous dimensions and long searches.

    All trials passed to ``tell`` that lie inside the cube make its generations, in
    order, also those of earlier searches. Choices and integers are treated as ordinary
    coordinates.

    >>> import jax
    >>> import jaxtune as jt
    >>> sampler = jt.samplers.cma_es(population=8)
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 8)  # Sobol points, the first generation
    >>> state = sampler.tell(state, points, -((points - 0.3) ** 2).sum(axis=1))
    >>> state, points = sampler.ask(state, 8)
    >>> points.shape
    (8, 2)

    Args:
      population: trials in a generation, best equal to the size of the batches. If not
        given, four plus three times the logarithm of the number of dimensions.
      sigma: first standard deviation, a share of the cube.

    Returns:
      A sampler. Its ``ask`` cannot be traced.

    Raises:
      ValueError: an argument out of range; in ``ask``, a space of one dimension.
      ImportError: without the extra ``samplers``.
    """
    needed("cmaes")

    def suggest(state: ModelState, n: int) -> Array:
        strategy = _replayed(state, population, sigma)
        # a strategy draws in sequence: the pending points are its first draws
        points = [strategy.ask() for _ in range(len(state.pending) + n)]
        chosen = np.asarray(points[len(state.pending) :], np.float32)
        return jnp.asarray(np.clip(chosen, 0.0, BELOW_ONE))

    return model_based(suggest, population, traceable=False)


def _replayed(state: ModelState, population: int | None, sigma: float) -> Any:
    """Return the strategy after all complete generations of the history."""
    import cmaes

    dim, trials = state.space.dim, int(state.history.trials)
    if dim < 2:
        raise ValueError(
            f"cma_es: needs two dimensions, this space has {state.space.searched}. Use "
            "gaussian_process()."
        )
    strategy = cmaes.CMA(
        mean=np.full(dim, 0.5),
        sigma=sigma,
        bounds=np.tile([0.0, 1.0], (dim, 1)),
        population_size=population,
        seed=seed_of(jax.random.fold_in(state.key, trials)),
    )
    points = np.asarray(state.history.points[:trials], np.float64)
    scores = ranking.worst_if_failed(np.asarray(state.history.scores[:trials]))
    within = np.asarray(inside(state.history.points[:trials]))
    points, scores = points[within], scores[within]
    size = strategy.population_size
    for begin in range(0, len(points) - size + 1, size):
        rows = slice(begin, begin + size)
        # CMA-ES uses only the order of scores, and a failure has no finite one
        place = np.argsort(ranking.order(scores[rows]))
        strategy.tell(list(zip(points[rows], place.astype(float), strict=True)))
    return strategy
