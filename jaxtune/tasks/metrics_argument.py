"""Metrics of the user: their names, functions and modes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxtune.checks import warn
from jaxtune.space.space import RESERVED

# a part of a name that says that less is better
SMALLER = {"loss", "error", "err", "mse", "rmse", "mae", "mape", "msle", "rmsle"}
SMALLER |= {"nll", "perplexity", "deviance", "brier", "ece", "distance", "divergence"}
SMALLER |= {"regret", "cost", "kl", "bce", "xent", "crps", "hinge", "huber", "fpr"}
SMALLER |= {"fnr", "neg", "negative", "smape", "misclassified", "misclassification"}
SMALLER |= {"false", "gap", "residual", "deviation", "wer", "cer", "fid", "hamming"}
ENDINGS = ("loss", "error", "entropy", "nll", "perplexity", "divergence")
MODES = ("max", "min")

Named = tuple[tuple[str, Callable[..., Any]], ...]
Modes = tuple[tuple[str, str], ...]


def read_metrics(given: Any, taken: tuple[str, ...]) -> tuple[Named, Modes]:
    """Return the functions of ``metrics=``, and whether more is better.

    Args:
      given: name to a function ``(outputs, y) -> []``, or to a pair of one and a mode;
        ``None`` for no metrics.
      taken: names of the metrics that the task has in any case.

    Returns:
      Pairs of a name and a function, and pairs of a name and a mode: ``"min"`` for
      names with a word such as loss or error, else ``"max"``, unless it was given.

    Raises:
      ValueError: something else, or a name that is taken.
    """
    if given is None:
        return (), ()
    if not isinstance(given, Mapping):
        raise ValueError(
            f"metrics: got {given!r}. Use a dict of functions (outputs, y) -> number, "
            "such as {'f1': f1}."
        )
    found = {name: _one(name, value, taken) for name, value in given.items()}
    functions = tuple((name, function) for name, (function, _) in found.items())
    return functions, tuple((name, mode) for name, (_, mode) in found.items())


def _one(
    name: Any, value: Any, taken: tuple[str, ...]
) -> tuple[Callable[..., Any], str]:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"metrics: {name!r} is no name. Use letters, digits and '_'.")
    if name in taken or name in RESERVED:
        raise ValueError(
            f"metrics: there is a metric or a column {name!r} already. Use another "
            "name."
        )
    pair = isinstance(value, tuple | list) and len(value) == 2
    function, mode = value if pair else (value, _mode_of(name))
    if not callable(function) or mode not in MODES:
        raise ValueError(
            f"metrics: {name!r} is {value!r}. Use a function (outputs, y) -> number, "
            "or a pair of one and 'max' or 'min'."
        )
    warn_of_order(f"metrics: {name!r}", name, function)
    return function, mode


def check_loss(function: Callable[..., Any] | None) -> None:
    """Warn of a ``loss=`` that takes the targets first, as other libraries do."""
    if function is not None:
        name = getattr(function, "__name__", "loss")
        warn_of_order("loss: it", "loss" if name == "<lambda>" else name, function)


# names by which other libraries call the targets, and a model's outputs
TARGETS = {"y", "y_true", "target", "targets", "label", "labels", "true", "actual"}
PREDICTED = {"y_pred", "y_score", "y_prob", "output", "outputs", "pred", "preds"}
PREDICTED |= {"prediction", "predictions", "predicted", "logits", "scores"}
PREDICTED |= {"pred_y", "y_hat", "yhat"}


def warn_of_order(where: str, name: str, function: Callable[..., Any]) -> None:
    """Warn of a function whose parameters are named in the order of other libraries.

    Args:
      where: the argument that has it, and its place there.
      name: by which the function may be called.
      function: ``(outputs, y)`` of the user.
    """
    try:
        names = list(inspect.signature(function).parameters)[:2]
    except (TypeError, ValueError):  # some built-in functions have no signature
        return
    if len(names) == 2 and names[0] in TARGETS and names[1] in PREDICTED:
        warn(
            f"{where} takes ({', '.join(names)}), and it is called with (outputs, y). "
            f"Use lambda outputs, y: {name}(y, outputs)."
        )


def _mode_of(name: str) -> str:
    words = set(name.lower().split("_"))
    if SMALLER & words or any(word.endswith(ENDINGS) for word in words):
        return "min"
    return "max"
