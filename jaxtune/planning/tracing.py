"""The programs of a search, traced and not compiled.

Errors in the functions of a user show here, before anything trains.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from jaxtune.environment import on_host, thread_settings
from jaxtune.planning.layout import Layout, constants, groups
from jaxtune.planning.workload import Workload
from jaxtune.programs import lane as lane_program
from jaxtune.programs.block import Static
from jaxtune.programs.lane import Batching
from jaxtune.recent import Recent, forget
from jaxtune.space import Dimension, Space
from jaxtune.space.arrival import exact_type
from jaxtune.space.conditions import ancestors
from jaxtune.tasks import Hparams, Task
from jaxtune.tasks.scalars import TAKEN_OUT
from jaxtune.tasks.task import as_lane
from jaxtune.types import Key

KEY = "the key"  # among the names of hyperparameters, none of which has a space


class Traced(NamedTuple):
    """One lane of one program.

    Args:
      read: names of the hyperparameters that its results depend on, and of the static
        ones that its functions looked up.
      metrics: names of the metrics that it returns.
      params: abstract parameters of a lane at its end; the value of a plain
        function.
      jaxpr: the whole computation.
      random: whether its results depend on the key.
    """

    read: frozenset[str]
    metrics: tuple[str, ...]
    params: Any
    jaxpr: Any
    random: bool


def trace(workload: Workload, space: Space, anew: bool = False) -> tuple[Traced, ...]:
    """Trace the programs of typical trials: the middle, and each static choice there.

    Args:
      workload: the task and its layout.
      space: the space to search.
      anew: whether to trace what is known too. If a value that the user's functions
        read has changed since, all that was compiled of them is forgotten.

    Returns:
      One entry for each.

    Raises:
      Exception: any that a user's function raises, with a note.
    """
    workload, found = _in_one_group(workload), []
    for static, traced in _lanes(workload, space, typical(workload.layout, space)):
        try:
            found.append(_traced(workload, static, traced, anew))
        except Exception as error:
            shown = ", ".join(f"{k}={v!r}" for k, v in static.values)
            at = f" with {shown}" if shown else ""
            error.add_note(
                f"jaxtune: raised while tracing one lane{at}; nothing was trained. "
                "Hyperparameters are traced numbers here, static ones Python values."
            )
            if "Choice" in str(error) or "__jax_array__" in str(error):
                error.add_note(
                    "jaxtune: a choice that is no number is compared with its values, "
                    'as in jnp.where(h["x"] == "a", ...); h["x"].index is its place in '
                    "the list."
                )
            check_constants(workload, space, static, traced, error)
            if isinstance(error, TAKEN_OUT):
                raise ValueError(
                    "your code takes a computed number out of the program, as float(), "
                    ".item(), an if or NumPy do. Return and compute with arrays; use "
                    "jnp.where or jnp.maximum for an if, and jax.pure_callback for "
                    f"other libraries. (The error was {type(error).__name__}: "
                    f"{_first_line(error)})"
                ) from error
            raise
    return tuple(found)


def trace_elsewhere(workload: Workload, space: Space) -> tuple[Traced, ...]:
    """Trace the programs of static numbers that are not in the middle of the space.

    Args:
      workload: the task and its layout.
      space: the space to search.

    Returns:
      One entry for each of up to `MOST_ELSEWHERE` values, one dimension at a time. A
      value for which the user's functions raise has none.
    """
    workload, found = _in_one_group(workload), []
    for static, traced in _lanes(workload, space, _elsewhere(workload.layout, space)):
        try:
            found.append(_traced(workload, static, traced))
        except Exception:  # such a trial fails when its turn comes
            continue
    return tuple(found)


def _in_one_group(workload: Workload) -> Workload:
    """Return the workload of a lane, whatever the lanes of a search.

    Its programs are compared with those of runs on record.
    """
    return workload._replace(layout=workload.layout._replace(by_size=())).sample


def _lanes(
    workload: Workload, space: Space, rows: dict[str, np.ndarray]
) -> Iterator[tuple[Static, dict[str, Any]]]:
    """Yield what is static of each program of some rows, and a lane's other values."""
    for group in groups(workload.layout, space, rows, 1) if rows else ():
        fixed, row = dict(group.static.values), group.lanes[0]
        yield (
            group.static,
            {name: v[row] for name, v in rows.items() if name not in fixed},
        )


def _middle(space: Space) -> dict[str, np.ndarray]:
    point = np.full((1, space.dim), 0.5, np.float32)
    return {name: np.asarray(v) for name, v in space.decode(point).items()}


