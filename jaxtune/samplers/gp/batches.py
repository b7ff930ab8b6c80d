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
from jaxtune.samplers._model_based import ModelState, cut, with_room
from jaxtune.samplers.gp.suggest import (
    Model,
    Region,
    judge,
    picked,
    suggested,
)
from jaxtune.samplers.gp.threads import one_thread
from jaxtune.space import Space
from jaxtune.types import Array, Key

_compiled: set[Any] = set()  # signatures, of both programs


def _quick_to_compile() -> dict[str, Any]:
    """Return options of XLA that save a third of the time, and change no bit."""
    options: Any = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=options)
    except jax.errors.JaxRuntimeError:  # newer ones know no other way than this
        return {}
    return options


@cache
def _programs() -> tuple[Any, Any]:
    """Return the programs, which all samplers with equal arguments share."""
    with on_host():
        options = _quick_to_compile()
    return (
        jax.jit(judge, static_argnums=(3, 4), compiler_options=options),
        jax.jit(_pick, static_argnums=7, compiler_options=options),
    )


def _pick(
    model: Model,
    space: Space,
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
    with on_host(), one_thread():
        fit = (history, space, np.float32(argument), rows, region)
        pick = (space, state.key, history.trials, padded.pending)
        numbers = (np.int32(out), np.int32(n), acquisition)
        judged, picks = _programs()
        with _beside(fit, (*pick, *numbers)):
            model = judged(*fit)
        points = picks(model, *pick, *numbers)
    return cut(points, n)


@contextmanager
def _beside(fit: tuple[Any, ...], pick: tuple[Any, ...]) -> Iterator[None]:
    """Compile the second program in a thread during this context, if it is new."""
    leaves, tree = jax.tree.flatten((fit[:3], pick[:-1]))
    settings = thread_settings()
    key = (tree, tuple(np.shape(leaf) for leaf in leaves), fit[3:], pick[-1])
    signature = (key, tuple(settings.items()))
    if signature in _compiled:
        yield
        return

    def compile_pick() -> None:
        # what it raises will be raised in its place
        with suppress(Exception), under(settings), on_host():
            judged, picks = _programs()
            picks.lower(judged.eval_shape(*fit), *pick).compile()

    thread = threading.Thread(target=compile_pick, name="jaxtune-compiling")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    _compiled.add(signature)
