"""A task in words: the facts that a page says, also where the task is not at hand."""

from __future__ import annotations

import platform
from typing import Any

import jax

from jaxtune.registry import Recipe
from jaxtune.tasks import Task
from jaxtune.tasks.function import function_name

About = dict[str, str]
"""Names of facts, such as ``"task"`` and ``"train"``, to texts."""


def about_task(task: Task) -> About:
    """Return what a task is, its model, the size of its data, and the Python here.

    Args:
      task: a task, or a plain function as one.
    """
    here = {"python": platform.python_version()}
    if not task.trains:
        return {"task": f"the function {function_name(task)}", **here}
    known = dict(task.recipe.arguments) if task.recipe is not None else {}
    network = known.get("model")
    splits = {"train": task.held, "valid": task.valid, "test": task.test}
    sizes = {
        name: _size(split, task.examples if name == "train" else None)
        for name, split in splits.items()
        if split is not None
    }
    model = str(network) if isinstance(network, Recipe) else "of your own"
    return {"task": _kind(task), "model": model, **sizes, **here}


def _kind(task: Task) -> str:
    if task.classes:
        return f"classification, {len(task.classes)} classes"
    named = task.recipe.name if task.recipe is not None else ""
    return named or "a task of your own"


def _size(split: Any, examples: int | None) -> str:
    """Return the rows of a split, and the shape and type of what each has."""
    leaves = jax.tree.leaves(split)
    rows = len(leaves[0]) if examples is None else examples
    each = [f"{leaf.dtype}{list(leaf.shape[1:]) or ''}" for leaf in leaves]
    return f"{rows:,} rows of {' and '.join(each)}"
