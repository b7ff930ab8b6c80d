"""Training again along the hyperparameters of a trial, one setting or a schedule."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxtune.brevity import brief
from jaxtune.door import KEY, guarded, one_of, optional, whole
from jaxtune.random import check_key
from jaxtune.results.result import A_RESULT, Result
from jaxtune.results.trials import A_TRIAL
from jaxtune.training.retraining import judge, retrain
from jaxtune.training.trajectory import TrajectorySegment
from jaxtune.training.widths import overrides_of
from jaxtune.types import Key


@brief
class Replay(NamedTuple):
    """A training along the schedule of one trial.

    Args:
      schedule: pairs of the epoch at which a setting ends and the setting, a plain
        dict; one pair unless the trial took over states of others.
      metrics: name to one value per seed, and with folds per seed and fold, as in the
        table.
    """

    schedule: tuple[tuple[int, dict[str, Any]], ...]
    metrics: dict[str, np.ndarray]


@guarded(
    result=A_RESULT,
    trial=optional(A_TRIAL),
    key=optional(KEY),
    seeds=optional(whole(1)),
    split=one_of("train", "valid", "test"),
)
def replay(
    result: Result,
    trial: int | None = None,
    *,
    key: Key | None = None,
    seeds: int | None = None,
    split: str = "valid",
) -> Replay:
    """Train a trial's schedule of hyperparameters again.

    Without a key it is the recorded training, bit for bit, with every state that the
    trial took over. With one it is a fresh model: other initial weights, order of the
    data and noise, trained from the start along the same schedule. Population based
    training finds schedules; any other trial has a single setting.

    >>> import jax, jax.numpy as jnp, optax, jaxtune as jt
    >>> x = jnp.linspace(-1.0, 1.0, 32)
    >>> def error(params, batch, *_):
    ...     return jnp.mean((params * batch["x"] - batch["y"]) ** 2)
    >>> task = jt.Task(
    ...     init=lambda key, hparams: jax.random.normal(key),
    ...     loss=error,
    ...     evaluate=lambda params, split, hparams: {"error": error(params, split)},
    ...     optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
    ...     train={"x": x, "y": 2 * x},
    ...     valid={"x": x, "y": 2 * x},
    ...     batch_size=8,
    ... )
    >>> space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
    >>> arguments = dict(trials=8, epochs=2, metric="error", mode="min", verbose=0)
    >>> found = jt.search(task, space, key=jax.random.key(0), **arguments)
    >>> jt.replay(found).metrics["error"].tolist() == list(found.best.scores)
    True

    Args:
      result: the result of a search of a task.
      trial: the trial; the best one if not given.
      key: root of the fresh model's randomness.
      seeds: number of fresh models; as many as in the search if not given.
      split: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
      The schedule, and the metrics at its end.

    Raises:
      IndexError: no such trial.
      ValueError: a plain function, a split that the task lacks, or seeds without a key.
    """
    if seeds is not None and key is None:
        raise ValueError(
            f"replay: seeds={seeds} needs a key; without one it repeats the recorded "
            "training. Use key=jax.random.key(1)."
        )
    trial = result.best.trial if trial is None else trial
    trajectory, overrides = result.trajectory(trial), result.width_overrides
    workload = result.setup.workload._replace(split=split)
    if not workload.trains:
        raise ValueError("replay: a plain function is not trained.")
    result.setup.check_task("replay")
    if split == "train" and getattr(workload.task, "stream", None) is not None:
        raise ValueError("replay: a stream is no split to judge on. Use 'valid'.")
    folded = result.setup.folds is not None and split == "valid"
    if getattr(workload.task, split, None) is None and not folded:
        raise ValueError(f"replay: the task has no split {split!r}.")
    if key is not None:
        workload = workload._replace(key=check_key(key))
        # a fresh model takes over nothing: one trial's order and noise from the start,
        # and blocks of one width, since there are no recorded bits to repeat
        trajectory = [segment._replace(trial=trial) for segment in trajectory]
        overrides = overrides_of()
    count = (seeds or result.setup.seeds) * (result.setup.folds or 1)
    again = retrain if split == "valid" else judge
    metrics = again(
        workload, result.setup.space, trajectory, np.arange(count), overrides
    )
    # plain values, as a user would write them: `decoded` has choices as indices
    schedule = tuple((one.epochs, plain_setting(result, one)) for one in trajectory)
    return Replay(schedule, metrics)


def plain_setting(result: Result, segment: TrajectorySegment) -> dict[str, Any]:
    """Return the hyperparameters of a segment as a user would write them."""
    rows = {name: np.asarray([value]) for name, value in segment.hparams.items()}
    return result.setup.space.values(rows, 0)
