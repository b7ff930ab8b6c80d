"""The form of a model, and the keywords that it gets from its signature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxtune.checks import warn
from jaxtune.tasks.hparams import own_copy
from jaxtune.types import Array, Key, PyTree


class Model(NamedTuple):
    """A model as pure functions; its ``state`` changes in training without gradients.

    Args:
      init: ``(key, x, hparams) -> (params, state)``.
      apply: ``(params, state, x, key, hparams, train) -> (outputs, state)``; ``key`` is
        ``None`` in evaluation.
      multipliers: as `Task` has them; ``None`` if no layer has a learning rate of its
        own.
    """

    init: Callable[[Key, Array, Mapping[str, Any]], tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[Array, PyTree]]
    multipliers: Callable[[Mapping[str, Any]], Any] | None = None


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
      flags: names of those whose default is a boolean, 0 or 1, and that default.
      open: whether it takes keywords of any name.
    """

    where: str
    names: tuple[str, ...]
    needed: tuple[str, ...]
    positions: tuple[str, ...]
    flags: tuple[tuple[str, Any], ...]
    open: bool = False

    def check_flags(
        self,
        offered: Mapping[str, Any],
        hparams: Mapping[str, Any],
        run: Run,
    ) -> None:
        """Find flags that switch noise or statistics, and that nothing would set.

        Args:
          offered: what jaxtune gives by name.
          hparams: the trial's hyperparameters.
          run: ``keywords -> (outputs, state)``, a training step of the model with some
            keywords more.

        Raises:
          ValueError: a flag that is hidden in ``**keywords``. One of a name of its own
            is warned of.
        """
        if self.open:
            self._refuse_hidden(run)
        left = [f for f in self.flags if f[0] not in offered and f[0] not in hparams]
        for name, default in left:
            if _switches(run, {}, {name: type(default)(not default)}):
                warn(
                    f"model: the flag {name!r} of {self.where} switches random numbers "
                    f"or statistics, and is left at {default} in training. Call it "
                    f"train, or the opposite, deterministic, to have it set."
                )

    def _names(self, free: list[str], x: Mapping[str, Any]) -> bool:
        return set(free) <= set(x) <= set(self.names)

    def _refuse_hidden(self, run: Run) -> None:
        on, off = (
            {
                name: value
                for name, value in modes(train).items()
                if name not in self.names
            }
            for train in (True, False)
        )
        # most models ignore all of them, which two traces tell
        if _switches(run, on, off) is False:
            return
        for name in on:
            if _switches(run, {name: True}, {name: False}):
                raise ValueError(
                    f"model: {self.where} takes {name!r} in its **keywords, where "
                    f"nothing says so. Name it in the signature, as in (self, x, *, "
                    f"{name}, **keywords)."
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
        # one input called x may be the whole dict
        elif isinstance(x, Mapping) and set(x) != {"x"} and self._names(free, x):
            args, inputs, taken = (), dict(x), set(x)
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
        tuple((p.name, p.default) for p in listed if _is_flag(p.default)),
        any(p.kind is p.VAR_KEYWORD for p in known),
    )


def _is_flag(default: Any) -> bool:
    return isinstance(default, int) and default in (0, 1)


Run = Callable[[Mapping[str, Any]], tuple[Any, Any]]
"""``keywords -> (outputs, state)``: a model with some keywords more."""


def _switches(
    run: Run, one: Mapping[str, Any], other: Mapping[str, Any]
) -> bool | None:
    """Return whether keywords switch random numbers or statistics of a model.

    ``None`` is no answer: the model does not take them.
    """
    try:
        return _moves(one, run) != _moves(other, run)
    except Exception:  # whatever the model raises
        return None


def _moves(keywords: Mapping[str, Any], run: Run) -> tuple[int, int]:
    """Count the draws of random numbers in a model, and the states that change."""
    program = jax.make_jaxpr(lambda: run(keywords))().jaxpr
    draws = str(program).count("random_bits") + str(program).count("threefry2x32")
    # a state that stays is one of the constants of the program
    return draws, sum(value in program.constvars for value in program.outvars)


def offers(hparams: Mapping[str, Any], train: bool, key: Any = None) -> dict[str, Any]:
    """Return what a model may ask for by name besides hyperparameters."""
    return {
        **modes(train),
        **dict.fromkeys(KEYS, key),
        "hparams": own_copy(hparams),
        "choices": getattr(hparams, "choices", {}),
    }


def libraries_of(kind: type) -> set[str]:
    """Return the packages that a class and its bases are from."""
    return {base.__module__.split(".")[0] for base in kind.__mro__}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, or of a class without ``self``."""
    if isinstance(function, functools.partial):
        return _left(function)
    if isinstance(function, type):  # NNX's metaclass hides the signature of a class
        init = inspect.getattr_static(function, "__init__")
        return list(inspect.signature(init).parameters.values())[1:]
    return list(inspect.signature(function).parameters.values())


def _left(function: functools.partial[Any]) -> list[inspect.Parameter]:
    """Return the parameters that a partial function leaves open."""
    known = parameters(function.func)[len(function.args) :]
    named = function.keywords
    first = min((i for i, p in enumerate(known) if p.name in named), default=len(known))
    # what follows a parameter that is given by name must be given by name as well
    return [
        p
        if i < first or p.kind is not p.POSITIONAL_OR_KEYWORD
        else p.replace(kind=p.KEYWORD_ONLY, default=named.get(p.name, p.default))
        for i, p in enumerate(known)
    ]
