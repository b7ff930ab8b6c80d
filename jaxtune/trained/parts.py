"""The parts of a trained model as JSON: paths of arrays, settings, networks of ours.

Nothing in a document is executed: it holds numbers, strings, and names of the networks
of `jaxtune.models`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.programs.block import Listed, Static
from jaxtune.registry import Recipe
from jaxtune.storage.documents import Unserialisable, value_document, value_of
from jaxtune.storage.subject import check_fields
from jaxtune.tasks import Task
from jaxtune.tasks.inputs import Inputs
from jaxtune.tasks.labels import Classes
from jaxtune.tasks.measuring import Measures
from jaxtune.tasks.networks import Network, Predict, is_ours, predict_of
from jaxtune.tasks.outputs import classified, regressed
from jaxtune.trained.inputs import Form
from jaxtune.trained.predicting import TaskFunctions
from jaxtune.trained.setting import Setting
from jaxtune.types import PyTree

Path = tuple[str, ...]


def with_keys(arrays: dict[Path, Any], keys: list[Any]) -> dict[Path, Any]:
    """Return arrays on the device; those that were random keys as such."""
    kinds = {tuple(path): name for path, name in keys}
    return {
        path: jax.random.wrap_key_data(jnp.asarray(array), impl=kinds[path])
        if path in kinds
        else jnp.asarray(array)
        for path, array in arrays.items()
    }


def arrays_of(tree: PyTree) -> tuple[dict[Path, np.ndarray], dict[Path, str]]:
    """Return arrays by path, and the kind of those that are random keys."""
    arrays, keys = {}, {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        names = tuple(map(_name, path))
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            keys[names] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        arrays[names] = np.asarray(leaf)
    return arrays, keys


def _name(key: Any) -> str:
    """Return the name of one step in a path of JAX's."""
    for field in ("key", "idx", "name"):
        if hasattr(key, field):
            return str(getattr(key, field))
    return str(key)


