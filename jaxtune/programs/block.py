"""Many lanes in one program: vmap, pad, gather. No loss in sight.

The programs that train and score are compiled here: once for a task's shapes and
functions, the static hyperparameters, and the width; never for a population's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.forms import AS_WRITTEN, in_fast_form
from jaxtune.programs import lane as lane_program
from jaxtune.programs.lane import Batching, Lane, OpenBatch, Subset
from jaxtune.random import lane_key
from jaxtune.recent import Recent, RecentJit, recent_jit
from jaxtune.space.arrival import Choice, arrived
from jaxtune.tasks import Hparams, Task
from jaxtune.tasks.task import as_lane, split_of
from jaxtune.types import Array, HparamArrays, Key, PyTree


class Static(NamedTuple):
    """Everything compiled into a program besides the task; hashable."""

    values: tuple[tuple[str, Any], ...] = ()  # static and fixed hyperparameters
    # those whose numbers in a program are places in a list
    choices: tuple[Listed, ...] = ()
    batching: Batching | None = None  # none where nothing is trained
    forms: str = AS_WRITTEN  # the table of rules for operations, see `jaxtune.forms`
    as_places: bool = False  # functions get the places of choices, as in version 0.1.0
    # of the values: 1 is equal to True and to 1.0, and must not share their program
    types: tuple[Any, ...] = ()

    def hparams(self, traced: Mapping[str, Array]) -> Hparams:
        """Return the hyperparameters of one lane, as functions of the user get them."""
        fixed = dict(self.values)
        values: dict[str, Any] = {**traced, **fixed}
        left = [listed for listed in self.choices if listed.name not in fixed]
        if self.as_places:
            return Hparams(values, {c.name: c.values for c in left if not c.ordered})
        for name, listed, ordered, _ in left:
            values[name] = arrived(name, listed, values[name], ordered)
        named = [c for c in left if isinstance(values[c.name], Choice)]
        return Hparams(values, {c.name: c.values for c in named})


class Listed(NamedTuple):
    """A choice or an ordinal of which a program knows the places in its list."""

    name: str
    values: tuple[Any, ...]
    ordered: bool
    types: Any = ()  # of the values, see `Static.types`


class Block(NamedTuple):
    """The identity of ``W`` lanes: everything that their training depends on."""

    trial: Array  # [W] uint32
    seed: Array  # [W] uint32; with k folds the repeat, seed * k + fold
    hparams: dict[str, Array]  # traced ones, name to [W]


class Group(NamedTuple):
    """Lanes that share their static hyperparameters, hence a program.

    Args:
      static: values that the program is compiled for.
      lanes: ``[m]`` int, indices ``trial * seeds + seed``.
    """

    static: Static
    lanes: np.ndarray


def pad(block: Block, width: int) -> Block:
    """Fill up to ``width`` lanes by repeating the last one."""
    # a copy of a lane needs no mask in any program: lanes do not see each other, and
    # the results of padding are cut off
    rows = np.minimum(np.arange(width), len(block.trial) - 1)
    return jax.tree.map(lambda a: np.asarray(a)[rows], block)


def fill(
    lanes: np.ndarray,
    trials: np.ndarray,
    hparams: HparamArrays,
    seeds: np.ndarray,
    static: Static,
    width: int,
) -> Block:
    """Return one padded block.

    Args:
      lanes: ``[m]`` indices ``row * s + seed_index`` of a grid of ``n`` trials and
        ``s`` seeds.
      trials: ``[n]`` trial ids.
      hparams: name to ``[n]`` decoded values.
      seeds: ``[s]`` seed ids.
      static: values that the program of these lanes is compiled for.
      width: ``W``.
    """
    rows, fixed = lanes // len(seeds), dict(static.values)
    traced = {name: v[rows] for name, v in hparams.items() if name not in fixed}
    trial = trials[rows].astype(np.uint32)
    seed = seeds[lanes % len(seeds)].astype(np.uint32)
    return pad(Block(trial, seed, traced), width)


# `start` runs once for a lane and is all random numbers: with less optimisation it
# compiles in a third of the time and is as fast
QUICK_COMPILE = {"xla_backend_optimization_level": 1}


def start(task: Task, root: Key, block: Block, static: Static) -> Lane:
    """Return fresh lanes, stacked: every leaf has a first axis ``[W]``."""
    return start_program()(task, root, block, static)


def start_program() -> RecentJit:
    """Return the program of `start`."""
    return _start_program(jax.default_backend() == "cpu")


@cache
def _start_program(on_cpu: bool) -> RecentJit:
    """Compile `start` with options that only this backend knows."""
    options = QUICK_COMPILE if on_cpu else None
    return RecentJit(_start, static=["static"], compiler_options=options)


def _start(task: Task, root: Key, block: Block, static: Static) -> Lane:
    def one(trial: Array, repeat: Array, hparams: dict[str, Array]) -> Lane:
        own, seed = as_lane(task, repeat)
        key = lane_key(root, trial, seed)
        return lane_program.start(own, key, static.hparams(hparams), static.batching)

    return jax.vmap(one)(*block)


def shape(task: Task, root: Key, block: Block, static: Static) -> Lane:
    """Return the shapes and dtypes of the lanes that `start` returns."""
    return start_program().eval_shape(task, root, block, static)


def _over_lanes(one: Callable[..., Any], static: Static) -> Callable[..., Any]:
    """Return a function of one lane, in the forms of its program, for all lanes."""
    return jax.vmap(in_fast_form(one, static.forms))


# the states are donated: the device need not hold those of before and after at once
@recent_jit(static=["static"], donate_argnames="state")
def advance(
    task: Task, root: Key, block: Block, state: Lane, epochs: Array, static: Static
) -> Lane:
    """Train every lane for some epochs more; their number is data, not code."""
    return _advanced(task, root, block, state, epochs, None, static)


@recent_jit(static=["static"], donate_argnames="state")
def advance_on_subset(
    task: Task,
    root: Key,
    block: Block,
    state: Lane,
    epochs: Array,
    subset: Subset,
    static: Static,
) -> Lane:
    """Train every lane for some epochs more of a subset, whose size is data too.

    It is one for all lanes, so that the number of steps is one number for the block.
    """
    return _advanced(task, root, block, state, epochs, subset, static)


def _advanced(
    task: Task,
    root: Key,
    block: Block,
    state: Lane,
    epochs: Array,
    subset: Subset | None,
    static: Static,
) -> Lane:
    batching = static.batching
    assert batching is not None, "the static part of a task's programs has batches"

    def one(trial: Array, repeat: Array, hparams: dict[str, Array], lane: Lane) -> Lane:
        own, seed = as_lane(task, repeat)
        key = lane_key(root, trial, seed)
        mine = None if subset is None else subset.of_lane(repeat)
        return lane_program.advance(
            own, key, static.hparams(hparams), lane, batching, mine
        )

    lanes = _over_lanes(one, static)

    def epoch(_: Array, state: Lane) -> Lane:
        return lanes(*block, state)

    # a loop of unknown length, so that one program serves every budget
    return jax.lax.fori_loop(0, epochs, epoch, state)


@recent_jit(static=["static"], donate_argnames="state")
def advance_part(
    task: Task,
    root: Key,
    block: Block,
    state: tuple[Lane, OpenBatch],
    rows: PyTree,
    begin: Array,
    static: Static,
) -> tuple[Lane, OpenBatch]:
    """Train every lane on the same rows of a streamed epoch."""
    batching = static.batching
    assert batching is not None, "the static part of a task's programs has batches"

    def one(
        trial: Array,
        seed: Array,
        hparams: dict[str, Array],
        lane: Lane,
        open_batch: OpenBatch,
    ) -> tuple[Lane, OpenBatch]:
        key = lane_key(root, trial, seed)
        return lane_program.advance_part(
            task, key, static.hparams(hparams), lane, open_batch, rows, begin, batching
        )

    # rows is not mapped: all lanes train on the same rows
    return _over_lanes(one, static)(*block, *state)


@recent_jit(static=["static"])
def empty_batches(task: Task, block: Block, state: Lane, static: Static) -> OpenBatch:
    """Return open batches that hold no example yet."""
    batching = static.batching
    assert batching is not None, "a task has batches"

    def one(hparams: dict[str, Array], lane: Lane) -> OpenBatch:
        return lane_program.empty_batch(task, static.hparams(hparams), batching, lane)

    return jax.vmap(one)(block.hparams, state)


@recent_jit(static=["split", "static"])
def score(
    task: Task, block: Block, state: Lane, split: str, static: Static
) -> tuple[dict[str, Array], Array]:
    """Return metrics ``{name: [W]}`` on a split, and statuses ``[W]``."""

    def one(repeat: Array, hparams: dict[str, Array], lane: Lane) -> dict[str, Array]:
        own, _ = as_lane(task, repeat)
        data = split_of(own, split)
        return lane_program.score(
            own, static.hparams(hparams), lane, data, static.batching
        )

    scored = _over_lanes(one, static)(block.seed, block.hparams, state)
    return scored, state.status


@recent_jit(static=["static"])
def evaluated(
    task: Task, block: Block, state: Lane, static: Static
) -> tuple[PyTree, PyTree]:
    """Return the parameters and states with which lanes are scored, first axis [W]."""

    def one(hparams: dict[str, Array], lane: Lane) -> tuple[PyTree, PyTree]:
        params = lane_program.params_to_evaluate(
            task, static.hparams(hparams), lane, static.batching
        )
        return params, lane.state

    return jax.vmap(one)(block.hparams, state)


@recent_jit(static=["split", "static"])
def predict(
    task: Task, block: Block, state: Lane, split: str, static: Static
) -> PyTree:
    """Return the outputs of lanes for a split, first axes ``[W, N]``."""
    data = getattr(task, split)

    def one(hparams: dict[str, Array], lane: Lane) -> PyTree:
        return lane_program.predict(
            task, static.hparams(hparams), lane, data, static.batching
        )

    return _over_lanes(one, static)(block.hparams, state)


def gather(task: Task | None, state: Lane, fresh: Lane, source: Array) -> Lane:
    """Return lane ``source[i]`` as lane ``i``; for -1, lane ``i`` of ``fresh``.

    Args:
      task: with which the program is released.
      state: stacked lanes, first axis ``[W]``.
      fresh: stacked lanes of the same width, from `start`.
      source: ``[W]`` int32, a lane of ``state``, or -1.

    Returns:
      Stacked lanes.
    """
    return GATHERS.of(task)(state, fresh, source)


def _gather(state: Lane, fresh: Lane, source: Array) -> Lane:
    new = source < 0

    def pick(old: Array, started: Array) -> Array:
        # in JAX an index of -1 would silently read the last lane
        moved = old[jnp.maximum(source, 0)]
        return jnp.where(new.reshape(-1, *[1] * (old.ndim - 1)), started, moved)

    return jax.tree.map(pick, state, fresh)


# states have no structure of the task, but a program of theirs ends with it
GATHERS = Recent(lambda _: jax.jit(partial(_gather)))


@recent_jit(static=["split", "static"])
def measure(
    task: Task, root: Key, block: Block, split: str, static: Static
) -> tuple[dict[str, Array], Array]:
    """Start and score lanes that are not trained, in one program.

    Returns:
      Metrics ``{name: [W]}`` on a split, and statuses ``[W]``.
    """
    data = getattr(task, split)

    def one(
        trial: Array, seed: Array, traced: dict[str, Array]
    ) -> tuple[dict[str, Array], Array]:
        key, hparams = lane_key(root, trial, seed), static.hparams(traced)
        lane = lane_program.start(task, key, hparams, static.batching)
        scored = lane_program.score(task, hparams, lane, data, static.batching)
        return scored, lane.status

    return _over_lanes(one, static)(*block)
