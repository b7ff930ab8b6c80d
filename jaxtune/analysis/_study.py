"""The values that a study compares, and what may be said of them.

Two kinds of luck can make one value look better than another: that of training, which
fresh seeds of the best settings show, and that of tuning, as one value may have met a
good setting by chance. A difference is shown only where neither explains it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from jaxtune import ranking
from jaxtune.analysis._coordinates import coordinates
from jaxtune.analysis._edges import Edge, edges_of
from jaxtune.analysis.paired import (
    LEVEL,
    MOST,
    PairedTest,
    adjusted,
    fewest_pairs,
    paired_test,
)
from jaxtune.brevity import brief
from jaxtune.door import guarded
from jaxtune.results.names import REPEAT_OF
from jaxtune.results.result import A_RESULT, Result
from jaxtune.samplers.crossing import combinations as combinations_of

POWER = 0.8  # share of studies in which a difference of the size told would be seen
# settings by which the luck of tuning is judged, beyond those that all have to agree
SPARE = 2
STEPS = 12  # of a bisection, for two digits


@brief
class TunedValue(NamedTuple):
    """A value that a study compares, with its best setting.

    Args:
      values: name to value of the scientific hyperparameters.
      trials: that are done, of its tuning.
      failed: how many of them failed.
      trial: the best of them, by the tuning alone; -1 if none has a score.
      tuned: its score then, which is the best of many and so partly luck.
      scores: ``[r]`` scores of that setting with fresh seeds; NaN has failed.
      mean: of these scores; NaN if one has failed.
      low: lower end of the 95 % interval of the mean.
      high: upper end.
      nuisances: name to value of the other hyperparameters of the best setting; empty
        if none has a score.
      feasible: whether that setting meets the constraints.
      edges: bounds of nuisances that the best settings crowd.
      settings: how many of the trials have a setting that none before them had: small
        spaces have few.
    """

    values: dict[str, Any]
    trials: int
    failed: int
    trial: int
    tuned: float
    scores: np.ndarray
    mean: float
    low: float
    high: float
    nuisances: dict[str, Any]
    feasible: bool
    edges: tuple[Edge, ...]
    settings: int = 0

    @property
    def compared(self) -> bool:
        """True if every repeat has a score, of a setting that meets the constraints."""
        return bool(self.feasible and len(self.scores) and np.isfinite(self.mean))


@brief
class ValueContrast(NamedTuple):
    """Two values of a study.

    Args:
      better: place of the value with the better mean over fresh seeds.
      other: place of the other one.
      test: of the fresh seeds, with how much better the first is.
      tuning: p-value of the tuning alone, see `luck_of_tuning`; NaN where the values
        did not have the same settings, or not all of them trained to their end.
      p: p-value for both kinds of luck, the larger of the two, adjusted for all pairs
        (Holm, 1979).
      tests: number of these pairs.
      seen: a difference that would have been shown in four of five such studies;
        infinite if none would. Known of pairs with the best value, where none is shown.
    """

    better: int
    other: int
    test: PairedTest
    tuning: float
    p: float
    tests: int
    seen: float

    @property
    def beyond_seeds(self) -> bool:
        """True if the luck of seeds does not explain the difference of the settings."""
        return self.test.p * self.tests <= LEVEL and self.test.low > 0

    @property
    def shown(self) -> bool:
        """True if neither kind of luck explains the difference."""
        return self.p <= LEVEL and self.test.low > 0


class ComparedValues(NamedTuple):
    """The values of one scientific hyperparameter, or all combinations.

    Args:
      names: of the hyperparameters.
      values: in the order of the space.
      contrasts: of each pair of values that can be compared.
      order: places of the values, the best mean first; those that failed come last.
      others: names of the other scientific hyperparameters, of which a value has those
        of its best setting.
      spread: of the best quarter of the scores of the tuning; a study that could show
        only a larger difference leaves open whether there is one.
    """

    names: tuple[str, ...]
    values: tuple[TunedValue, ...]
    contrasts: tuple[ValueContrast, ...]
    order: tuple[int, ...]
    others: tuple[str, ...] = ()
    spread: float = math.inf


class _Study(NamedTuple):
    """A result as a study reads it.

    Args:
      result: of the search.
      values: name to value of each combination.
      place: ``[n]`` of each trial the place of its combination.
      searched: ``[n]`` bool, trials that tune.
      standing: ``[n]`` of each trial by itself; NaN has failed.
      points: ``[n, d]`` coordinates, NaN where a dimension does not matter.
      alike: whether all values had the same settings, and were trained in full.
    """

    result: Result
    values: list[dict[str, Any]]
    place: np.ndarray
    searched: np.ndarray
    standing: np.ndarray
    points: np.ndarray
    alike: bool


@guarded(result=A_RESULT)
def comparisons(result: Result) -> dict[str, ComparedValues]:
    """Return what a study says of each scientific hyperparameter.

    Args:
      result: of a study.

    Returns:
      Name to its values. With several hyperparameters also all combinations, as
      ``""``; each combination is tuned as often as the others, and the value of one
      hyperparameter is that of its best combination.
    """
    study = _read(result)
    names = result.compared
    found = {}
    for name in names:
        kinds = [combined[name] for combined in study.values]
        groups = [
            [place for place, kind in enumerate(kinds) if kind == value]
            for value in dict.fromkeys(kinds)
        ]
        found[name] = _compared(study, (name,), groups)
    if len(names) > 1:
        every = [[place] for place in range(len(study.values))]
        found[""] = _compared(study, names, every)
    return found


def _read(result: Result) -> _Study:
    names, trials = result.compared, result.trials
    values = combinations_of(result.setup.space, names)
    repeats = trials.columns.get(REPEAT_OF, np.full(len(trials), -1))
    searched = repeats < 0
    standing = np.where(searched, result._own_standing, np.nan)
    place = np.arange(len(trials)) % len(values)
    points = coordinates(result)
    own_pace = result.rounds[0].own_pace
    stopped = bool((result.ended_early & searched).any()) and not own_pace
    same = _same_settings(result, names, len(values))
    return _Study(
        result, values, place, searched, standing, points, same and not stopped
    )


def _same_settings(result: Result, names: tuple[str, ...], count: int) -> bool:
    """Return whether all values were tried at the same points."""
    final = result.rounds[0].final
    free = [i for i, name in enumerate(final.space.searched) if name not in names]
    points = final.points[:, free]
    if len(points) % count:
        return False
    rows = points.reshape(-1, count, len(free))
    return bool((rows == rows[:, :1]).all())


def _compared(
    study: _Study, names: tuple[str, ...], groups: Sequence[Sequence[int]]
) -> ComparedValues:
    values = tuple(_tuned(study, names, group) for group in groups)
    mode = study.result.setup.mode
    means = np.asarray([value.mean if value.compared else np.nan for value in values])
    order = tuple(ranking.order(ranking.orient(means, mode)).tolist())
    rows = [np.flatnonzero(study.searched & np.isin(study.place, g)) for g in groups]
    # -1 and 1, in float64 as the tests compute
    sign = ranking.direction(mode)
    if study.alike:  # a setting that comes again is no new one for the luck of tuning
        first = _firsts(np.concatenate([_tried(study, names, own) for own in rows], 1))
        rows = [own[first] for own in rows]
    pairs = contrasts_of(
        [sign * value.scores if value.compared else None for value in values],
        [study.standing[own] for own in rows] if study.alike else None,
    )
    scores = np.where(study.result.feasible, study.result.trials["score"], np.nan)
    tuned = [sign * scores[own] for own in rows] if study.alike else None
    # of the best value alone, which the conclusion is about
    contrasts = [
        pair._replace(seen=_seen(pair, tuned))
        if order[0] in (pair.better, pair.other) and not pair.shown
        else pair
        for pair in pairs
    ]
    others = tuple(name for name in study.result.compared if name not in names)
    spread = _spread(sign * scores[study.searched])
    return ComparedValues(names, values, tuple(contrasts), order, others, spread)


def _tried(study: _Study, names: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
    """Return the settings ``[n, d]`` of trials, without the values that differ."""
    searched = study.result.setup.space.searched
    free = [i for i, name in enumerate(searched) if name not in names]
    # what does not matter to a trial is equal in all such trials
    return np.nan_to_num(study.points[rows][:, free], nan=-1.0)


def _firsts(settings: np.ndarray) -> np.ndarray:
    """Return the rows, in order, that are equal to none before them."""
    return np.sort(np.unique(settings, axis=0, return_index=True)[1])


def _spread(scores: np.ndarray) -> float:
    """Return how far the best quarter of oriented scores reaches."""
    fine = scores[np.isfinite(scores)]
    return float(fine.max() - np.quantile(fine, 0.75)) if fine.size else math.nan


def contrasts_of(
    fresh: Sequence[np.ndarray | None], tuned: Sequence[np.ndarray] | None
) -> list[ValueContrast]:
    """Test each pair of values.

    >>> import numpy as np
    >>> from jaxtune.analysis._study import contrasts_of
    >>> scores, settings = np.linspace(0.9, 1.0, 10), np.linspace(0.0, 1.0, 32)
    >>> (pair,) = contrasts_of([scores, scores - 0.5], [settings, settings - 0.5])
    >>> pair.better, pair.shown
    (0, True)

    Args:
      fresh: of each value the scores ``[r]`` of its best setting with fresh seeds,
        higher is better; ``None`` for a value that cannot be compared.
      tuned: of each value the standing ``[n]`` of all settings, in the same order;
        ``None`` where the values had different ones.
    """
    known = {place: one.tolist() for place, one in enumerate(fresh) if one is not None}
    tests, pairs = math.comb(len(known), 2), []
    for one, other in combinations(known, 2):
        test = paired_test(known[one], known[other])
        if test.difference < 0:
            one, other = other, one
            test = paired_test(known[one], known[other])
        tuning, p = math.nan, test.p
        if tuned is not None:
            tuning = luck_of_tuning(tuned[one], tuned[other], tests)
            p = max(p, tuning)
        pairs.append(ValueContrast(one, other, test, tuning, p, tests, math.inf))
    holm = adjusted([pair.p for pair in pairs])
    return [pair._replace(p=p) for pair, p in zip(pairs, holm, strict=True)]


def _tuned(study: _Study, names: tuple[str, ...], group: Sequence[int]) -> TunedValue:
    """Return a value with its best setting: that of the best of its combinations."""
    result, trials = study.result, study.result.trials
    own = study.searched & np.isin(study.place, group)
    standing = np.where(own, study.standing, np.nan)
    trial = int(ranking.order(standing)[0])
    known = bool(np.isfinite(standing[trial]))
    repeats = trials.columns.get(REPEAT_OF)
    rows = np.zeros(0, int)
    if repeats is not None and result.finished:
        # of each combination its best was measured again; that of the best one counts
        again = [int(repeats[~study.searched & (study.place == i)][0]) for i in group]
        trial = again[int(ranking.order(study.standing[again])[0])]
        rows = np.flatnonzero(repeats == trial)
    scores = trials["score"][rows].astype(np.float64)
    mean, low, high = _interval(scores)
    hparams = result.setup.space.values(trials.decoded, trial)
    combined = study.values[int(study.place[trial])]
    return TunedValue(
        values={name: combined[name] for name in names},
        trials=int((own & trials.done).sum()),
        failed=int((own & trials.failed).sum()),
        trial=trial if known else -1,
        tuned=float(trials["score"][trial]) if known else math.nan,
        scores=scores,
        mean=mean,
        low=low,
        high=high,
        nuisances={n: v for n, v in hparams.items() if known and n not in names},
        feasible=known and bool(result.feasible[trial]),
        edges=_edges(study, own, standing),
        settings=len(_firsts(_tried(study, names, np.flatnonzero(own)))),
    )


def _interval(scores: np.ndarray) -> tuple[float, float, float]:
    """Return a mean and its 95 % interval, of Student's t; NaN if one has failed."""
    if not len(scores) or not np.isfinite(scores).all():
        return math.nan, math.nan, math.nan
    mean, count = float(scores.mean()), len(scores)
    if count == 1:
        return mean, math.nan, math.nan
    error = scores.std(ddof=1) / math.sqrt(count)
    reach = float(stats.t.ppf(1 - LEVEL / 2, count - 1) * error)
    return mean, mean - reach, mean + reach


