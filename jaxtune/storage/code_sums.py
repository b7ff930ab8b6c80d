"""Sums of the user's functions: their byte code and the values that they hold.

Equal functions have equal sums in all processes: nothing here depends on addresses, on
names of files, or on the order of a set. Functions of installed packages are known by
name; the versions of those that matter are compared anyway. What a sum cannot cover,
such as an object without attributes, is listed beside it.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import io
import json
import logging
import os
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtune.storage.bytecode import (
    ATTRIBUTES_ASSIGNED,
    NAMES_ASSIGNED,
    Changes,
    changes_of,
    globals_read,
    imports_of,
)
from jaxtune.storage.documents import value_document
from jaxtune.storage.packages import (
    found_installed,
    is_installed,
    is_installed_module,
)

# behind one function; what is more, deeper or larger is not known
MOST = 20_000  # values that are no numbers and texts
DEEPEST = 60  # inside one another
LARGEST = 2**32  # bytes of an array

PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, range, slice)
PLAIN += (bytearray, type(None), type(...), np.dtype)
# nothing is computed by these
# what a class of the user's own may extend
BUILT_IN = (*PLAIN[:6], tuple, list, dict, set, frozenset, np.ndarray)
QUIET = (logging.Logger, io.IOBase, type(os.environ), type(threading.Lock()))
# of dataclasses; in which module they are depends on how a script is run
WRITTEN_BY_PYTHON = (
    *("__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__"),
    *("__ge__", "__setattr__", "__delattr__", "__replace__"),
)
CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "__setstate__")
# state that changes while a search runs, and not by what is written in a program
RANDOM = (np.random.Generator, np.random.RandomState, np.random.BitGenerator)


class Sums(NamedTuple):
    """The sums of one of the user's functions, or of several.

    Args:
      sums: name to sum: of a function, and of each value that it holds.
      unknown: what they do not cover, in words.
    """

    sums: dict[str, str]
    unknown: tuple[str, ...] = ()


def python() -> str:
    """Return the version of Python that byte code belongs to."""
    return str(sys.implementation.cache_tag)


def sums_of(name: str, value: Any) -> Sums:
    """Return the sum of a value, and apart from it those of what a function holds.

    Args:
      name: of the value, in messages.
      value: usually a function.
    """
    walk = _Walk()
    sums: dict[str, str] = {}
    for label, part in _parts(name, value):
        if isinstance(part, types.FunctionType) and not is_installed(part):
            sums[label] = walk.alone(label, part)
            for held, inner in walk.held(label, part):
                sums[f"{label}.{held}"] = walk.of(f"{held} of {label}", inner)
        elif _ours(part):  # of a sampler of ours in which the user replaced another
            sums[label] = _sum("ours", part.__qualname__, _recipe(part))
        else:
            sums[label] = walk.of(label, part)
    return Sums(sums, tuple(dict.fromkeys(walk.unknown)))


def joined(several: list[Sums]) -> Sums:
    """Return several sums as one."""
    sums = {name: value for one in several for name, value in one.sums.items()}
    return Sums(sums, tuple(text for one in several for text in one.unknown))


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the functions of a named tuple by the names of its fields."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    else:
        yield name, value


def array_sum(value: Any) -> str:
    """Return the sum of an array: its dtype, its shape and its bytes."""
    if isinstance(value, jax.Array) and jnp.issubdtype(
        value.dtype, jax.dtypes.prng_key
    ):
        kind, value = str(value.dtype), jax.random.key_data(value)
    else:
        kind = str(value.dtype)
    array = np.asarray(value)
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return _sum("array", kind, str(array.shape), content.data)


def _sum(*parts: str | bytes | memoryview) -> str:
    known = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "replace") if isinstance(part, str) else part
        # with its length, so that no two lists of parts run into the same bytes
        known.update(f"{len(data)}:".encode())
        known.update(data)
    return known.hexdigest()


class _Walk:
    """Go through a value and all that it holds; mutable, for one value."""

    def __init__(self) -> None:
        # an object is kept with its sum: its id could come back as another one's
        self._known: dict[int, tuple[Any, str]] = {}
        self._open: dict[int, int] = {}
        self._count = 0
        self.unknown: list[str] = []

    def alone(self, where: str, function: types.FunctionType) -> str:
        """Return the sum of a function's code, without the values that it holds."""
        documented = function.__doc__ if isinstance(function.__doc__, str) else None
        for name in imports_of(function.__code__):
            if not found_installed(name):
                self.unknown.append(f"the module {name} that {where} imports")
        return _sum(
            "code",
            self._code(where, function.__code__, documented),
            self.of(where, function.__defaults__),
            self.of(where, function.__kwdefaults__),
        )

    def held(
        self, where: str, function: types.FunctionType
    ) -> Iterator[tuple[str, Any]]:
        """Yield the values that a function reads from around it, by name."""
        code, known = function.__code__, function.__globals__
        changes = changes_of([code], NAMES_ASSIGNED)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        around: list[tuple[str, Any]] = []
        for name, cell in cells:
            try:
                around.append((name, cell.cell_contents))
            except ValueError:  # not assigned yet
                continue
        for path in globals_read(code):
            if path[0] in known:
                around.append(_followed(known[path[0]], path))
        for name, value in dict(around).items():
            if changes.change(name, value):
                self.unknown.append(f"{name} of {where}, which it changes")
            else:
                yield name, value

    def of(self, where: str, value: Any) -> str:
        """Return the sum of any value."""
        plain = isinstance(value, PLAIN) and not isinstance(value, enum.Enum)
        if plain and is_installed(type(value)):
            return _sum("plain", type(value).__name__, repr(value))
        at = id(value)
        if at in self._known:
            return self._known[at][1]
        if at in self._open:  # it holds itself
            return _sum("again", str(len(self._open) - self._open[at]))
        self._count += 1
        if self._count > MOST or len(self._open) > DEEPEST:
            self.unknown.append(f"{where}, which holds too many values")
            return _sum("many")
        self._open[at] = len(self._open)
        try:
            found = self._of(where, value)
        except Exception:  # whatever an object of the user raises when it is asked
            found = self._opaque(where, value)
        finally:
            del self._open[at]
        self._known[at] = (value, found)
        return found

    def _of(self, where: str, value: Any) -> str:
        for kinds, look in LOOKS:
            if isinstance(value, kinds):
                found, kind = look(self, where, value), type(value)
                if issubclass(kind, BUILT_IN) and not is_installed(kind):
                    # a class of the user's own, with methods or attributes
                    held = getattr(value, "__dict__", {})
                    return _sum(
                        "own", found, *map(partial(self.of, where), (kind, held))
                    )
                return found
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:  # of jax.jit and functools
            return _sum("wrapped", type(value).__name__, self.of(where, wrapped))
        return self._object(where, value)

    def _plain(self, where: str, value: Any) -> str:
        # the text of the value itself, and not what a class of the user's own says
        del where
        base = next(kind for kind in PLAIN if isinstance(value, kind))
        said = base.__repr__(value)  # type: ignore[call-arg]
        return _sum("plain", base.__name__, said)

    def _array(self, where: str, value: Any) -> str:
        if isinstance(value, jax.core.Tracer):
            return self._opaque(where, value)
        deleted = isinstance(value, jax.Array) and value.is_deleted()
        if deleted or value.nbytes > LARGEST:
            return self._opaque(where, value)
        if isinstance(value, np.ma.MaskedArray):
            both = np.asarray(value.data), np.ma.getmaskarray(value)
            return _sum("masked", *map(array_sum, both))
        if value.dtype == object:
            return _sum("objects", str(value.shape), self.of(where, value.tolist()))
        return array_sum(value)

    def _tuple(self, where: str, value: Any) -> str:
        parts = [self.of(where, part) for part in value]
        return _sum("tuple", type(value).__name__, *parts)

    def _set(self, where: str, value: Any) -> str:
        return _sum("set", *sorted(self.of(where, part) for part in value))

    def _mapping(self, where: str, value: Any) -> str:
        pairs = sorted(
            self.of(where, name) + self.of(where, part) for name, part in value.items()
        )
        factory = getattr(value, "default_factory", None)
        return _sum("mapping", *pairs, *([self.of(where, factory)] if factory else []))

    def _function(self, where: str, value: types.FunctionType) -> str:
        if _recipe(value):
            return _sum("ours", value.__qualname__, _recipe(value))
        if is_installed(value):
            # made by a function with arguments, such as a transformation of optax;
            # what is not known there says nothing about the user's code
            made = "<locals>" in value.__qualname__
            inner, cells = _Walk(), (value.__closure__ or ()) if made else ()
            inside = [inner.of(where, _content(cell)) for cell in cells]
            return _sum("known", _name(value), *inside)
        pairs = [
            name + self.of(f"{name} of {where}", part)
            for name, part in self.held(where, value)
        ]
        changes = changes_of([value.__code__], ATTRIBUTES_ASSIGNED)
        held = {n: v for n, v in vars(value).items() if not changes.change(n, v)}
        pairs += [self.of(where, held)] if held else []
        return _sum("function", self.alone(where, value), *pairs)

    def _code(
        self, where: str, code: types.CodeType, documented: str | None = None
    ) -> str:
        constants = list(code.co_consts)
        if documented is not None and constants and constants[0] == documented:
            constants[0] = None  # a docstring computes nothing
        inner = [
            self._code(where, part)
            if isinstance(part, types.CodeType)
            # a set of constants has no order of its own
            else self.of(where, part)
            for part in constants
        ]
        numbers = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        return _sum(
            code.co_code,
            code.co_exceptiontable,
            " ".join(map(str, (*numbers, code.co_flags))),
            " ".join(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]),
            *code.co_names,
            *inner,
        )

    def _partial(self, where: str, value: Any) -> str:
        inside = (value.func, value.args, value.keywords)
        return _sum("partial", *[self.of(where, part) for part in inside])

    def _method(self, where: str, value: Any) -> str:
        both = (value.__func__, value.__self__)
        return _sum("method", *[self.of(where, part) for part in both])

    def _builtin(self, where: str, value: Any) -> str:
        owner = getattr(value, "__self__", None)
        bound = owner is not None and not isinstance(owner, types.ModuleType)
        inside = [self.of(where, owner)] if bound else []
        return _sum("builtin", _name(value), *inside)

    def _ufunc(self, where: str, value: Any) -> str:
        # np.frompyfunc makes one of a function, and does not show it
        known = getattr(np, value.__name__, None) is value
        return _sum("ufunc", value.__name__) if known else self._opaque(where, value)

    def _module(self, where: str, value: Any) -> str:
        if not is_installed(value):
            self.unknown.append(f"the module {value.__name__} of {where}")
        return _sum("module", value.__name__)

    def _class(self, where: str, value: Any) -> str:
        if is_installed(value):
            return _sum("class", _name(value))
        inside = [
            name + self.of(where, part)
            for name, part in sorted(vars(value).items())
            if not (name.startswith("__") and name.endswith("__")) or callable(part)
            if name not in ("__dict__", "__weakref__", "__doc__", "_abc_impl")
            and not (name in WRITTEN_BY_PYTHON and _is_written(part))
        ]
        bases = [self.of(where, base) for base in value.__bases__]
        return _sum("class", value.__qualname__, *bases, *inside)

    def _descriptor(self, where: str, value: Any) -> str:
        names = ("__func__", "fget", "fset", "func")
        inside = [self.of(where, getattr(value, name, None)) for name in names]
        return _sum(type(value).__name__, *inside)

    def _enum(self, where: str, value: Any) -> str:
        kind = type(value)
        methods = [
            name + self.of(where, part)
            for name, part in sorted(vars(kind).items())
            if isinstance(part, types.FunctionType) and not _is_written(part)
        ]
        inside = self.of(where, value.value)
        return _sum("enum", kind.__qualname__, value.name, inside, *methods)

    def _object(self, where: str, value: Any) -> str:
        kind = type(value)
        if hasattr(kind, "__array__"):  # of pandas, PyTorch and others
            return _sum(kind.__qualname__, self._array(where, np.asarray(value)))
        attributes = getattr(value, "__dict__", None)
        # what another package keeps in an object may change as it is used
        open_to_us = not is_installed(kind) or hasattr(kind, "__dataclass_fields__")
        if not isinstance(attributes, dict) or not open_to_us:
            attributes = _slots(value) if open_to_us else None
        if attributes is None:
            return self._opaque(where, value)
        changes = _changes_by_methods(kind)
        kept = {}
        for name, part in attributes.items():
            if changes.change(name, part):
                self.unknown.append(f"{name} of {where}, which it changes")
            # computed on demand, so not always there
            elif not isinstance(
                inspect.getattr_static(kind, name, None), functools.cached_property
            ):
                kept[name] = part
        return _sum("object", self.of(where, kind), self.of(where, kept))

    def _quiet(self, where: str, value: Any) -> str:
        del where
        return _sum("quiet", type(value).__name__)

    def _opaque(self, where: str, value: Any) -> str:
        kind = type(value)
        if not hasattr(kind, "__get__"):  # an attribute of a class, as of named tuples
            self.unknown.append(f"{where}: an object of {_name(kind)}")
        return _sum("opaque", _name(kind))