def nested(arrays: dict[Path, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        here = tree
        for step in path[:-1]:
            here = here.setdefault(step, {})
        here[path[-1]] = array
    return tree


def in_form_of(
    task: Task, setting: Setting, arrays: dict[Path, Any], axes: int
) -> tuple[PyTree, PyTree]:
    """Return parameters and state in the form in which the task makes them.

    Args:
      task: of the model.
      setting: of the model, or of the first one of several.
      arrays: path to array.
      axes: leading axes of each, over models.

    Raises:
      ValueError: the task of another model.
    """
    listed = [v for _, v in setting.static.values]
    listed += [v for choice in setting.static.choices for v in choice.values]
    objects = [v for v in listed if isinstance(v, Unserialisable)]
    if objects:
        raise ValueError(
            f"model: a hyperparameter has the value {objects[0]}, a Python object, "
            "which a file does not hold. Load it without the task, and use its params "
            "in your own code."
        )
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = jax.eval_shape(lambda k: task.init(k, setting.hparams), key)
    made = shapes if task.stateful else (shapes, {})
    tree = {"params": made[0], "state": made[1]}
    wanted, form = jax.tree_util.tree_flatten_with_path(tree)
    leaves = []
    for path, shape in wanted:
        names = tuple(map(_name, path))
        leaf = arrays.get(names)
        if (
            leaf is None
            or leaf.shape[axes:] != shape.shape
            or leaf.dtype != shape.dtype
        ):
            have = (
                "nothing" if leaf is None else f"{leaf.dtype}{list(leaf.shape[axes:])}"
            )
            raise ValueError(
                f"task: it has {shape.dtype}{list(shape.shape)} at {'.'.join(names)}, "
                f"but the model has {have}. Use the task that it was trained with."
            )
        leaves.append(leaf)
    more = arrays.keys() - {tuple(map(_name, path)) for path, _ in wanted}
    if more:
        raise ValueError(
            f"task: it has nothing at {'.'.join(min(more))}, but the model has an "
            "array there. Use the task that it was trained with."
        )
    made = jax.tree.unflatten(form, leaves)
    return made["params"], made["state"]


def setting_document(setting: Setting) -> dict[str, Any]:
    """Return a setting as JSON."""
    return {
        "static": _static_document(setting.static),
        "traced": {
            name: [value.dtype.name, value_document(value.tolist())]
            for name, value in setting.traced.items()
        },
    }


def setting_of(document: dict[str, Any]) -> Setting:
    """Return the setting of a document."""
    traced = {
        name: np.asarray(value_of(value), np.dtype(dtype))
        for name, (dtype, value) in document["traced"].items()
    }
    return Setting(_static_of(document["static"]), traced)


def _static_document(static: Static) -> dict[str, Any]:
    # a plain number keeps its type in JSON, which a program can tell from another's
    return {
        "values": [[name, value_document(value)] for name, value in static.values],
        "choices": [
            [c.name, value_document(tuple(c.values)), c.ordered] for c in static.choices
        ],
        "forms": static.forms,
        "as_places": static.as_places,
    }


def _static_of(document: dict[str, Any]) -> Static:
    return Static(
        values=tuple((name, value_of(value)) for name, value in document["values"]),
        choices=tuple(
            Listed(name, value_of(values), ordered)
            for name, values, ordered in document["choices"]
        ),
        forms=document["forms"],
        as_places=document["as_places"],
    )


def _network_document(ours: Predict | None) -> dict[str, Any] | None:
    """Return how to make a network of ours; ``None`` for one of the user's."""
    if ours is None or not is_ours(ours.network.model):
        return None
    network, known = ours.network, ours.measures.known
    if network.inputs.preprocess is not None:
        return None
    model = network.model
    fields = [f.name for f in dataclasses.fields(model) if f.init]
    own = tuple((n, getattr(model, n)) for n in fields if n not in ("parent", "name"))
    return {
        "model": value_document(Recipe(type(model).__name__, own)),
        "precision": network.precision,
        "classes": None if known is None else _classes_document(known),
    }


def functions_document(functions: TaskFunctions | None) -> dict[str, Any]:
    """Return as JSON what is needed to predict, as far as it is ours."""
    if functions is None:
        return {
            "inputs": [],
            "target": [],
            "columns": [],
            "labels": None,
            "network": None,
        }
    known = functions.ours.measures.known if functions.ours else None
    return {
        "inputs": [list(form) for form in functions.inputs],
        "target": list(functions.target),
        "columns": list(functions.columns),
        "labels": None if known is None else list(known.labels),
        "network": _network_document(functions.ours),
    }


def functions_of_document(
    document: dict[str, Any], task: Task | None
) -> TaskFunctions | None:
    """Return the functions of a document, or of a task; ``None`` if there are none."""
    inputs, known = document["inputs"], document["network"]
    forms = tuple(Form(path, tuple(shape), dtype) for path, shape, dtype in inputs)
    target, columns = tuple(document["target"]), tuple(document["columns"])
    if task is not None:
        _check_labels(document["labels"], task)
        return TaskFunctions(task.predict, task.stateful, forms, target, columns)
    if known is None:
        return None
    from jaxtune import models

    recipe = value_of(known["model"])
    known_models: dict[str, Any] = {"MLP": models.MLP, "CNN": models.CNN}
    arguments = dict(recipe.arguments)
    check_fields(known_models[recipe.name], arguments)
    model = known_models[recipe.name](**arguments)
    network = Network(model, known["precision"], Inputs())
    classes = known["classes"]
    measures = (
        Measures(regressed, None, "mse")
        if classes is None
        else Measures(classified, _classes_of(classes), "loss")
    )
    return TaskFunctions(predict_of(network, measures), True, forms, target, columns)


def _check_labels(labels: list[Any] | None, task: Task) -> None:
    """Raise ``ValueError`` for a task whose labels are not those of the model."""
    if labels is not None and list(task.classes) != labels:
        mine, theirs = (
            ", ".join(map(repr, part[:5])) for part in (labels, task.classes)
        )
        raise ValueError(
            f"task: its labels are {theirs or 'not known'}, but those of the model are "
            f"{mine}. Use the task that it was trained with."
        )


def _classes_document(classes: Classes) -> dict[str, Any]:
    return {
        "labels": list(classes.labels),
        "codes": list(classes.codes),
        "lowest": list(classes.lowest),
        "highest": list(classes.highest),
    }


def _classes_of(document: dict[str, Any]) -> Classes:
    low, high = (tuple(document[name]) for name in ("lowest", "highest"))
    return Classes(tuple(document["labels"]), tuple(document["codes"]), low, high)
