"""Earlier searches as history: how they agree with this one, and what they may decide.

A part of the points of each round is asked from a sampler that was told an earlier
search as well, the others as without it. The part is a half while nothing is known.
Then it is the rank correlation between what the earlier search predicts for the trials
of this one and what they scored, less its standard error, times a factor that falls as
these trials become many. So an unfit past decides over half of the points of the first
round, and then over none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.rounds.told import Told, asked, encoded
from jaxtune.samplers import Sampler
from jaxtune.space import Space
from jaxtune.types import HparamArrays, Key

SHARE = 0.5  # of the points, before there is evidence
NEIGHBOURS = 5  # trials that predict a score
MOST = 1024  # own trials that are compared with what it predicts
AT_ONCE = 2**22  # distances that are held in memory
PATIENCE = 16  # own trials for each dimension and one, by which the past counts half


class Past(NamedTuple):
    """The trials of an earlier search, in the terms of this one.

    Args:
      hparams: name to ``[n]`` values, as `Space.decode` gives them.
      scores: ``[n]`` float32: normal scores of their ranks, NaN if failed.
    """

    hparams: HparamArrays
    scores: np.ndarray


def with_past(
    points: np.ndarray,
    sampler: Sampler,
    key: Key,
    box: Space,
    told: Told,
    pasts: Sequence[Past],
    pending: np.ndarray | None = None,
) -> np.ndarray:
    """Return the points of a batch, the last of which know earlier searches.

    Args:
      points: ``[n, d]`` of a sampler that does not.
      sampler: asked again, once for each earlier search.
      key: for all of them.
      box: the box of the round.
      told: the batches of this search.
      pasts: earlier searches.
      pending: ``[p, d]`` points that are out.
    """
    parts = []
    for number, past in enumerate(pasts):
        trust, known = agreement(past, box, told)
        own_key = jax.random.fold_in(key, number)
        count = _count(trust / len(pasts), len(points), own_key)
        if not count:
            continue
        both = [(past.hparams, known), *told]
        parts.append(asked(sampler, own_key, box, both, count, pending))
    if not parts:
        return points
    theirs = np.concatenate(parts)
    return np.concatenate([points[: len(points) - len(theirs)], theirs])


def _count(share: float, points: int, key: Key) -> int:
    """Return how many of the points an earlier search decides over."""
    # in quarters, since a model is compiled for every size of a batch
    quarters = int(4 * share)
    if points >= 4:
        return quarters * points // 4
    # of too few to have a quarter of them: by chance, which the key decides
    return int(quarters / 4 * points + float(jax.random.uniform(key)))


def agreement(past: Past, box: Space, told: Told) -> tuple[float, np.ndarray]:
    """Return the share of points that a past decides over, and its scores in our units.

    Args:
      past: an earlier search.
      box: the box of the round.
      told: the rounds of this search.

    Returns:
      A number in ``[0, 1]``, and ``[n]`` float32.
    """
    own = [_flat(scores) for _, scores in told]
    scores = np.concatenate(own) if own else np.empty(0, np.float32)
    fine = np.isfinite(scores)
    if not fine.any():
        return SHARE, past.scores
    places = np.concatenate([_places(box, hparams) for hparams, _ in told])[fine]
    seen = scores[fine]
    # of very many, evenly spread over the search
    some = np.unique(np.linspace(0, len(seen) - 1, MOST).round().astype(int))
    places, seen = places[some], seen[some]
    guessed = _predicted(past, box, places)
    evidence = PATIENCE * (box.dim + 1)
    fading = evidence / (evidence + len(scores))
    # less its standard error: few trials agree with anything by chance
    sure = rank_correlation(guessed, seen) - len(seen) ** -0.5
    trust = max(0.0, sure) * fading
    return trust, _in_our_units(past.scores, guessed, seen)


def normal_scores(scores: np.ndarray) -> np.ndarray:
    """Return the normal scores of ranks ``[n]``, higher is better; NaN stays NaN."""
    fine = np.isfinite(scores)
    result = np.full(len(scores), np.nan, np.float32)
    share = (_ranks(scores[fine]) + 0.5) / max(1, fine.sum())
    result[fine] = np.asarray(jax.scipy.special.ndtri(jnp.asarray(share, jnp.float32)))
    return result


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation; 0 where there is none, as for one pair."""
    a, b = (_ranks(x) - (len(x) - 1) / 2 for x in (one, other))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0; equal values share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - counts + (counts - 1) / 2)[which.ravel()]


def _flat(scores: np.ndarray) -> np.ndarray:
    return scores if scores.ndim == 1 else scores.mean(axis=1)


def _places(box: Space, hparams: HparamArrays) -> np.ndarray:
    return np.asarray(encoded(box, hparams), np.float64)


def _predicted(past: Past, box: Space, places: np.ndarray) -> np.ndarray:
    """Return what the past predicts at places ``[m, d]``: the mean of its neighbours.

    Choices are equal or one side of the cube apart; a failure is worse than all.
    """
    known = _places(box, past.hparams)
    values = np.where(np.isfinite(past.scores), past.scores, -3.0)
    choices = [box[name].allowed is not None for name in box.searched]
    rows = max(1, AT_ONCE // known.size)
    guessed = []
    for begin in range(0, len(places), rows):
        apart = places[begin : begin + rows, None] - known[None]
        unequal = np.where(apart == 0, 0.0, 1.0)  # NaN, a choice that is gone, is alone
        squared = np.where(choices, unequal, np.nan_to_num(apart) ** 2).sum(axis=2)
        nearest = np.argsort(squared, axis=1, kind="stable")[:, :NEIGHBOURS]
        guessed.append(values[nearest].mean(axis=1))
    return np.concatenate(guessed)


def _in_our_units(
    scores: np.ndarray, guessed: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Return scores of the past as scores of this search, by equal quantiles.

    They end at the best and the worst of this search: a past may promise no more than
    what was seen.
    """
    there, here = np.sort(guessed), np.sort(own)
    mapped = np.interp(scores, there, here)
    return np.where(np.isfinite(scores), mapped, np.nan).astype(np.float32)
