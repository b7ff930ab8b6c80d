"""Covariance matrix adaptation (Hansen & Ostermeier, 2001), by the package ``cmaes``.

The strategy is a function of what was told: it is replayed from the history, generation
by generation, so that nothing but the history is kept.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.checks import check_whole
from jaxtune.registry import maker
from jaxtune.samplers._model_based import ModelState, model_based
from jaxtune.samplers.base import Sampler
from jaxtune.samplers.extras import needed, seed_of
from jaxtune.samplers.geometry import inside
from jaxtune.space.dimension import BELOW_ONE


@maker
def cma_es(population: int | None = None, sigma: float = 0.25) -> Sampler:
    """Evolution strategy on the unit cube, for continuous dimensions and long searches.

    Of the trials that were told, those inside the cube make its generations, in order,
    whoever asked for them. Choices and integers are coordinates like others to it.

    Args:
      population: trials in a generation; best the size of the batches. If not given, 4
        and three times the logarithm of the dimensions.
      sigma: first standard deviation, a share of the cube.

    Returns:
      A sampler. Its ``ask`` cannot be traced.

    Raises:
      ValueError: an argument out of range; in ``ask``, a space of one dimension.
      ImportError: without the extra ``samplers``.
    """
    needed("cmaes")
    check_whole("cma_es", "population", population, 4)
    if not 0 < sigma < 1:
        raise ValueError(f"cma_es: sigma must lie in (0, 1), got {sigma}.")

    def suggest(state, n):
        strategy = _replayed(state, population, sigma)
        points = [strategy.ask() for _ in range(len(state.pending) + n)]
        chosen = np.asarray(points[len(state.pending) :], np.float32)
        return jnp.asarray(np.clip(chosen, 0.0, BELOW_ONE))

    return model_based(suggest, population, traceable=False)


def _replayed(state: ModelState, population: int | None, sigma: float) -> Any:
    """The strategy after all whole generations of the history."""
    import cmaes

    dim, told = state.space.dim, int(state.history.told)
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
        seed=seed_of(jax.random.fold_in(state.key, told)),
    )
    points = np.asarray(state.history.points[:told], np.float64)
    scores = ranking.worst_if_failed(np.asarray(state.history.scores[:told]))
    within = np.asarray(inside(state.history.points[:told]))
    points, scores = points[within], scores[within]
    size = strategy.population_size
    for begin in range(0, len(points) - size + 1, size):
        rows = slice(begin, begin + size)
        # only their order counts, and failures have no number
        place = np.argsort(ranking.order(scores[rows]))
        strategy.tell(list(zip(points[rows], place.astype(float), strict=True)))
    return strategy
