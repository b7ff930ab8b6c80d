"""A batch in two programs, compiled side by side when they are needed first.

The first fits the process and the second picks the points. Both serve several sizes:
the rows of the history double, and the points that are out or asked for have a few
sizes, see `with_room`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import jax
import numpy as np

from jaxtune.environment import on_host, thread_settings, under
from jaxtune.recent import Recent, RecentJit
from jaxtune.samplers._model_based import ModelState, cut, with_room
from jaxtune.samplers.gp.suggest import (
    Fit,
    Region,
    fit_history,
    picked,
    suggested,
)
from jaxtune.samplers.history import History
from jaxtune.space import Space
from jaxtune.threads import one_thread
from jaxtune.types import Array, Key

FIXED, PICKS = ("rows", "region"), "acquisition"  # arguments that are no arrays


def _quick_to_compile() -> dict[str, Any]:
    """Return options of XLA that save a third of the time, and change no bit."""
    options: Any = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=options)
    except jax.errors.JaxRuntimeError:  # newer ones know no other way than this
        return {}
    return options


@cache
def _programs() -> tuple[RecentJit, RecentJit]:
    """Return the programs, which all samplers with equal arguments share."""
    with on_host():
        options = _quick_to_compile()
    return (
        RecentJit(_fit, static=FIXED, compiler_options=options),
        RecentJit(_pick, static=[PICKS], compiler_options=options),
    )


# signatures of what was compiled of both
_COMPILED: Recent[set[Any]] = Recent(lambda _: set())


def _fit(
    space: Space, history: History, argument: Array, rows: int, region: Region | None
) -> Fit:
    return fit_history(history, space, argument, rows, region)


def _pick(
    space: Space,
    model: Fit,
    key: Key,
    trials: Array,
    pending: Array,
    out: Array,
    n: Array,
    acquisition: str,
) -> Array:
    own = jax.random.fold_in(key, trials)
    return picked(model, space, own, pending, out, n, acquisition)


def next_batch(
    state: ModelState,
    n: int,
    acquisition: str,
    rows: int,
    region: Region | None = None,
    argument: float = 0.0,
) -> Array:
    """Suggest the next batch, on the host's CPU; see `suggested`.

    Args:
      state: of the sampler.
      n: size of the batch.
      acquisition: a name in ``ACQUISITIONS``.
      rows: trials in the model at most.
      region: the box to search; the cube if ``None``.
      argument: for ``region``.

    Returns:
      ``[n, d]``.
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(state)):
        return suggested(state, n, acquisition, rows, region, argument)
    space, history = state.space, state.history
    padded, out = with_room(state, n)
    fit: dict[str, Any] = {"history": history, "argument": np.float32(argument)}
    fit |= {"rows": rows, "region": region}
    pick: dict[str, Any] = {"key": state.key, "trials": history.trials}
    pick |= {"pending": padded.pending, "out": np.int32(out), "n": np.int32(n)}
    pick |= {"acquisition": acquisition}
    with on_host(), one_thread():
        fits, picks = _programs()
        with _beside(space, fit, pick):
            model = fits(space, **fit)
        # JAX returns before it has computed, and the one thread is for computing
        points = jax.block_until_ready(picks(space, model, **pick))
    return cut(points, n)


@contextmanager
def _beside(space: Space, fit: dict[str, Any], pick: dict[str, Any]) -> Iterator[None]:
    """Compile the second program in a thread during this context, if it is new."""
    static = {name: fit[name] for name in FIXED} | {PICKS: pick[PICKS]}
    every = {**fit, **pick}
    arrays = {name: every[name] for name in every if name not in static}
    leaves, tree = jax.tree.flatten(arrays)
    thread = thread_settings()
    shapes = tuple(np.shape(leaf) for leaf in leaves)
    signature = (tree, shapes, tuple(static.items()), tuple(thread.items()))
    compiled = _COMPILED.of(space)
    if signature in compiled:
        yield
        return

    def compile_pick() -> None:
        # what it raises will be raised in its place
        with suppress(Exception), under(thread), on_host():
            fits, picks = _programs()
            picks.lower(space, fits.eval_shape(space, **fit), **pick).compile()

    beside = threading.Thread(target=compile_pick, name="jaxtune-compiling")
    beside.start()
    try:
        yield
    finally:
        beside.join()
    compiled.add(signature)
