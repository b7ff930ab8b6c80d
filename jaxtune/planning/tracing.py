"""The programs of a search, traced and not compiled: what they read, and what they are.

Whatever is wrong with a user's functions shows here, before anything trains.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.environment import settings
from jaxtune.planning.layout import groups
from jaxtune.planning.workload import Workload
from jaxtune.programs import lane as lanes
from jaxtune.programs.block import Static, scalar
from jaxtune.space import Space
from jaxtune.tasks import Hparams, Task
from jaxtune.types import Key, Objective


class Traced(NamedTuple):
    """One lane of one program.

    Args:
      read: names of hyperparameters that it looks at.
      metrics: what it measures.
      params: the abstract state of a lane that has been trained; ``None`` for a plain
        function.
      jaxpr: all that it computes.
    """

    read: frozenset[str]
    metrics: tuple[str, ...]
    params: Any
    jaxpr: Any


def trace(workload: Workload, space: Space) -> tuple[Traced, ...]:
    """Trace the programs of typical trials: the middle, and each static choice there.

    Args:
      workload: a task or a plain function, and its layout.
      space: the space to search.

    Returns:
      One entry for each.

    Raises:
      Exception: whatever a user's function raises, with a note that says when.
    """
    workload, rows, found = workload.sample, typical(space), []
    for group in groups(workload.layout, space, rows, 1):
        fixed, row = dict(group.static.values), group.lanes[0]
        traced = {name: v[row] for name, v in rows.items() if name not in fixed}
        try:
            found.append(_traced(workload, group.static, traced))
        except Exception as error:
            shown = ", ".join(f"{k}={v!r}" for k, v in fixed.items())
            at = f" with {shown}" if shown else ""
            error.add_note(
                f"jaxtune: raised while tracing one lane{at}; nothing was trained. "
                "Hyperparameters are traced numbers here, static ones Python values."
            )
            raise
    return tuple(found)


def unread(traced: tuple[Traced, ...], workload: Workload, space: Space) -> list[str]:
    """Searched dimensions that neither the model nor the optimiser looks at.

    Args:
      traced: from `trace`.
      workload: a task or a plain function.
      space: the space to search.

    Returns:
      Names, in the order of the space.
    """
    # a task's own batches read the batch size, before any function of it does
    seen = {"batch_size"} if workload.trains else set()
    seen = seen.union(*[program.read for program in traced])
    return [name for name in space.searched if name not in seen]


def digest(traced: tuple[Traced, ...]) -> str:
    """A hash of all that the programs compute; the data are not part of it."""
    known = hashlib.sha256()
    for program in traced:
        # addresses of functions differ from one process to the next
        text = re.sub(r"0x[0-9a-f]+", "0x", str(program.jaxpr))
        known.update(text.encode())
        for constant in program.jaxpr.consts:
            known.update(np.asarray(_plain(constant)).tobytes())
    return known.hexdigest()


def _plain(constant: Any) -> Any:
    typed = isinstance(constant, jax.Array) and jnp.issubdtype(
        constant.dtype, jax.dtypes.prng_key
    )
    return jax.random.key_data(constant) if typed else constant


def _traced(workload: Workload, static: Static, values: dict[str, Any]) -> Traced:
    subject = workload.subject
    objective: Any = None if isinstance(subject, Task) else subject
    known = (None if objective else subject, workload.key, values)
    leaves, tree = jax.tree.flatten(known)
    shapes = tuple(jax.ShapeDtypeStruct(np.shape(x), x.dtype) for x in leaves)
    return _traced_once(objective, static, tree, shapes, tuple(settings().items()))


@lru_cache(maxsize=64)
def _traced_once(
    objective: Any, static: Static, tree: Any, shapes: tuple, under: tuple
) -> Traced:
    """As ``jit`` does, a function that was traced is not traced again."""
    del under  # the settings of JAX, on which a program depends as well
    task, key, values = jax.tree.unflatten(tree, shapes)
    told: dict[str, Any] = {}

    def lane(task, key, values):
        hparams = static.hparams(values)
        subject = objective or task
        metrics, trained = _lane(subject, key, hparams, static.batching)
        told.update(read=frozenset(hparams.read), metrics=tuple(metrics))
        return metrics, trained

    jaxpr, (_, trained) = jax.make_jaxpr(lane, return_shape=True)(task, key, values)
    return Traced(jaxpr=jaxpr, params=trained.params if task else None, **told)


def typical(space: Space) -> dict[str, np.ndarray]:
    """The middle of the space, and each static choice there one by one.

    A choice may decide what is read; a static number decides shapes only.
    """
    point = np.full((1, space.dim), 0.5, np.float32)
    middle = {name: np.asarray(v) for name, v in space.decode(point).items()}
    listed = [n for n in space.searched if space[n].static and space[n].by_index]
    rows = [middle]
    for name in listed:
        numbers = [space[name].decoded(value) for value in space[name].members]
        rows += [{**middle, name: np.asarray([n], np.int32)} for n in numbers]
    return {name: np.concatenate([row[name] for row in rows]) for name in middle}


def _lane(task: Task | Objective, key: Key, hparams: Hparams, batching: Any) -> Any:
    if not isinstance(task, Task):
        return {"value": scalar(task(key, hparams))}, ()
    started = lanes.start(task, key, hparams)
    trained = lanes.advance(task, key, hparams, started, batching)
    return lanes.score(task, hparams, trained, task.valid), trained
