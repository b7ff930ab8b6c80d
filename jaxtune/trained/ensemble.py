"""Several models whose predictions are averaged."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.brevity import brief
from jaxtune.tasks.measuring import Measures
from jaxtune.trained.predicting import Predicting, TaskFunctions
from jaxtune.trained.selection import outputs_from, votes_of
from jaxtune.trained.setting import Setting
from jaxtune.types import Array, PyTree


@brief
class EnsembleMember(NamedTuple):
    """A model of an ensemble.

    Args:
      trial: the trial that it is of.
      seed: the seed of the trial.
      weight: its share of the mean prediction.
      score: its own on the rows on which the ensemble was chosen.
      hparams: its hyperparameters as a plain dict.
    """

    trial: int
    seed: int
    weight: float
    score: float
    hparams: Mapping[str, Any]


class Stack(NamedTuple):
    """Members that share a program, side by side as they were trained.

    Args:
      setting: their hyperparameters, traced ones as ``[k]``.
      params: ``[k, ...]``.
      state: ``[k, ...]``.
      places: ``[k]`` int, of each among the members.
    """

    setting: Setting
    params: PyTree
    state: PyTree
    places: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble(Predicting):
    """Models of several trials, whose predictions are averaged with weights.

    `Result.ensemble` and `load_model` return it. A classification averages
    probabilities, a regression the predictions.

    Args:
      members: the models, by weight, largest first.
      metric: the metric that chose them.
      split: the rows on which it was chosen: ``"valid"``, or ``"folds"``, the rows that
        each fold held out.
      score: of the ensemble on these rows.
      single: the best score among its candidates, each alone.
      candidates: number of models that it was chosen from.
      tested: what `test` has found; empty before it is called.
      stacks: their arrays.
      functions: of the task; ``None`` if it was loaded without it.
      judge: measures it on the test split; ``None`` if it was loaded from a file.
    """

    members: tuple[EnsembleMember, ...]
    metric: str
    split: str
    score: float
    single: float
    candidates: int
    tested: dict[str, dict[str, float]]
    stacks: tuple[Stack, ...] = dataclasses.field(repr=False)
    functions: TaskFunctions | None = dataclasses.field(repr=False, default=None)
    judge: Callable[[Ensemble], dict[str, dict[str, float]]] | None = None

    @property
    def weights(self) -> np.ndarray:
        """``[k]`` shares of the members; they add up to one."""
        return np.asarray([member.weight for member in self.members])

    def test(self) -> dict[str, dict[str, float]]:
        """Judge the ensemble on the test split, beside the best trial alone.

        The test split is looked at on the first call only.

        Returns:
          ``"ensemble"`` and ``"best"``, each with metric name to number; the best trial
          as `Result.test` judges it, the mean over its seeds.

        Raises:
          ValueError: a task without a test split, or an ensemble from a file that was
            not judged before.
        """
        if not self.tested:
            if self.judge is None:
                raise ValueError(
                    "test: this ensemble was loaded from a file, without data. Use "
                    "predict(x) on test data, and compare."
                )
            self.tested.update(self.judge(self))
        return {name: dict(metrics) for name, metrics in self.tested.items()}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the ensemble, for `jaxtune.load_model`.

        Args:
          path: a file ``*.safetensors`` or a folder, see `TrainedModel.save`.

        Returns:
          The path.

        Raises:
          ValueError: something else than a model is there.
        """
        from jaxtune.trained.files import as_path, save_model

        return save_model(self, as_path(path))

    def __repr__(self) -> str:
        lines = [
            f"Ensemble({len(self.members)} of {self.candidates} models",
            f"  {self.metric} {self.score:.6g} on {self.split}, the best alone "
            f"{self.single:.6g}",
        ]
        if self.tested:
            mine, alone = (self.tested[n][self.metric] for n in ("ensemble", "best"))
            lines += [f"  {self.metric} {mine:.6g} on test, the best trial {alone:.6g}"]
        lines += [
            f"  {one.weight:.0%} trial {one.trial}, seed {one.seed}"
            for one in self.members
        ]
        return "\n".join(lines) + ")"

    def _outputs(self, x: PyTree) -> PyTree:
        return self._forward([(s.params, s.state) for s in self.stacks], x)

    @cached_property
    def _forward(self) -> Any:
        """The program ``(arrays, x) -> outputs``."""
        functions, weights = self._functions, self.weights
        measures: Measures = functions.ours.measures  # type: ignore[union-attr]

        @jax.jit
        def forward(arrays: list[tuple[PyTree, PyTree]], x: PyTree) -> Array:
            total: Any = 0.0
            for stack, (params, state) in zip(self.stacks, arrays, strict=True):
                votes = stacked_votes(functions, measures, stack.setting, x)
                found = votes(params, state)
                share = jnp.asarray(weights[stack.places], found.dtype)
                total = total + jnp.tensordot(share, found, axes=1)
            return outputs_from(measures, total)

        return forward


def stacked_votes(
    functions: TaskFunctions, measures: Measures, setting: Setting, x: PyTree
) -> Any:
    """Return ``(params [k, ...], state [k, ...]) -> votes [k, N, ...]``."""

    def one(traced: Mapping[str, Any], params: PyTree, state: PyTree) -> Array:
        lane = setting._replace(traced=traced)
        return votes_of(measures, functions.outputs(lane, params, state, x))

    def run(params: PyTree, state: PyTree) -> Array:
        traced = {n: jnp.asarray(v) for n, v in setting.traced.items()}
        return jax.vmap(one)(traced, params, state)

    return run


def by_weight(members: Sequence[EnsembleMember]) -> list[int]:
    """Return the places of members, largest weight first, and then by score's order."""
    return sorted(range(len(members)), key=lambda at: (-members[at].weight, at))
