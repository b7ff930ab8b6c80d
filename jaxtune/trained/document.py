"""Trained models and ensembles as arrays by name and a JSON document, and back."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np

from jaxtune.storage.documents import value_document, value_of
from jaxtune.tasks import Task
from jaxtune.trained.ensemble import Ensemble, EnsembleMember, Stack
from jaxtune.trained.model import TrainedModel
from jaxtune.trained.parts import (
    Path,
    arrays_of,
    functions_document,
    functions_of_document,
    in_form_of,
    nested,
    setting_document,
    setting_of,
    with_keys,
)
from jaxtune.trained.setting import Setting
from jaxtune.types import PyTree
from jaxtune.versions import __version__

MODEL, ENSEMBLE = "jaxtune model", "jaxtune ensemble"
VERSION = 1

WHERE = ("trial", "seed", "epochs", "data")
MEMBER = ("trial", "seed", "weight", "score")
SCORES = ("metric", "split", "score", "single", "candidates", "tested")


class Saved(NamedTuple):
    """The parts of a model that are written.

    Args:
      arrays: path to array; random keys as numbers.
      document: all else, as JSON.
    """

    arrays: dict[Path, np.ndarray]
    document: dict[str, Any]


def saved(model: TrainedModel | Ensemble) -> Saved:
    """Return a model as arrays and a document."""
    one = isinstance(model, TrainedModel)
    tree, document = _of_model(model) if one else _of_ensemble(model)  # type: ignore[arg-type]
    arrays, keys = arrays_of(tree)
    return Saved(
        arrays,
        {
            **document,
            "version": VERSION,
            "jaxtune": __version__,
            "functions": functions_document(model.functions),
            "arrays": [list(path) for path in arrays],
            "keys": [[list(path), name] for path, name in keys.items()],
            "checksum": checksum(arrays),
        },
    )


def checksum(arrays: dict[Path, Any]) -> str:
    """Return a hash of arrays, with their paths, shapes and dtypes."""
    found = hashlib.sha256()
    for path, array in arrays.items():
        plain = np.asarray(array, order="C")
        found.update(repr((path, plain.shape, plain.dtype.name)).encode())
        found.update(plain.tobytes())
    return found.hexdigest()


def _of_model(model: TrainedModel) -> tuple[PyTree, dict[str, Any]]:
    document = {
        "format": MODEL,
        **{name: getattr(model, name) for name in WHERE},
        "metrics": {n: value_document(float(v)) for n, v in model.metrics.items()},
        "hparams": {n: value_document(v) for n, v in model.hparams.items()},
        "setting": setting_document(model.setting),
    }
    return {"params": model.params, "state": model.state}, document


def _of_ensemble(ensemble: Ensemble) -> tuple[PyTree, dict[str, Any]]:
    members = [
        {
            **{name: value_document(getattr(one, name)) for name in MEMBER},
            "hparams": {n: value_document(v) for n, v in one.hparams.items()},
        }
        for one in ensemble.members
    ]
    stacks = [
        {"setting": setting_document(stack.setting), "places": stack.places.tolist()}
        for stack in ensemble.stacks
    ]
    tree = {
        str(number): {"params": stack.params, "state": stack.state}
        for number, stack in enumerate(ensemble.stacks)
    }
    known = {name: getattr(ensemble, name) for name in SCORES}
    document = {"format": ENSEMBLE, **known, "members": members, "stacks": stacks}
    return tree, document


def model_from(saved: Saved, task: Task | None) -> TrainedModel | Ensemble:
    """Return the model of arrays and a document.

    Args:
      saved: the parts that were read.
      task: with the functions of the model; not needed where the network is ours.

    Raises:
      ValueError: a document that is damaged, or the task of another model.
    """
    if checksum(saved.arrays) != saved.document["checksum"]:
        raise ValueError("its arrays are not those that were saved")
    arrays = with_keys(saved.arrays, saved.document["keys"])
    parts = saved._replace(arrays=arrays)
    if saved.document["format"] == ENSEMBLE:
        return _ensemble(parts, task)
    document = saved.document
    setting = setting_of(document["setting"])
    params, state = _variables(arrays, setting, task, axes=0)
    return TrainedModel(
        params=params,
        state=state,
        hparams={n: value_of(v) for n, v in document["hparams"].items()},
        **{name: document[name] for name in WHERE},
        metrics={n: value_of(v) for n, v in document["metrics"].items()},
        setting=setting,
        functions=functions_of_document(document["functions"], task),
    )


def _ensemble(saved: Saved, task: Task | None) -> Ensemble:
    document = saved.document
    stacks = []
    for number, part in enumerate(document["stacks"]):
        setting, first = setting_of(part["setting"]), str(number)
        arrays = {p[1:]: a for p, a in saved.arrays.items() if p[0] == first}
        params, state = _variables(arrays, setting, task, axes=1)
        stacks.append(Stack(setting, params, state, np.asarray(part["places"])))
    members = [
        EnsembleMember(
            **{name: value_of(part[name]) for name in MEMBER},
            hparams={n: value_of(v) for n, v in part["hparams"].items()},
        )
        for part in document["members"]
    ]
    return Ensemble(
        members=tuple(members),
        **{name: document[name] for name in SCORES},
        stacks=tuple(stacks),
        functions=functions_of_document(document["functions"], task),
    )


def _variables(
    arrays: dict[Path, Any], setting: Setting, task: Task | None, axes: int
) -> tuple[PyTree, PyTree]:
    """Return parameters and state, with so many leading axes over models."""
    if task is None:
        tree = nested(arrays)
        return tree.get("params", {}), tree.get("state", {})
    if axes:
        setting = setting._replace(traced={n: v[0] for n, v in setting.traced.items()})
    return in_form_of(task, setting, arrays, axes)
