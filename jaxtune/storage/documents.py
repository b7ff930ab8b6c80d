"""Spaces, configurations and recipes as JSON, and back.

JSON holds numbers, strings and lists. Infinite numbers and tuples are wrapped. Of any
other object, such as a function among the values of a choice, only the name is kept: it
can be shown and compared, but not restored.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.registry import Recipe
from jaxtune.rounds.schedule import Schedule, Stage
from jaxtune.schedulers import Scheduler
from jaxtune.space import Dimension, Space
from jaxtune.space.belief import Belief, stated
from jaxtune.space.dimension import KINDS
from jaxtune.space.scales import SCALES


class Unserialisable(NamedTuple):
    """A stand-in for an object that JSON cannot hold.

    Args:
      name: module and name of the object, or its ``repr``.
    """

    name: str

    def __repr__(self) -> str:
        return self.name


def value_document(value: Any) -> Any:
    """Return a value as JSON."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Recipe):
        named = {name: value_document(v) for name, v in value.arguments}
        return {"recipe": value.name, "arguments": named}
    if isinstance(value, Unserialisable):
        return {"object": value.name}
    if isinstance(value, Space):
        return {"space": space_document(value)}
    if isinstance(value, Scheduler):  # of the user's own, within one of ours
        value = value.plan
    if isinstance(value, tuple | list):
        return {"tuple": [value_document(part) for part in value]}
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", "")
    shown = f"{module}.{name}" if name else repr(value)
    # without the address, which differs from process to process
    return {"object": re.sub(r" at 0x[0-9a-f]+", "", shown)}


def value_of(document: Any) -> Any:
    """Return the value of a document."""
    if not isinstance(document, dict):
        return document
    if "float" in document:
        return float(document["float"])
    if "tuple" in document:
        return tuple(map(value_of, document["tuple"]))
    if "space" in document:
        return space_of(document["space"])
    if "recipe" in document:
        named = document["arguments"].items()
        pairs = tuple((name, value_of(v)) for name, v in named)
        return Recipe(document["recipe"], pairs)
    return Unserialisable(document["object"])


STATIC = ("kind", "scale", "default", "tier", "static")


def space_document(space: Space) -> dict[str, Any]:
    """Return a whole space as JSON: name to dimension, in order."""
    return {name: _dimension_document(space[name]) for name in space.names}


def _dimension_document(dim: Dimension) -> dict[str, Any]:
    fixed = {field: value_document(getattr(dim, field)) for field in STATIC}
    fixed["choices"] = list(map(value_document, dim.choices))
    fixed["condition"] = [
        [parent, list(map(value_document, values))] for parent, values in dim.condition
    ]
    if dim.prior is not None:  # older versions know no such name
        numbers = {name: part.item() for name, part in dim.prior._asdict().items()}
        # of two choices of one name the place tells which; the value is for people
        fixed["prior"] = {"value": value_document(stated(dim).value), **numbers}
    return fixed | _bounds_document(dim)


def space_of(document: dict[str, Any]) -> Space:
    """Return the space of a document."""
    return Space(**{name: _dimension_of(part) for name, part in document.items()})


def _dimension_of(document: dict[str, Any]) -> Dimension:
    fixed = {field: value_of(document[field]) for field in STATIC}
    condition = tuple(
        (parent, tuple(map(value_of, values)))
        for parent, values in document["condition"]
    )
    choices = tuple(map(value_of, document["choices"]))
    dim = _checked(
        Dimension(**fixed, **_bounds_of(document), choices=choices, condition=condition)
    )
    prior = document.get("prior")
    return dim if prior is None else dataclasses.replace(dim, prior=_belief_of(prior))


def _belief_of(document: dict[str, Any]) -> Belief:
    """Return a belief; ``ValueError`` for one that no maker makes."""
    numbers = [document[name] for name in Belief._fields]
    plain = all(isinstance(x, int | float) and math.isfinite(x) for x in numbers)
    belief = Belief(*map(np.asarray, numbers))
    if not plain or not (0 < belief.spread <= 1 and belief.low <= belief.high):
        raise ValueError(f"a belief of another form: {document!r}")
    return belief


def _checked(dim: Dimension) -> Dimension:
    """Return a dimension; ``ValueError`` for one that no maker makes."""
    numbers = dim.low.ndim == dim.high.ndim == 0 and dim.low.dtype.kind in "if"
    named = dim.kind in KINDS and dim.scale in SCALES
    flags = isinstance(dim.static, bool) and isinstance(dim.searched, bool)
    listed = dim.allowed is None or (
        dim.allowed.shape == (len(dim.choices),) and dim.allowed.any()
    )
    if not (numbers and named and flags and listed):
        raise ValueError("a dimension of another form")
    if not (np.isfinite([dim.low, dim.high]).all() and dim.low <= dim.high):
        raise ValueError(f"a dimension from {dim.low} to {dim.high}")
    given = isinstance(dim.default, int | float) and math.isfinite(dim.default)
    if dim.kind in ("continuous", "integer", "power_of_two") and not given:
        raise ValueError(f"a dimension with the default {dim.default!r}")
    if not isinstance(dim.tier, int) or not 1 <= dim.tier <= 4:
        raise ValueError(f"a dimension of tier {dim.tier!r}")
    return dim