Look = Callable[[_Walk, str, Any], str]

# the first row whose types fit
LOOKS: tuple[tuple[Any, Look], ...] = (
    (enum.Enum, _Walk._enum),
    (PLAIN, _Walk._plain),
    ((np.ndarray, np.generic, jax.Array), _Walk._array),
    (QUIET, _Walk._quiet),
    ((tuple, list, deque), _Walk._tuple),
    ((set, frozenset), _Walk._set),
    (Mapping, _Walk._mapping),
    (types.FunctionType, _Walk._function),
    (functools.partial, _Walk._partial),
    (types.MethodType, _Walk._method),
    ((types.BuiltinFunctionType, types.MethodWrapperType), _Walk._builtin),
    ((types.WrapperDescriptorType, types.MethodDescriptorType), _Walk._builtin),
    (np.ufunc, _Walk._ufunc),
    ((types.GetSetDescriptorType, types.MemberDescriptorType), _Walk._builtin),
    (types.ModuleType, _Walk._module),
    (type, _Walk._class),
    ((staticmethod, classmethod, property), _Walk._descriptor),
    (functools.cached_property, _Walk._descriptor),
    (RANDOM, _Walk._opaque),
)


def _ours(value: Any) -> bool:
    return _module_of(value).split(".")[0] == "jaxtune" and callable(value)


