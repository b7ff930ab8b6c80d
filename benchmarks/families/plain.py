"""A network and its training without jaxtune, as the libraries' guides show them."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import jax
import optax


class Network(NamedTuple):
    """A model as two pure functions, of the library's own means.

    Args:
      init: ``(key, x) -> (params, state)``.
      apply: ``(params, state, x, key, train) -> (outputs, state)``.
    """

    init: Callable
    apply: Callable


def linen(module):
    """Return the functions of a Linen module."""
    switched = "train" in inspect.signature(type(module).__call__).parameters

    def init(key, x):
        variables = dict(module.init(key, x))
        return variables.pop("params"), variables

    def apply(params, state, x, key, train):
        given = {"train": train} if switched else {}
        variables = {"params": params, **state}
        if not train:
            return module.apply(variables, x, **given), state
        rngs, mutable = {"dropout": key}, list(state)
        return module.apply(variables, x, rngs=rngs, mutable=mutable, **given)

    return Network(init, apply)


def nnx(factory):
    """Return the functions of an NNX factory ``rngs -> module``."""
    from flax import nnx

    # without weights: every init draws its own
    graph = nnx.graphdef(nnx.eval_shape(lambda: factory(nnx.Rngs(0))))

    def init(key, x):
        del x
        other, dropout = (jax.random.fold_in(key, i) for i in (2, 1))
        module = factory(nnx.Rngs(other, params=key, dropout=dropout))
        return nnx.split(module, nnx.Param, ...)[1:]

    def apply(params, state, x, key, train):
        del key  # the module has streams of its own
        module = nnx.merge(graph, params, state, copy=True)
        (module.train if train else module.eval)()
        return module(x), nnx.state(module, nnx.Not(nnx.Param))

    return Network(init, apply)


def functions(pair):
    """Return the functions of ``(init, apply)``, which have no state."""
    start, call = pair

    def apply(params, state, x, key, train):
        return call(params, x, train, key), state

    return Network(lambda key, x: (start(key), {}), apply)


class Training(NamedTuple):
    """The functions of a plain training, for a jit around each.

    Args:
      start: ``(key, x, hparams) -> carry``: parameters, state and the optimiser's.
      step: ``(carry, x, y, key, number, hparams) -> carry``; the key is folded with the
        step's number.
      score: ``(carry, x, y) -> scalar``.
    """

    start: Callable
    step: Callable
    score: Callable


def training(network, loss, score, optimizer):
    """Return the training of a network.

    Args:
      network: the network.
      loss: ``(outputs, y) -> scalar``.
      score: ``(outputs, y) -> scalar``.
      optimizer: ``hparams -> optax optimiser``.
    """

    def start(key, x, hparams):
        params, state = network.init(key, x[:1])
        return params, state, optimizer(hparams).init(params)

    def step(carry, x, y, key, number, hparams):
        params, state, moments = carry

        def value(params):
            own = jax.random.fold_in(key, number)
            outputs, new = network.apply(params, state, x, own, True)
            return loss(outputs, y), new

        gradients, state = jax.grad(value, has_aux=True)(params)
        updates, moments = optimizer(hparams).update(gradients, moments, params)
        return optax.apply_updates(params, updates), state, moments

    def measured(carry, x, y):
        params, state, _ = carry
        return score(network.apply(params, state, x, None, False)[0], y)

    return Training(start, step, measured)