def box_document(box: Space) -> dict[str, Any]:
    """Return as JSON what a round changes of a space: bounds, choices, what is open."""
    return {name: _bounds_document(box[name]) for name in box.names}


def box_of(space: Space, document: dict[str, Any]) -> Space:
    """Return the box of a document, which was cut from a space."""
    parts = {
        name: _checked(dataclasses.replace(space[name], **_bounds_of(document[name])))
        for name in space.names
    }
    return space.replace(**parts)


def _bounds_document(dim: Dimension) -> dict[str, Any]:
    low, high = np.asarray(dim.low), np.asarray(dim.high)
    # JSON has one kind of number, so the dtype is kept to restore a bound to the bit
    return {
        "low": low.item(),
        "high": high.item(),
        "dtype": low.dtype.name,
        "allowed": None if dim.allowed is None else np.asarray(dim.allowed).tolist(),
        "searched": dim.searched,
    }


def _bounds_of(document: dict[str, Any]) -> dict[str, Any]:
    dtype, allowed = np.dtype(document["dtype"]), document["allowed"]
    return {
        "low": np.asarray(document["low"], dtype),
        "high": np.asarray(document["high"], dtype),
        "allowed": None if allowed is None else np.asarray(allowed, bool),
        "searched": document["searched"],
    }


def hparams_documents(
    space: Space, hparams: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Return ``n`` configurations as JSON: name to a value that people can read.

    Args:
      space: the space of the run.
      hparams: name to ``[n]`` values, as `Space.decode` returns them.

    Returns:
      ``n`` documents.
    """
    columns = {
        name: [value_document(_exact(space[name], v)) for v in values]
        for name, values in hparams.items()
    }
    rows = len(next(iter(columns.values())))
    return [{name: column[i] for name, column in columns.items()} for i in range(rows)]


def _exact(dim: Dimension, number: Any) -> Any:
    """Return a value whose decimals give the same number again, to the bit."""
    # the short decimal of a float32, read as float64 and rounded, may miss it
    value = dim.value(number)
    known = dim.by_index or number.dtype != np.float32
    return value if known or np.float32(value) == number else number.item()


def hparams_of(space: Space, documents: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return name to ``[n]`` values as `Space.decode` returns them, to the bit."""
    # traced only: the dtypes are those of the space, nothing is computed
    shapes = jax.eval_shape(space.decode, jnp.zeros((1, space.dim)))
    hparams = {}
    for name, shape in shapes.items():
        values = [document[name] for document in documents]
        if space[name].by_index:
            known = [value_document(value) for value in space[name].choices]
            values = [known.index(value) for value in values]
        else:
            values = [value_of(value) for value in values]  # infinite ones are wrapped
        hparams[name] = np.asarray(values, shape.dtype)
    return hparams


def schedule_document(schedule: Schedule) -> list[dict[str, Any]]:
    """Return the rounds of a schedule as JSON."""
    return list(map(_stage_document, schedule.stages))


def _stage_document(stage: Stage) -> dict[str, Any]:
    document = {"open": list(stage.searched), "trials": stage.trials}
    # only rounds that a run was extended by have these
    if stage.epochs is not None:
        document["epochs"] = stage.epochs
    if stage.first:
        document["first"] = first_document(stage.first)
    # only rounds whose sampler is told what it asked for before
    if stage.batches:
        document |= {"batches": list(stage.batches), "ahead": stage.ahead}
    # only rounds that measure again
    if stage.confirms:
        document["confirms"] = stage.confirms
    # only rounds of a study
    if stage.compares:
        document["compares"] = list(stage.compares)
    return document


def stages_of(document: list[dict[str, Any]]) -> tuple[Stage, ...]:
    """Return the rounds of a document."""
    return tuple(
        Stage(
            tuple(part["open"]),
            part["trials"],
            part.get("epochs"),
            first_of(part.get("first", [])),
            tuple(part.get("batches", ())),
            part.get("ahead", False),
            part.get("confirms", 0),
            tuple(part.get("compares", ())),
        )
        for part in document
    )


def first_document(settings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return known settings as JSON: name to value, of every dimension."""
    return [{n: value_document(v) for n, v in one.items()} for one in settings]


def first_of(document: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the known settings of a document."""
    return tuple({n: value_of(v) for n, v in one.items()} for one in document)