def _edges(study: _Study, own: np.ndarray, standing: np.ndarray) -> tuple[Edge, ...]:
    """Return the bounds of nuisances that the best settings of a value crowd."""
    if np.isfinite(standing).sum() < 4:
        return ()
    found = edges_of(study.result.setup.space, study.points[own], standing[own])
    return tuple(edge for edge in found if edge.name not in study.result.compared)


def luck_of_tuning(one: np.ndarray, other: np.ndarray, tests: int = 1) -> float:
    """Return the p-value of two values over the settings that both were tried with.

    If a value made no difference, each setting might as well have had its two scores
    the other way round. So among the settings that are good with either value, the
    signs of the differences are exchanged, as in `paired_test`, of the ranks of scores.

    >>> import numpy as np
    >>> from jaxtune.analysis._study import luck_of_tuning
    >>> scores = np.linspace(0, 1, 32)
    >>> luck_of_tuning(scores + 0.1, scores), luck_of_tuning(scores, scores)
    (0.0078125, 1.0)

    Args:
      one: ``[n]`` standing of each setting with one value; NaN has failed.
      other: ``[n]`` the same with the other value.
      tests: number of pairs that are tested: it takes more settings to show a
        difference between one of many.
    """
    both = ranking.worst_if_failed(np.stack([one, other], axis=1))
    count = min(MOST, fewest_pairs(tests) + SPARE)
    # chosen by what does not change if the two scores of a setting are exchanged
    good = both[ranking.order(both.max(axis=1))[:count]]
    ranks = stats.rankdata(good).reshape(good.shape)
    return paired_test(*ranks.T.tolist()).p


