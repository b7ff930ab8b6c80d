"""An adapter to any sampler of Optuna (Akiba et al., KDD 2019).

A state holds one study in memory. Every step works on a copy of it, so that a state is
never changed and two searches may continue from it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.door import Argument, demand
from jaxtune.random import STUDY
from jaxtune.registry import maker
from jaxtune.samplers.base import Sampler, own_sampler
from jaxtune.samplers.beliefs import warn_of_beliefs
from jaxtune.samplers.extras import needed, seed_of
from jaxtune.samplers.geometry import inside
from jaxtune.samplers.history import checked
from jaxtune.space import Space
from jaxtune.space.dimension import BELOW_ONE
from jaxtune.types import Array, ArrayLike, Key

if TYPE_CHECKING:
    from optuna.study import Study


class OptunaState(NamedTuple):
    """The study, and the kinds of its parameters."""

    study: Pickled
    counts: Array  # [d] int32, values of a dimension; 0 where it is continuous
    ordered: Array  # [d] bool, false for choices


class Pickled:
    """A study that cannot be changed, so that it can be a leaf of a state."""

    def __init__(self, study: Study):
        self.data = pickle.dumps(study)

    def copy(self) -> Study:
        """Return a study that can be changed."""
        return pickle.loads(self.data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pickled) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


A_CLASS = Argument(
    "callable",
    callable,
    "Pass the class, such as optuna.samplers.TPESampler, so that it can be seeded.",
)


@maker
def optuna(make: Callable[..., Any]) -> Sampler:
    """Use a sampler of Optuna, such as ``optuna.samplers.TPESampler``.

    Its study maximises over the unit cube: whole numbers and ordinals become integers,
    choices become categories. Trials outside the present cube are left out, since the
    study's distributions cannot hold them.

    >>> import jax
    >>> import jaxtune as jt
    >>> from optuna.samplers import TPESampler
    >>> sampler = jt.samplers.optuna(TPESampler)
    >>> space = jt.Space(x=jt.uniform(0.0, 1.0), layers=jt.integer(1, 3))
    >>> state = sampler.init(jax.random.key(0), space)
    >>> state, points = sampler.ask(state, 8)
    >>> state = sampler.tell(state, points, -((points - 0.3) ** 2).sum(axis=1))
    >>> points.shape
    (8, 2)

    Args:
      make: ``seed -> sampler``, called with the keyword ``seed``: a class of Optuna's,
        or ``functools.partial`` of one with other options.

    Returns:
      A sampler. It cannot be traced.

    Raises:
      ValueError: ``make`` is not callable; pass the class, not an instance.
      ImportError: without the extra ``samplers``.
    """
    needed("optuna")
    demand("optuna", "make", make, A_CLASS)

    def init(key: Key, space: Space) -> OptunaState:
        import optuna as library  # this function has its name

        warn_of_beliefs("optuna", space)

        seed = seed_of(jax.random.fold_in(key, STUDY))
        study = _quietly(
            lambda: library.create_study(direction="maximize", sampler=make(seed=seed))
        )
        counts, ordered = _shape(space)
        return OptunaState(
            Pickled(study), jnp.asarray(counts, jnp.int32), jnp.asarray(ordered)
        )

    def ask(state: OptunaState, n: int) -> tuple[OptunaState, Array]:
        study, distributions = state.study.copy(), _distributions(state)
        trials = _quietly(lambda: [study.ask(distributions) for _ in range(n)])
        points = [_coordinates(state, trial.params) for trial in trials]
        return state._replace(study=Pickled(study)), jnp.asarray(np.stack(points))

    def tell(state: OptunaState, points: ArrayLike, scores: ArrayLike) -> OptunaState:
        rows, means, _ = checked(points, scores, state.counts.shape[0])
        study = state.study.copy()
        _quietly(lambda: _tell(study, state, rows, means))
        return state._replace(study=Pickled(study))

    return own_sampler(init, ask, tell)


def _shape(space: Space) -> tuple[list[int], list[bool]]:
    """Return the number of equal cells of each dimension, and which have an order."""
    counts, ordered = [], []
    for name in space.searched:
        dim = space[name]
        # cells of a log scale differ in width: to the study they are continuous
        even = dim.kind != "continuous" and dim.scale == "linear"
        counts.append(int(dim.cardinality) if even or dim.allowed is not None else 0)
        ordered.append(dim.allowed is None)
    return counts, ordered


def _distributions(state: OptunaState) -> dict[str, Any]:
    """Return the study's parameters, ``x0`` to ``x(d - 1)``."""
    from optuna import distributions as kinds

    found: dict[str, Any] = {}
    columns = zip(state.counts.tolist(), state.ordered.tolist(), strict=True)
    for j, (count, ordered) in enumerate(columns):
        if not ordered:
            found[f"x{j}"] = kinds.CategoricalDistribution(tuple(range(count)))
        elif count:
            found[f"x{j}"] = kinds.IntDistribution(0, count - 1)
        else:
            found[f"x{j}"] = kinds.FloatDistribution(0.0, 1.0)
    return found


def _coordinates(state: OptunaState, params: dict[str, Any]) -> np.ndarray:
    """Return the point ``[d]`` of a trial; the middle of a cell if there are cells."""
    counts = state.counts.tolist()
    values = [params[f"x{j}"] for j in range(len(counts))]
    row = [
        (value + 0.5) / count if count else value
        for value, count in zip(values, counts, strict=True)
    ]
    return np.minimum(np.asarray(row, np.float32), BELOW_ONE)


def _params(state: OptunaState, point: np.ndarray) -> dict[str, Any]:
    """Return the study's parameters of a point ``[d]`` of the cube."""
    return {
        f"x{j}": int(u * count) if count else float(u)
        for j, (u, count) in enumerate(zip(point, state.counts.tolist(), strict=True))
    }


def _tell(
    study: Study, state: OptunaState, points: np.ndarray, scores: np.ndarray
) -> None:
    """Finish the trials that are open at these points, and add the other ones."""
    from optuna.trial import TrialState, create_trial

    # open trials by the bytes of their points, which come back unchanged
    waiting: dict[bytes, list[int]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        place = _coordinates(state, trial.params).tobytes()
        waiting.setdefault(place, []).append(trial.number)
    for point, score in zip(points, scores.tolist(), strict=True):
        ended = TrialState.COMPLETE if np.isfinite(score) else TrialState.FAIL
        value = score if np.isfinite(score) else None
        numbers = waiting.get(point.tobytes())
        if numbers:
            study.tell(numbers.pop(0), value, state=ended)
        elif inside(point):
            added = create_trial(
                state=ended,
                value=value,
                params=_params(state, point),
                distributions=_distributions(state),
            )
            study.add_trial(added)


def _quietly(call: Callable[[], Any]) -> Any:
    """Call a function without Optuna's log, a line for every study and trial."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        return call()
    finally:
        logging.set_verbosity(before)
