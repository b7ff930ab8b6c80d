"""The setting of one lane: hyperparameters as the functions of its task get them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.programs.block import Static
from jaxtune.tasks import Hparams, Task
from jaxtune.types import PyTree


class Setting(NamedTuple):
    """The hyperparameters of one lane.

    Args:
      static: those that its program was compiled for, sizes of padding included.
      traced: the others, name to ``[]``.
    """

    static: Static
    traced: Mapping[str, np.ndarray]

    @property
    def hparams(self) -> Hparams:
        """The hyperparameters as functions of the user get them."""
        return self.static.hparams({n: jnp.asarray(v) for n, v in self.traced.items()})


def trimmed(
    task: Task, setting: Setting, params: PyTree, state: PyTree
) -> tuple[Setting, PyTree, PyTree]:
    """Cut the padding off a lane's arrays.

    The task is asked for the shapes of a model whose largest sizes are the lane's own.
    Units in use come first, so each array begins with what is in use.

    Args:
      task: of the lane.
      setting: of the lane.
      params: ``{path: array}``, its parameters.
      state: its other variables.

    Returns:
      The setting, parameters and variables of a model without padding; the given ones
      if there is none, or if the model is not one whose arrays can be cut.
    """
    exact = _exact(task, setting)
    if exact == setting:
        return setting, params, state
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(lambda k: task.init(k, exact.hparams), key)
    shapes = shapes if task.stateful else (shapes, {})
    cut = _cut((params, state), shapes)
    return (setting, params, state) if cut is None else (exact, cut[0], cut[1])


def _exact(task: Task, setting: Setting) -> Setting:
    """Return the setting in which every padded size is the one in use."""
    values = dict(setting.static.values)
    # not the traced numbers: of a choice of sizes, that is the place in its list
    known = setting.hparams
    sizes = {field: int(known[n]) for n, field in task.padding if n in known}
    if all(values.get(field) == size for field, size in sizes.items()):
        return setting
    static = setting.static._replace(values=tuple((values | sizes).items()))
    return setting._replace(static=static)


def _cut(tree: PyTree, shapes: PyTree) -> PyTree | None:
    """Return the beginnings of arrays, in these shapes; ``None`` if they have none."""
    known = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
    wanted, form = jax.tree_util.tree_flatten_with_path(shapes)
    leaves = []
    for path, shape in wanted:
        leaf = known.get(jax.tree_util.keystr(path))
        if leaf is None or leaf.dtype != shape.dtype or leaf.ndim != len(shape.shape):
            return None
        if any(have < need for have, need in zip(leaf.shape, shape.shape, strict=True)):
            return None
        leaves.append(leaf[tuple(slice(size) for size in shape.shape)])
    return jax.tree.unflatten(form, leaves)
