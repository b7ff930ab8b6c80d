"""Predictions, whatever makes the outputs: one model or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxtune.tasks.hparams import own_copy
from jaxtune.tasks.networks import Predict
from jaxtune.tasks.outputs import prediction
from jaxtune.tasks.predicted import labels_of, probabilities_of
from jaxtune.trained.inputs import Form, checked_inputs, padded
from jaxtune.trained.setting import Setting
from jaxtune.types import PyTree


@dataclasses.dataclass(frozen=True)
class TaskFunctions:
    """The functions of the task that a model needs.

    Args:
      predict: as in `jaxtune.Task`; ``None`` if it has none.
      stateful: as in `jaxtune.Task`.
      inputs: forms of the arrays of inputs; empty for a task of the user's own
        functions, which gets a split as it is.
      target: shape of one row of ``y``.
      columns: of the data frame that the training data were, if they were one.
    """

    predict: Callable[..., Any] | None
    stateful: bool
    inputs: tuple[Form, ...] = ()
    target: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()

    def checked(self, x: Any) -> PyTree:
        """Return inputs in the form of the training data, or raise ``ValueError``."""
        return checked_inputs(x, self.inputs, self.columns)

    @property
    def ours(self) -> Predict | None:
        """The function of a network of `classification` or `regression`, if it is."""
        return self.predict if isinstance(self.predict, Predict) else None

    def outputs(
        self, setting: Setting, params: PyTree, state: PyTree, x: PyTree
    ) -> PyTree:
        """Return the outputs of one lane; to be traced.

        Raises:
          ValueError: a task that cannot predict.
        """
        if self.predict is None:
            raise ValueError(
                "model: its task has functions of your own, and none that predicts. "
                "Give it one, jaxtune.Task(..., predict=...), or use params."
            )
        given = (params, state) if self.stateful else (params,)
        split = {"x": x} if self.ours is not None else x
        return self.predict(*given, split, own_copy(setting.hparams))


class Predicting:
    """The predictions of a model, from its outputs.

    A subclass has ``functions``, and ``_outputs(x)`` for inputs that were checked.
    """

    functions: TaskFunctions | None

    def _outputs(self, x: PyTree) -> PyTree:
        raise NotImplementedError

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
        functions = self._functions
        ours = functions.ours
        if ours is None:
            return jax.device_get(self.apply(x))
        x, count = padded(functions.checked(x))
        outputs = jax.device_get(prediction(self._outputs(x)))[:count]
        if ours.measures.known is not None:
            return labels_of(ours.measures.known, outputs)
        column = outputs.shape[1:] == (*functions.target, 1)
        return outputs[..., 0] if column else outputs

    def probabilities(self, x: Any) -> np.ndarray:
        """Return the probability of each class.

        Args:
          x: inputs, as for `predict`.

        Returns:
          ``[n, classes]``, in the order of ``classes``. Of a network with more outputs
          than there are labels, a column for each whole number from 0.

        Raises:
          ValueError: a model that is no classifier.
        """
        functions = self._functions
        if not self.classes:
            raise ValueError("probabilities: only a classification has some.")
        x, count = padded(functions.checked(x))
        return np.asarray(probabilities_of(self._outputs(x)))[:count]

    def apply(self, x: Any) -> PyTree:
        """Return the outputs as the model returns them; ``x`` may be traced.

        Args:
          x: inputs, as for `predict`.
        """
        if self._functions.ours is not None:
            x = self._functions.checked(x)
        return self._outputs(x)

    @property
    def classes(self) -> tuple[Any, ...]:
        """The labels of a classification, ascending; empty for other tasks."""
        ours = self.functions.ours if self.functions else None
        known = ours.measures.known if ours else None
        return known.labels if known else ()

    @property
    def _functions(self) -> TaskFunctions:
        if self.functions is None:
            raise ValueError(
                "model: it was loaded without its task, whose functions are your own. "
                "Use jaxtune.load_model(path, task), or params in your own code."
            )
        return self.functions
