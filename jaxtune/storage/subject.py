"""The task of a run, rebuilt from its directory if all of its code is jaxtune's own."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtune.checks import RunError
from jaxtune.reading import in_short, is_there, read_regular
from jaxtune.registry import Recipe
from jaxtune.storage.arrays import from_bytes, to_bytes
from jaxtune.storage.directory import DATA
from jaxtune.storage.documents import value_of
from jaxtune.storage.folds import with_recorded_folds
from jaxtune.tasks import Task, classification, regression

LARGEST = 64 * 2**20  # bytes of data that a run keeps a copy of

MAKERS = {"classification": classification, "regression": regression}


def data_of(task: Task) -> bytes | None:
    """Return the data that a run keeps, if its task can be made again from them."""
    if task.recipe is None:
        return None
    splits = {"train": task.train, "valid": task.valid, "test": task.test}
    if sum(leaf.nbytes for leaf in jax.tree.leaves(splits)) > LARGEST:
        return None
    return to_bytes(
        {
            name: {part: np.asarray(leaf) for part, leaf in split.items()}
            for name, split in splits.items()
            if split is not None
        }
    )


def task_of(directory: Path, settings: dict[str, Any]) -> Task | None:
    """Rebuild the task of a run from its recipe and its data.

    Args:
      directory: the run directory.
      settings: its settings.

    Returns:
      The task; ``None`` if the run has no recipe or no data.

    Raises:
      RunError: a recipe or data that are damaged.
    """
    if settings["recipe"] is None or not is_there(directory / DATA):
        return None
    from jaxtune import models

    # a stranger's run may name anything: only names of these two tables are called
    try:
        recipe = value_of(settings["recipe"])
        arguments = dict(recipe.arguments)
        network: Recipe = arguments.pop("model")
        known: dict[str, Any] = {"MLP": models.MLP, "CNN": models.CNN}
        given = dict(network.arguments)
        check_fields(known[network.name], given)
        model = (_cnn if network.name == "CNN" else models.MLP)(**given)
        data = from_bytes(read_regular(directory / DATA, 2 * LARGEST))
        labels = arguments.pop("labels", None)
        if labels is not None:
            data = {name: _labelled(part, labels) for name, part in data.items()}
        splits = {name: _tuple(part) for name, part in data.items()}
        make: Any = MAKERS[recipe.name]
        task = make(model, **splits, **arguments)
        return with_recorded_folds(directory, settings, task)
    except Exception as error:  # of any kind, as in `reading.decoding`
        raise RunError(
            f"{directory}: its task cannot be made again ({in_short(error)}). Give it: "
            "jaxtune.resume(directory, task)."
        ) from error


# the type of a field, as it is written, to the types of its values in a recipe
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, type(None)),
}


def check_fields(model: Any, given: dict[str, Any]) -> None:
    """Raise ``ValueError`` for arguments of another type than the fields of a model."""
    types = {field.name: TYPES.get(str(field.type)) for field in fields(model)}
    for name, value in given.items():
        kinds = types.get(name)
        if kinds is None or type(value) not in kinds:
            raise ValueError(f"{model.__name__} with {name}={value!r}")


def _labelled(part: dict[str, Any], labels: tuple[Any, ...]) -> dict[str, Any]:
    """Return a split whose numbers are labels again, see `tasks.labels`."""
    if isinstance(labels[0], str):
        return part | {"y": np.asarray(labels)[part["y"]]}
    return part | {"y": part["y"].astype(np.asarray(labels).dtype)}


def _tuple(part: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(part[name] for name in ("x", "y", "weights") if name in part)


def _cnn(**arguments: Any) -> Any:
    """Return the network of a run; up to version 0.1.0, every one was unfolded."""
    from jaxtune import models

    return models.CNN(**{"unfolded": True, **arguments})
