"""A trained model as it is handed over: parameters without padding, predictions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxtune.tasks.hparams import own_copy
from jaxtune.tasks.networks import Predict
from jaxtune.tasks.outputs import prediction
from jaxtune.tasks.predicted import labels_of, probabilities_of
from jaxtune.trained.inputs import Form, checked_inputs, padded
from jaxtune.trained.setting import Setting
from jaxtune.types import PyTree

if TYPE_CHECKING:
    import flax.linen as nn


@dataclasses.dataclass(frozen=True)
class TaskFunctions:
    """The functions of the task that a model needs.

    Args:
      predict: as in `jaxtune.Task`; ``None`` if it has none.
      stateful: as in `jaxtune.Task`.
      inputs: forms of the arrays of inputs; empty for a task of the user's own
        functions, which gets a split as it is.
      target: shape of one row of ``y``.
    """

    predict: Callable[..., Any] | None
    stateful: bool
    inputs: tuple[Form, ...] = ()
    target: tuple[int, ...] = ()

    @property
    def ours(self) -> Predict | None:
        """The function of a network of `classification` or `regression`, if it is."""
        return self.predict if isinstance(self.predict, Predict) else None


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedModel:
    """The model of one trial, trained: what `Result.train` and `load_model` return.

    Args:
      params: its parameters, without padding.
      state: its other variables, such as batch statistics.
      hparams: its hyperparameters as a plain dict.
      trial: the trial that it is of.
      seed: the seed of the trial.
      epochs: that it trained.
      data: ``"train"``, or ``"train+valid"``.
      metrics: name to a number on the validation split; empty if that was trained on.
      setting: the hyperparameters as the task's functions get them.
      functions: of the task; ``None`` if it was loaded without it.
    """

    params: PyTree
    state: PyTree
    hparams: Mapping[str, Any]
    trial: int
    seed: int
    epochs: int
    data: str
    metrics: Mapping[str, float]
    setting: Setting = dataclasses.field(repr=False)
    functions: TaskFunctions | None = dataclasses.field(repr=False, default=None)

    def predict(self, x: Any) -> np.ndarray:
        """Predict labels, or the targets of a regression.

        Args:
          x: inputs ``[n, ...]`` in the form of the training data; for a `jaxtune.Task`
            of your own functions, a split as its ``predict`` takes it.

        Returns:
          ``[n]`` labels as they were in the training data, ``[n, ...]`` numbers, or
          what ``predict`` of your own task returns, as NumPy arrays.

        Raises:
          ValueError: inputs of another form, or a model that was loaded without a task.
        """
        ours = self._functions.ours
        if ours is None:
            return jax.device_get(self.apply(x))
        x, count = padded(checked_inputs(x, self._functions.inputs))
        if not count:
            raise ValueError("x is empty. Use one row or more.")
        outputs = jax.device_get(prediction(self._forward(self.params, self.state, x)))
        return _plain(ours, outputs[:count], self._functions.target)

    def probabilities(self, x: Any) -> np.ndarray:
        """Return the probability of each class.

        Args:
          x: inputs, as for `predict`.

        Returns:
          ``[n, classes]``, in the order of ``classes``.

        Raises:
          ValueError: a model that is no classifier.
        """
        if not self.classes:
            raise ValueError("probabilities: only a classification has some.")
        x, count = padded(checked_inputs(x, self._functions.inputs))
        outputs = self._forward(self.params, self.state, x)
        return np.asarray(probabilities_of(outputs))[:count]

    def apply(self, x: Any) -> PyTree:
        """Return the outputs as the model returns them; ``x`` may be traced.

        Args:
          x: inputs, as for `predict`.
        """
        if self._functions.ours is not None:
            x = checked_inputs(x, self._functions.inputs)
        return self._forward(self.params, self.state, x)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels of a classification, ascending; empty for other tasks."""
        ours = self.functions.ours if self.functions else None
        known = ours.measures.known if ours else None
        return known.labels if known else ()

    def linen(self) -> tuple[nn.Module, dict[str, PyTree]]:
        """Return the Linen module and its variables, for code of your own.

        The module's fields are the trial's hyperparameters. Those that its ``__call__``
        names are given there: ``module.apply(variables, x, dropout=0.1)``.

        Raises:
          ValueError: the model is no Linen module.
        """
        import flax.linen as nn

        from jaxtune.tasks.linen_models import set_linen_module

        module = self._model("linen")
        if isinstance(module, type) and issubclass(module, nn.Module):
            module = module()
        if not isinstance(module, nn.Module):
            raise ValueError(
                "linen: the model is no Linen module. Use nnx() for an NNX module, or "
                "params for functions of your own."
            )
        plain = {**self.hparams, **dict(self.setting.static.values)}
        return set_linen_module(module, plain), {"params": self.params, **self.state}

    def nnx(self) -> Any:
        """Return the NNX module, with its variables, in evaluation.

        Raises:
          ValueError: the model is no NNX module.
        """
        from flax import nnx

        from jaxtune.tasks.nnx_models import trained_nnx_module

        factory = self._model("nnx")
        if not isinstance(self.params, nnx.State):
            raise ValueError(
                "nnx: the model is no NNX module. Use linen() for a Linen module, or "
                "params for functions of your own."
            )
        plain = {**self.hparams, **dict(self.setting.static.values)}
        return trained_nnx_module(factory, self.params, self.state, plain)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model, for `jaxtune.load_model` or other programs.

        Args:
          path: a file ``*.safetensors`` (needs the extra ``models``); any other path is
            a folder with a checkpoint of Orbax. A model that is there is replaced.

        Returns:
          The path.

        Raises:
          ValueError: something else than a model is there.
        """
        from jaxtune.trained.files import save_model

        return save_model(self, Path(path))

    @property
    def parameters(self) -> int:
        """Number of parameters, without padding."""
        return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(self.params))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.hparams.items())
        scores = ", ".join(f"{n} {v:.6g}" for n, v in self.metrics.items())
        return (
            f"TrainedModel(trial {self.trial}, seed {self.seed}, {self.epochs} epochs "
            f"on {self.data}, {self.parameters} parameters"
            f"{', ' if scores else ''}{scores}\n  {shown})"
        )

    @property
    def _functions(self) -> TaskFunctions:
        if self.functions is None:
            raise ValueError(
                "model: it was loaded without its task, whose functions are your own. "
                "Use jaxtune.load_model(path, task), or params in your own code."
            )
        return self.functions

    def _model(self, form: str) -> Any:
        ours = self._functions.ours
        if ours is None:
            raise ValueError(
                f"{form}: the task has functions of your own. Use params with them."
            )
        return ours.network.model

    @cached_property
    def _forward(self) -> Callable[[PyTree, PyTree, PyTree], PyTree]:
        """The program ``(params, state, x) -> outputs``."""
        functions, setting = self._functions, self.setting
        predict = functions.predict
        if predict is None:
            raise ValueError(
                "model: its task has functions of your own, and none that predicts. "
                "Give it one, jaxtune.Task(..., predict=...), or use params."
            )

        @jax.jit
        def forward(params: PyTree, state: PyTree, x: PyTree) -> PyTree:
            hparams = own_copy(setting.hparams)
            given = (params, state) if functions.stateful else (params,)
            split = {"x": x} if functions.ours is not None else x
            return predict(*given, split, hparams)

        return forward


def _plain(ours: Predict, outputs: np.ndarray, target: tuple[int, ...]) -> np.ndarray:
    """Return labels, or targets in their shape, of outputs ``[n, ...]``."""
    if ours.measures.known is not None:
        return labels_of(ours.measures.known, outputs)
    column = outputs.shape[1:] == (*target, 1)
    return outputs[..., 0] if column else outputs