def _seen(pair: ValueContrast, tuned: Sequence[np.ndarray] | None) -> float:
    """Return the difference that both tests would show in four of five studies.

    Args:
      pair: two values.
      tuned: of each value the scores ``[n]`` of all settings, higher is better, NaN
        where one failed; ``None`` where the values had different settings.
    """
    test, level = pair.test, LEVEL / pair.tests
    if test.pairs < fewest_pairs(pair.tests):
        return math.inf
    degrees = test.pairs - 1
    error = (test.high - test.low) / 2 / stats.t.ppf(1 - LEVEL / 2, degrees)
    reach = stats.t.ppf(1 - level / 2, degrees) + stats.t.ppf(POWER, degrees)
    found = float(error * reach)
    if tuned is None:
        return found
    one, other = tuned[pair.better], tuned[pair.other]
    if len(one) < fewest_pairs(pair.tests):
        return math.inf
    lacking = [_needed(one, other, pair.tests), _needed(other, one, pair.tests)]
    return max(found, *lacking)


def _needed(one: np.ndarray, other: np.ndarray, tests: int) -> float:
    """Return by how much the scores of one value have to rise for a small p-value."""
    fine = np.concatenate([one, other])
    fine = fine[np.isfinite(fine)]
    low, high = 0.0, float(np.ptp(fine))
    level = LEVEL / tests
    if luck_of_tuning(one + high, other, tests) > level:
        return math.inf
    for _ in range(STEPS):
        middle = (low + high) / 2
        if luck_of_tuning(one + middle, other, tests) > level:
            low = middle
        else:
            high = middle
    return high
