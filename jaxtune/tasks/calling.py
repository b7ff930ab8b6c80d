"""The form of a model, and the keywords that it gets from its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxtune.checks import warn
from jaxtune.types import Array, Key, PyTree


class Model(NamedTuple):
    """A model as pure functions; its ``state`` changes in training without gradients.

    Args:
      init: ``(key, x, hparams) -> (params, state)``.
      apply: ``(params, state, x, key, hparams, train) -> (outputs, state)``; ``key`` is
        ``None`` in evaluation.
    """

    init: Callable[[Key, Array, Mapping[str, Any]], tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree]]


# names of the flag that separates training from evaluation, in Flax, Haiku, Equinox,
# PyTorch and in people's own models
TRAINS = ("train", "training", "is_training", "is_train", "train_mode", "training_mode")
EVALUATES = (
    *("deterministic", "use_running_average", "inference", "eval", "evaluate"),
    *("evaluation", "is_eval", "eval_mode", "is_evaluating"),
)
KEYS = ("key", "rng", "rng_key", "prng_key")


def modes(train: bool) -> dict[str, bool]:
    """Return the values of the flags that separate training from evaluation."""
    return dict.fromkeys(TRAINS, train) | dict.fromkeys(EVALUATES, not train)


class Call(NamedTuple):
    """A function of a user: the names of its parameters after those for its inputs.

    Args:
      where: name of it in errors.
      names: parameters that may be given by name.
      needed: those of them without a default.
      positions: the first parameters, which can be given by position, in order.
      flags: names of those whose default is a boolean, and that default.
    """

    where: str
    names: tuple[str, ...]
    needed: tuple[str, ...]
    positions: tuple[str, ...]
    flags: tuple[tuple[str, bool], ...]

    def check_flags(
        self,
        offered: Mapping[str, Any],
        hparams: Mapping[str, Any],
        run: Callable[[dict[str, bool]], tuple[Any, Any]],
    ) -> None:
        """Warn of a flag of an unknown name that switches noise or statistics on.

        Args:
          offered: what jaxtune gives by name.
          hparams: the trial's hyperparameters.
          run: ``keywords -> (outputs, state)``, a training step of the model with some
            keywords more.
        """
        left = [f for f in self.flags if f[0] not in offered and f[0] not in hparams]
        for name, default in left:
            if _moves({}, run) != _moves({name: not default}, run):
                warn(
                    f"model: the flag {name!r} of {self.where} switches random numbers "
                    f"or statistics, and is left at {default} in training. Call it "
                    f"train, or the opposite, deterministic, to have it set."
                )

    def arguments(
        self, x: PyTree, offered: Mapping[str, Any], hparams: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and keyword arguments for an input.

        A tuple of arrays is given as several arguments, and a dict by name, if that is
        how many, or which, the function needs.

        Args:
          x: the input, an array or several in a dict or a tuple.
          offered: name to value of what jaxtune can give.
          hparams: the trial's hyperparameters.

        Raises:
          ValueError: a parameter that nothing is known for.
        """
        known = [n for n in self.names if n in offered or n in hparams]
        free = [n for n in self.needed if n not in known]
        args: tuple[Any, ...] = (x,)
        inputs: dict[str, Any] = {}
        taken = set(self.positions[:1])
        if isinstance(x, tuple) and len(free) == len(x) > 1:
            args, taken = x, set(free)
        elif isinstance(x, Mapping) and set(free) == set(x) and free != ["x"]:
            args, inputs, taken = (), dict(x), set(free)
        missing = [n for n in free if n not in taken]
        if missing:
            raise ValueError(
                f"model: {self.where} needs {', '.join(map(repr, missing))}, which is "
                "neither a hyperparameter of the space nor one of train, "
                "deterministic, key, hparams, choices. Give it a default, or add it "
                "to the space."
            )
        keywords = {n: offered[n] for n in known if n in offered and n not in taken}
        keywords |= {n: hparams[n] for n in known if n in hparams and n not in taken}
        return args, inputs | keywords


def call_of(function: Callable[..., Any], where: str, skip: int = 0) -> Call:
    """Return what is known of a function.

    Args:
      function: of a user.
      where: name of it in errors.
      skip: parameters at its beginning that are given already.
    """
    known = parameters(function)[skip:]
    listed = [p for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return Call(
        where,
        tuple(p.name for p in listed if p.kind is not p.POSITIONAL_ONLY),
        tuple(p.name for p in listed if p.default is p.empty),
        tuple(p.name for p in listed if p.kind is not p.KEYWORD_ONLY),
        tuple((p.name, p.default) for p in listed if isinstance(p.default, bool)),
    )


def _moves(
    keywords: dict[str, bool], run: Callable[[dict[str, bool]], tuple[Any, Any]]
) -> tuple[int, int]:
    """Count the draws of random numbers in a model, and the states that change."""
    try:
        program = jax.make_jaxpr(lambda: run(keywords))().jaxpr
    except Exception:  # whatever the model raises, that is no answer
        return (-1, -1)
    draws = str(program).count("random_bits") + str(program).count("threefry2x32")
    # a state that stays is one of the constants of the program
    return draws, sum(value in program.constvars for value in program.outvars)


def offers(hparams: Mapping[str, Any], train: bool, key: Any = None) -> dict[str, Any]:
    """Return what a model may ask for by name besides hyperparameters."""
    return {
        **modes(train),
        **dict.fromkeys(KEYS, key),
        "hparams": hparams,
        "choices": getattr(hparams, "choices", {}),
    }


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, or of a class without ``self``."""
    if isinstance(function, type):  # NNX's metaclass hides the signature of a class
        init = inspect.getattr_static(function, "__init__")
        return list(inspect.signature(init).parameters.values())[1:]
    return list(inspect.signature(function).parameters.values())
