"""The optimiser inside a lane: made, called with what it asks for, and looked through.

Optax passes what a step knows beside the gradients as keywords of ``update``. By its
convention a transformation ignores keywords that it does not know, but some refuse
them, as ``optax.contrib.sam`` does, so those are left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxtune.environment import promoting
from jaxtune.tasks.hparams import own_copy
from jaxtune.tasks.optimizer_argument import lengths_read
from jaxtune.tasks.task import Task
from jaxtune.types import Array, PyTree

REFUSED = re.compile(r"unexpected keyword argument '(\w+)'")


class Lengths:
    """The lengths of a lane's whole training, by the names that an optimiser asks for.

    A search that stops trials early trains some of them for less; the lengths are those
    of a whole training all the same, so that a schedule is one of the search.

    Args:
      hparams: of the lane.
      batching: the cut of an epoch into batches; ``None`` if nothing is trained.
    """

    def __init__(self, hparams: Mapping[str, Any], batching: Any):
        self._hparams, self._batching = hparams, batching

    @property
    def examples(self) -> int:
        """Training examples in an epoch."""
        told = self._batching.told
        return self._batching.examples if told is None else told

    @property
    def epochs(self) -> int:
        """Epochs of a whole training."""
        return self._batching.epochs

    @property
    def steps(self) -> Any:
        """Steps of the optimiser in a whole training, ``[]`` int32 or an int."""
        size = self._batching.micro
        if not self._batching.whole:
            size = jnp.asarray(self._hparams["batch_size"], jnp.int32)
        return -(-self.examples // size) * self.epochs


def optimizer_of(
    task: Task, hparams: Mapping[str, Any], batching: Any
) -> optax.GradientTransformation:
    """Return the transformation of a lane.

    Args:
      task: with the function that makes it.
      hparams: of the lane.
      batching: the cut of an epoch into batches; ``None`` if nothing is trained.

    Raises:
      ValueError: a function that returns something else.
    """
    lengths = Lengths(hparams, batching)
    asked = {name: getattr(lengths, name) for name in lengths_read(task.optimizer)}
    made = task.optimizer(own_copy(hparams), **asked)
    if isinstance(made, optax.MultiSteps):
        made = made.gradient_transformation()
    if not all(callable(getattr(made, name, None)) for name in ("init", "update")):
        raise ValueError(
            f"optimizer: the function returned {type(made).__name__}. Return an optax "
            "transformation, such as optax.adam(hparams['learning_rate'])."
        )
    return made


@promoting
def first_state(optimizer: optax.GradientTransformation, params: PyTree) -> PyTree:
    """Return the state that an optimiser begins with.

    Raises:
      ValueError: `optax.lookahead`, whose parameters are pairs.
    """
    state = optimizer.init(params)
    kind = optax.LookaheadState
    found = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, kind))
    if any(isinstance(node, kind) for node in found):
        raise ValueError(
            "optimizer: optax.lookahead trains pairs of parameters, which no loss here "
            "gets. Use jaxtune.optimizers.averaged(...), or another optimiser."
        )
    return state


@promoting
def updated(
    optimizer: optax.GradientTransformation,
    gradients: PyTree,
    state: PyTree,
    params: PyTree,
    known: Mapping[str, Any],
) -> tuple[PyTree, PyTree]:
    """Return the updates of one step and the optimiser's next state.

    Args:
      optimizer: the transformation.
      gradients: of the batch.
      state: of the optimiser.
      params: of the lane.
      known: everything that ``update`` may be told, by keyword.

    Raises:
      ValueError: transformations in one chain of which one needs what another refuses.
    """
    told = _named(optimizer.update, known)
    refused: list[str] = []
    while True:
        try:
            return optimizer.update(gradients, state, params, **told)
        except TypeError as error:
            found = REFUSED.search(str(error))
            name = found and found[1]
            if name in told:
                # the programs are traced, so what the failed call began is not computed
                refused.append(name)
                told = {n: value for n, value in told.items() if n != name}
                continue
            needed = [name for name in refused if f"'{name}'" in str(error)]
            if not needed:
                raise
            raise ValueError(
                f"optimizer: of the transformations in it, one takes no {needed[0]}= "
                f"and another needs it ({error}). Give the first one an update that "
                "takes **extra."
            ) from error


def _named(update: Callable[..., Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a function can take by keyword, besides its three arguments."""
    parameters = list(inspect.signature(update).parameters.values())
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return dict(known)
    names = [one.name for one in parameters[2:] if one.kind is not one.POSITIONAL_ONLY]
    return {name: known[name] for name in names if name in known}


def known_in_step(
    epoch: Array, value: Any, gradients: PyTree, loss: Callable[[PyTree], Array]
) -> dict[str, Any]:
    """Return everything that an optimiser may be told about a step, by keyword.

    Args:
      epoch: ``[]`` int32, epochs finished.
      value: ``[]`` the loss of the batch.
      gradients: of the batch.
      loss: ``params -> []``, the loss of the same batch at other parameters.
    """

    def value_fn(
        params: PyTree, *, epoch: Any = None, obj_fn: Any = None, grad_fn: Any = None
    ) -> Array:
        # line searches refuse what the function to search along does not take
        del epoch, obj_fn, grad_fn
        return loss(params)

    def grad_fn(params: PyTree, step: Any = None) -> PyTree:
        del step
        return jax.grad(loss)(params)

    return {
        "epoch": epoch,
        "value": value,
        "grad": gradients,
        "value_fn": value_fn,
        "obj_fn": value_fn,
        "grad_fn": grad_fn,
    }


def no_batch_at_hand(params: PyTree) -> Array:
    """Raise: the batch of accumulated gradients is gone when the optimiser steps."""
    del params
    raise ValueError(
        "optimizer: it computes the loss of a batch again, but batches of a traced "
        "batch_size are added up from smaller ones and not at hand. Use static=True "
        "for the dimension batch_size."
    )


def reads_value(
    make: Callable[[], optax.GradientTransformation], params: PyTree
) -> bool:
    """Return whether an optimiser computes with the loss of the batch.

    It is traced to know: optax's chains take every keyword, whatever they read.

    Args:
      make: returns the optimiser. It is called while tracing, so that nothing of what
        is found out here stays in the program of the lane.
      params: of the lane.
    """

    def step(value: Array, params: PyTree) -> Any:
        optimizer = make()
        known = known_in_step(jnp.int32(0), value, params, no_batch_at_hand)
        return updated(optimizer, params, optimizer.init(params), params, known)

    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)
    loss = jax.ShapeDtypeStruct((), jnp.float32)
    jaxpr = jax.make_jaxpr(step)(loss, like).jaxpr
    value = jaxpr.invars[0]
    used = [v for equation in jaxpr.eqns for v in equation.invars]
    return any(v is value for v in [*used, *jaxpr.outvars])
