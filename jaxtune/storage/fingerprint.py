"""Hashes of what a run depends on besides its settings: data, functions, programs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxtune.planning.tracing import Traced, digest, trace_elsewhere
from jaxtune.planning.workload import Workload
from jaxtune.space import Space
from jaxtune.storage.captured import callbacks_of, constants_sum
from jaxtune.tasks.function import function_name
from jaxtune.types import PyTree


def task_hashes(
    workload: Workload, traced: tuple[Traced, ...], space: Space
) -> dict[str, Any]:
    """Return hashes of a task or a plain function.

    Args:
      workload: with the task or the function.
      traced: its traced programs.
      space: to search.

    Returns:
      For a task, hashes of the data, the optimiser's code and the programs, and shapes
      and dtypes of data and parameters in full. For a function, its name and a hash of
      its programs. For both, of the arrays and the functions of the host that programs
      hold.
    """
    task = workload.task
    held = {
        # first, as the text of a program may name a callback
        "callbacks": callbacks_of(traced).sums,
        "program": digest(traced),
        "constants": constants_sum(traced),
    }
    others = trace_elsewhere(workload, space)
    if others:
        held["elsewhere"] = digest(others) + constants_sum(others)
    if not task.trains:
        # without the module: a script is __main__ at first, and later a module
        return {"function": function_name(task), **held}
    splits = {"train": task.held, "valid": task.valid, "test": task.test}
    if task.folds is not None:
        splits["folds"] = task.folds
    return {
        "data": {name: _leaves(split) for name, split in splits.items()},
        "parameters": [_leaves(program.params) for program in traced],
        "optimizer": code(task.optimizer),
        **held,
        "batch_size": task.batch_size,
        "examples": task.examples,
    }


def _leaves(tree: PyTree) -> dict[str, str]:
    """Return path to shape and dtype, and for arrays a hash of their bytes."""
    described = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        shown = f"{leaf.dtype}{list(leaf.shape)}"
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            shown += f" sha256:{hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest()}"
        described[jax.tree_util.keystr(path)] = shown
    return described


def code(function: Callable[..., Any]) -> str:
    """Return a hash of a function's source, or of its byte code if it has no source."""
    module = getattr(function, "__module__", None) or ""
    if module.split(".")[0] == "jaxtune":  # the version is compared as well
        return f"{module}.{function.__qualname__}"
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        compiled = getattr(function, "__code__", None)
        if compiled is None:
            return repr(type(function))
        text = repr((compiled.co_code, compiled.co_names))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