def _recipe(value: Any) -> str:
    """Return how a function of ours was made; empty if it does not say."""
    made = getattr(value, "made", None) if _ours(value) else None
    return "" if made is None else json.dumps(value_document(made[1]), sort_keys=True)


def _module_of(value: Any) -> str:
    return getattr(value, "__module__", None) or ""


def _is_written(value: Any) -> bool:
    """Return whether Python or a package wrote a method, and not the user."""
    written = isinstance(value, types.FunctionType)
    return written and (value.__code__.co_filename == "<string>" or is_installed(value))


def _slots(value: Any) -> dict[str, Any] | None:
    names = [n for kind in type(value).__mro__ for n in getattr(kind, "__slots__", ())]
    return {n: getattr(value, n, None) for n in names} if names else None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _name(value: Any) -> str:
    module = _module_of(value)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
    name = name or type(value).__name__
    # a script is __main__ at first, and later a module
    return f"{module}.{name}" if is_installed_module(module) else name


def _followed(value: Any, path: tuple[str, ...]) -> tuple[str, Any]:
    """Return what a path of names leads to, as far as these are modules."""
    name, rest = path[0], list(path[1:])
    while rest and isinstance(value, types.ModuleType) and hasattr(value, rest[0]):
        if is_installed(value):
            # by name: what other packages hold may change, such as os.environ
            return ".".join(path), ".".join((value.__name__, *rest))
        name, value = f"{name}.{rest[0]}", getattr(value, rest.pop(0))
    return name, value


def _changes_by_methods(kind: type) -> Changes:
    """Return what the methods of the user's class change, its constructors apart."""
    methods = [
        method.__code__
        for each in kind.__mro__
        if not is_installed(each)
        for name, method in vars(each).items()
        if isinstance(method, types.FunctionType) and name not in CONSTRUCTORS
    ]
    return changes_of(methods, ATTRIBUTES_ASSIGNED)
