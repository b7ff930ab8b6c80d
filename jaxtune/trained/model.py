"""A trained model as it is handed over: parameters without padding, predictions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxtune.trained.predicting import Predicting, TaskFunctions
from jaxtune.trained.setting import Setting
from jaxtune.types import PyTree

if TYPE_CHECKING:
    import flax.linen as nn


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedModel(Predicting):
    """The model of one trial, trained: what `Result.train` and `load_model` return.

    Args:
      params: its parameters, without padding.
      state: its other variables, such as batch statistics.
      hparams: its hyperparameters as a plain dict.
      trial: the trial that it is of.
      seed: the seed of the trial.
      epochs: that it trained.
      data: ``"train"``, or ``"train+valid"``; of a trial that was stopped under
        ``budget="examples"``, which part of it: ``"3 of 27 parts of train"``.
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
        from jaxtune.trained.files import as_path, save_model

        return save_model(self, as_path(path))

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

    def _model(self, form: str) -> Any:
        ours = self._functions.ours
        if ours is None:
            raise ValueError(
                f"{form}: the task has functions of your own. Use params with them."
            )
        return ours.network.model

    def _outputs(self, x: PyTree) -> PyTree:
        return self._forward(self.params, self.state, x)

    @cached_property
    def _forward(self) -> Callable[[PyTree, PyTree, PyTree], PyTree]:
        """The program ``(params, state, x) -> outputs``."""
        return jax.jit(partial(self._functions.outputs, self.setting))
