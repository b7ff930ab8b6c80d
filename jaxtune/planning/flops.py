"""The arithmetic of a training, counted in its jaxpr; nothing is compiled."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxtune.tasks import Hparams, Task
from jaxtune.tasks.hparams import is_traced
from jaxtune.types import Key, PyTree

EXAMPLES = 16  # counted at once
PASSES = 3  # a gradient takes twice the work of the loss


def per_example(task: Task, hparams: Hparams) -> float:
    """Return the floating-point operations of one example's loss, without gradient.

    Args:
      task: any task.
      hparams: one lane's hyperparameters, with the static ones that set its shapes.

    Returns:
      Operations: two for each multiply-add of products and convolutions, one for each
      element of everything else.
    """
    static = {k: v for k, v in hparams.items() if not is_traced(v)}
    traced = {k: v for k, v in hparams.items() if k not in static}

    def lane(values: dict[str, Any]) -> Hparams:
        return Hparams({**values, **static}, hparams.choices)

    def loss(made: Any, batch: PyTree, key: Key, values: dict[str, Any]) -> Any:
        made = made if task.stateful else (made,)
        return task.loss(*made, batch, key, lane(values))

    key = jax.eval_shape(lambda: jax.random.key(0))
    made = jax.eval_shape(lambda k, v: task.init(k, lane(v)), key, traced)
    rows = min(EXAMPLES, task.examples)
    batch = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype), task.held
    )
    jaxpr = jax.make_jaxpr(loss)(made, batch, key, traced)
    return count_operations(jaxpr.jaxpr) / rows


def count_operations(jaxpr: Any) -> float:
    """Return the operations of a program; a loop of unknown length counts one turn."""
    return sum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    inner = inner_programs(equation)
    if inner:
        times = params.get("length", 1) if name == "scan" else 1
        # of the branches of a condition, vmap computes all
        return times * sum(map(count_operations, inner))
    out = sum(math.prod(getattr(v.aval, "shape", ())) for v in equation.outvars)
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * out * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = np.asarray(equation.invars[1].aval.shape)
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2 * out * kernel.prod() / outputs
    return out


def inner_programs(equation: Any) -> list[Any]:
    """Return the open jaxprs that an operation runs."""
    found: list[Any] = []
    for value in equation.params.values():
        found += value if isinstance(value, tuple | list) else [value]
    programs = [getattr(value, "jaxpr", value) for value in found]
    return [program for program in programs if hasattr(program, "eqns")]
