"""What a search found."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxtune import ranking
from jaxtune.population import Workload, evaluate
from jaxtune.space import Space
from jaxtune.tasks import Task
from jaxtune.trials import Trials


class Best(NamedTuple):
    """The trial with the best score.

    Args:
      trial: its id.
      hparams: its hyperparameters as a plain dict.
      score: mean over its seeds.
      scores: one score per seed.
    """

    trial: int
    hparams: dict[str, Any]
    score: float
    scores: tuple[float, ...]


class Setup(NamedTuple):
    """What was searched and how: enough to train any trial again.

    Args:
      workload: task, key, block width and budget.
      space: the space that the user gave.
      metric: which metric is the score.
      mode: ``"max"`` or ``"min"``.
    """

    workload: Workload
    space: Space
    metric: str
    mode: str


@dataclasses.dataclass(frozen=True)
class Result:
    """All trials of a search.

    Args:
      trials: the record, one row per trial.
      spaces: the space of each round, the first one as given.
      setup: what was searched and how.
    """

    trials: Trials
    spaces: tuple[Space, ...]
    setup: Setup
    _tested: dict[str, float] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def best(self) -> Best:
        """The trial with the best mean score; ties go to the smaller id.

        Raises:
          ValueError: every trial failed.
        """
        oriented = ranking.orient(self.trials["score"], self.setup.mode)
        if not bool(jnp.isfinite(oriented).any()):
            raise ValueError(
                f"all {len(self.trials)} trials failed, so none is best. See "
                "result.trials; search lower learning rates."
            )
        trial = int(ranking.order(oriented)[0])
        return Best(
            trial,
            self.setup.space.values(self.trials.decoded, trial),
            float(self.trials["score"][trial]),
            tuple(map(float, self.trials.scores[trial])),
        )

    def test(self) -> dict[str, float]:
        """Train the best trial again and judge it on the test split, once.

        The training is the recorded one, bit for bit: it depends on the key and the
        trial. The test split is looked at on the first call only.

        Returns:
          Metric name to its mean over the trial's seeds.

        Raises:
          ValueError: a plain function, or a task without a test split.
        """
        if not self._tested:
            self._tested.update(self._evaluate_best("test"))
        return dict(self._tested)

    def _evaluate_best(self, split: str) -> dict[str, float]:
        task = self.setup.workload.subject
        if not isinstance(task, Task):
            raise ValueError("test: a plain function has no test split.")
        if getattr(task, split) is None:
            raise ValueError("test: the task has no test split. Give it test=(x, y).")
        trial = self.best.trial
        outcome = evaluate(
            self.setup.workload._replace(split=split),
            self.setup.space,
            np.asarray([trial]),
            {name: v[trial : trial + 1] for name, v in self.trials.decoded.items()},
            np.arange(self.trials.scores.shape[1]),
        )
        return {name: float(v.mean()) for name, v in outcome.metrics.items()}

    def report(self, path: str | Path) -> Path:
        """Write one self-contained page: answer, picture, boxes, trials.

        Args:
          path: where; its folder must exist.

        Returns:
          The path.
        """
        from jaxtune.report import html

        return html.write(self, Path(path))

    def __repr__(self) -> str:
        failed = int((self.trials["status"] != "ok").sum())
        lines = [f"Result({len(self.trials)} trials, {len(self.spaces)} rounds"]
        if failed < len(self.trials):
            best = self.best
            shown = ", ".join(f"{k}={v!r}" for k, v in best.hparams.items())
            lines += [
                f"  best {self.setup.metric} {best.score:.6g}, trial {best.trial}"
            ]
            lines += [f"  {shown}"]
        return "\n".join(lines) + f"\n  {failed} failed)"