@on_host()
def _elsewhere(layout: Layout, space: Space) -> dict[str, np.ndarray]:
    """Return rows with each static number in turn at values from end to end."""
    middle, known = _middle(space), constants(layout, space)
    numbers = [n for n in space.searched if n in known and not space[n].by_index]
    rows = []
    for name in numbers:
        members = space[name].members
        count = min(len(members), max(2, MOST_ELSEWHERE // len(numbers)))
        for at in np.linspace(0, len(members) - 1, count).round().astype(int):
            value = np.asarray([members[at]], middle[name].dtype)
            rows.append({**middle, name: value})
    return {n: np.concatenate([row[n] for row in rows]) for n in middle if rows}


def check_constants(
    workload: Workload,
    space: Space,
    static: Static,
    values: Mapping[str, Any],
    error: Exception,
) -> None:
    """Name the dimensions that a lane can only be traced with as constants.

    They are found by trying, so this holds for whatever functions of the user, Flax or
    JAX do with a number.

    Args:
      workload: the task and its layout.
      space: the space to search.
      static: of the program that cannot be traced.
      values: name to one value, of the other dimensions.
      error: the exception that tracing raised.

    Raises:
      ValueError: some dimensions are to blame. Otherwise nothing is raised.
    """
    known = {name: space[name].value(values[name]) for name in values}
    if not _traceable(workload, static, values, known):
        # a size that is searched as a real number
        real = {n for n in known if space[n].kind == "continuous"}
        known |= {name: round(known[name]) for name in real}
        if not (real and _traceable(workload, static, values, known)):
            return
    # constants become data again, one by one, as long as the lane can be traced
    for name in values:
        fewer = {n: value for n, value in known.items() if n != name}
        if fewer and _traceable(workload, static, values, fewer):
            known = fewer
    ways = " ".join(_way_out(n, space[n], value) for n, value in known.items())
    plural = "s" if len(known) > 1 else ""
    raise ValueError(
        f"dimension{plural} {', '.join(map(repr, known))}: your code needs the value "
        "when its program is compiled, such as a shape, a loop of Python or an if, but "
        f"it is a traced number, different in each lane. {ways} "
        f"(The error was {type(error).__name__}: {_first_line(error)})"
    ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0][:200]


def _way_out(name: str, dimension: Dimension, value: Any) -> str:
    if dimension.kind == "continuous" and isinstance(value, float):
        low, high = dimension.bounds
        return (
            f"Use {name}=jt.ordinal([{low:.6g}, ..., {high:.6g}], static=True), which "
            "compiles a program for each value, or compute with it by jax.numpy, "
            "jt.schedules or jt.models.dropout; other libraries are called by "
            "jax.pure_callback."
        )
    others = {"named_ordinal": "ordinal", "continuous": "integer"}
    kind = others.get(dimension.kind, dimension.kind)
    return (
        f"Use {name}=jt.{kind}(..., static=True), which compiles a program for each "
        "value."
    )


def _traceable(
    workload: Workload,
    static: Static,
    values: Mapping[str, Any],
    known: Mapping[str, Any],
) -> bool:
    """Return whether a lane can be traced with some dimensions as constants."""
    types = tuple(exact_type(value) for value in known.values())
    fixed = static._replace(
        values=static.values + tuple(known.items()), types=static.types + types
    )
    traced = {name: v for name, v in values.items() if name not in known}
    try:
        _traced(workload, fixed, traced)
    except Exception:  # whatever the user's functions raise
        return False
    return True


def unread(traced: tuple[Traced, ...], workload: Workload, space: Space) -> list[str]:
    """Return the searched dimensions that neither model nor optimiser reads.

    Args:
      traced: from `trace`.
      workload: the task.
      space: the space to search.

    Returns:
      Names, in the order of the space.
    """
    # a task's own batches read the batch size, before any function of it does
    seen = {"batch_size"} if workload.layout.batching else set()
    seen = seen.union(*[program.read for program in traced])
    unseen = [name for name in space.searched if name not in seen]
    known = set(constants(workload.layout, space)).intersection(space.searched)
    return [name for name in unseen if _is_met(space, known, name)]


def _is_met(space: Space, known: set[str], name: str) -> bool:
    """Return whether typical trials meet the conditions of a dimension.

    ``known`` has the searched dimensions whose values a program is compiled for.
    """
    dimensions = {other: space[other] for other in space.names}
    parents = ancestors(dimensions, name)
    static = [space[parent] for parent in parents if parent in known]
    # typical trials have each static choice one by one, and numbers in the middle
    return len(static) < 2 and all(parent.by_index for parent in static)


def digest(traced: tuple[Traced, ...]) -> str:
    """Return a hash of all that the programs compute; data are not part of it."""
    known = hashlib.sha256()
    for program in traced:
        # addresses of functions differ from one process to the next
        text = re.sub(r"0x[0-9a-fA-F]+", "0x", str(program.jaxpr))
        known.update(text.encode())
        for constant in program.jaxpr.consts:
            known.update(np.asarray(_plain(constant)).tobytes())
    return known.hexdigest()


def _plain(constant: Any) -> Any:
    typed = isinstance(constant, jax.Array) and jnp.issubdtype(
        constant.dtype, jax.dtypes.prng_key
    )
    return jax.random.key_data(constant) if typed else constant


def _traced(
    workload: Workload, static: Static, values: dict[str, Any], anew: bool = False
) -> Traced:
    leaves, tree = jax.tree.flatten((workload.task, workload.key, values))
    shapes = tuple(jax.ShapeDtypeStruct(np.shape(x), x.dtype) for x in leaves)
    # a program depends on the settings of JAX as well
    key = static, tree, shapes, tuple(thread_settings().items())
    known = _TRACES.of(workload.task)
    if key in known and not anew:
        return known[key][0]
    made = _trace_lane(static, tree, shapes)
    # taken now: an array of NumPy may be changed in place
    computed = digest((made,))
    if key in known and known[key][1] != computed:
        forget(workload.task)
        known = _TRACES.of(workload.task)
    known[key] = made, computed
    while len(known) > MOST:
        del known[next(iter(known))]
    return made


def _trace_lane(static: Static, tree: Any, shapes: tuple) -> Traced:
    """Trace a lane of these functions for these shapes."""
    # data are shapes here and no constants of the program, so its hash leaves them out
    values = jax.tree.unflatten(tree, shapes)[2]
    found: dict[str, Any] = {}

    # JAX keeps the structure of arguments for ever, and this one has the functions
    def lane(leaves: Sequence[Any]) -> Any:
        task, key, values = jax.tree.unflatten(tree, leaves)
        hparams = static.hparams(values)
        metrics, trained = _lane(task, key, hparams, static.batching)
        found.update(read=frozenset(hparams.read), metrics=tuple(metrics))
        return metrics, trained

    jaxpr, (_, trained) = jax.make_jaxpr(lane, return_shape=True)(shapes)
    # what functions look up says nothing about what they use
    # the inputs are the leaves of the task, the key, and the values in their order
    used = _used(jaxpr.jaxpr, [KEY, *sorted(values)])
    read = (used - {KEY}) | (found.pop("read") - set(values))
    params, random = trained.params, KEY in used
    return Traced(jaxpr=jaxpr, params=params, read=read, random=random, **found)


# what was traced of a task, so that no search traces it again
_TRACES: Recent[dict[Any, tuple[Traced, str]]] = Recent(lambda _: {})
MOST = 64  # traces of a task
MOST_ELSEWHERE = 16  # programs beside the typical ones that are traced and compared


def _used(program: Any, names: list[str]) -> frozenset[str]:
    """Return the last inputs, by name, that some result depends on."""
    _, used = dce_jaxpr(program, [True] * len(program.outvars))
    last = used[len(used) - len(names) :]
    return frozenset(n for n, needed in zip(names, last, strict=True) if needed)


@on_host()
def typical(layout: Layout, space: Space) -> dict[str, np.ndarray]:
    """Return the middle of the space, and each static choice there one by one.

    A choice may decide what is read; a static number decides shapes only.
    """
    middle, known = _middle(space), constants(layout, space)
    listed = [n for n in space.searched if n in known and space[n].by_index]
    rows = [middle]
    for name in listed:
        numbers = [space[name].decoded(value) for value in space[name].members]
        rows += [{**middle, name: np.asarray([n], np.int32)} for n in numbers]
    return {name: np.concatenate([row[name] for row in rows]) for name in middle}


def _lane(task: Task, key: Key, hparams: Hparams, batching: Batching | None) -> Any:
    """Return the metrics of a lane, and its last state."""
    task, _ = as_lane(task, np.uint32(0))
    lane = lane_program.start(task, key, hparams, batching)
    if batching is not None:
        lane = lane_program.advance(task, key, hparams, lane, batching)
    return lane_program.score(task, hparams, lane, task.valid, batching), lane
