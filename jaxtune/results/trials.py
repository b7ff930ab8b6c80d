"""The table of trials: columns, only appended to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from jaxtune.checks import extra, is_whole
from jaxtune.door import Argument, demand, guarded
from jaxtune.markup import html_table

OPEN = ("running", "waiting")  # statuses of trials that are not done
SHOWN = 5  # rows from each end, in a notebook


A_TRIAL = Argument(
    "the id of a trial, a whole number", partial(is_whole, least=-(2**63))
)
ROWS = Argument(
    "an array of rows",
    lambda value: (
        isinstance(value, list | tuple | range | slice)
        or (hasattr(value, "__array__") and np.ndim(value) > 0)
    ),
)
A_TABLE = Argument("a table of trials", lambda value: isinstance(value, Trials))


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """One row per trial, in trial order.

    ``trials["name"]`` is a column: ``trial``, ``round``, ``status`` (``"ok"``,
    ``"diverged"``, ``"stopped"`` by a scheduler before the end, ``"crashed"`` with
    every process that trained it; in a search that is not finished also ``"running"``,
    begun and not done, and ``"waiting"``, not begun),
    ``score`` (as last measured, the mean over seeds, as the task measures it, NaN if
    failed), for tasks ``epochs`` (trained by the trial), every hyperparameter by name
    (under population based training its last value), every metric by name (mean over
    seeds), and with ``score="best"`` the ``best_epoch`` (mean over seeds). With
    ``budget="examples"``, ``epochs`` is the budget that the trial was trained for last,
    and ``examples`` are the training rows that this is worth. In a search with
    ``confirm=`` or a race the column ``repeat_of`` has the trial whose configuration
    this one measures again, and -1 for a configuration that is new.

    Args:
      columns: name to ``[n]`` array.
      scores: ``[n, s]`` float32, one score per seed.
      points: ``[n, d]`` float32, coordinates in the cube of the trial's round; NaN for
        a dimension that was not open in it.
      decoded: name to ``[n]`` array as `Space.decode` gives it, choices as
        indices.
    """

    columns: Mapping[str, np.ndarray]
    scores: np.ndarray
    points: np.ndarray
    decoded: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        """Return the number of trials, ``n``."""
        return len(self.scores)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column ``[n]``."""
        if not isinstance(name, str) or name not in self.columns:
            raise KeyError(f"no column {name!r}. There are {', '.join(self.columns)}.")
        return self.columns[name]

    @property
    def epochs(self) -> np.ndarray:
        """``[n]`` epochs that each trial trained; zeros for plain functions."""
        return self.columns.get("epochs", np.zeros(len(self), np.int32))

    @property
    def stage(self) -> np.ndarray:
        """``[n]`` how far each trial is, to rank by: the epochs, or complete."""
        # at its own pace a trial is as complete as one that trained for the budget
        complete = self.columns["status"].astype(str) == "ok"
        return np.where(complete, np.iinfo(np.int32).max, self.epochs)

    @property
    def done(self) -> np.ndarray:
        """``[n]`` bool: trials that nothing more becomes of: ok, stopped or failed."""
        return ~np.isin(self.columns["status"].astype(str), OPEN)

    @property
    def failed(self) -> np.ndarray:
        """``[n]`` bool: trials without a score, because they diverged or crashed."""
        return np.isin(self.columns["status"].astype(str), ("diverged", "crashed"))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.columns)

    @guarded(more=A_TABLE)
    def append(self, more: Trials) -> Trials:
        """Return a table with the rows of another one after these.

        Args:
          more: trials with the same columns.
        """

        def join(first: Any, second: Any) -> Any:
            if isinstance(first, Mapping):
                return {name: join(first[name], second[name]) for name in first}
            return np.concatenate([first, second])

        fields = [field.name for field in dataclasses.fields(self)]
        return Trials(*[join(getattr(self, f), getattr(more, f)) for f in fields])

    @guarded(rows=ROWS)
    def take(self, rows: np.ndarray) -> Trials:
        """Return a table of some rows.

        Args:
          rows: ``[m]`` int, or ``[n]`` bool.
        """

        def some(part: Any) -> Any:
            if isinstance(part, Mapping):
                return {name: values[rows] for name, values in part.items()}
            return part[rows]

        fields = [field.name for field in dataclasses.fields(self)]
        return Trials(*[some(getattr(self, field)) for field in fields])

    @guarded(trial=A_TRIAL)
    def row(self, trial: int) -> dict[str, Any]:
        """Return one trial as a dict of Python values.

        Args:
          trial: its id.

        Returns:
          Column name to value.

        Raises:
          IndexError: no such trial.
        """
        self.check_id(trial)
        # ids are rows: a table starts at trial 0 and is only appended to
        rows = {name: column[trial] for name, column in self.columns.items()}
        return {
            k: v.item() if isinstance(v, np.generic) else v for k, v in rows.items()
        }

    def check_id(self, trial: int) -> None:
        """Raise ``IndexError`` for a trial that the table does not have.

        Args:
          trial: its id.
        """
        demand("trials", "trial", trial, A_TRIAL)
        if not 0 <= trial < len(self):
            raise IndexError(f"trial {trial} is not in 0 ... {len(self) - 1}.")

    def to_pandas(self) -> Any:
        """Return a data frame, one row per trial; with several seeds, a column
        ``score_0``, ``score_1``, ... for each of them.

        Returns:
          A ``pandas.DataFrame`` (needs pandas, in the extra ``report``).
        """
        pd = extra("pandas", "report")  # here, since it is not always there

        frame = pd.DataFrame(dict(self.columns))
        if self.scores.shape[1] > 1:
            for seed, column in enumerate(self.scores.T):
                frame[f"score_{seed}"] = column
        return frame

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the first and the last rows."""
        n, shown = len(self), list(range(len(self)))
        if n > 2 * SHOWN:
            shown = shown[:SHOWN] + shown[-SHOWN:]
        rows = [[_short(value) for value in self.row(i).values()] for i in shown]
        if n > 2 * SHOWN:
            rows.insert(SHOWN, ["…"] * len(self.names))
        return f"<p>{n} trials</p>\n{html_table(self.names, rows)}"

    def __repr__(self) -> str:
        return f"Trials({len(self)} rows: {', '.join(self.columns)})"


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
