"""Installed packages, whose functions are known by name, apart from the user's code."""

from __future__ import annotations

import functools
import importlib.util
import site
import sys
import sysconfig
import types
from pathlib import Path


@functools.cache
def _places() -> tuple[str, ...]:
    """Return the folders of installed packages, of Python and of this package."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [sysconfig.get_paths().get(name) for name in names]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    found.append(str(Path(__file__).resolve().parents[1]))
    return tuple(str(Path(place).resolve()) + "/" for place in found if place)


@functools.cache
def _of_a_package(file: str | None) -> bool:
    """Return whether a file belongs to an installed package, or there is none."""
    if file is None or file.startswith("<frozen"):
        return True
    if file.startswith("<"):  # a notebook or a shell
        return False
    return str(Path(file).resolve()).startswith(_places())


def is_installed(thing: types.FunctionType | type | types.ModuleType) -> bool:
    """Return whether a function, a class or a module is not the user's own."""
    if isinstance(thing, types.ModuleType):
        # a package without __init__.py has folders only
        folders = list(getattr(thing, "__path__", []))
        return _of_a_package(getattr(thing, "__file__", None) or (folders or [None])[0])
    file = thing.__code__.co_filename if isinstance(thing, types.FunctionType) else "<"
    if file.startswith("<") and not file.startswith("<frozen"):
        # a function that a library writes as it runs, such as a method of a dataclass
        return is_installed_module(thing.__module__)
    return _of_a_package(file)


def is_installed_module(name: str | None) -> bool:
    """Return whether a module that has been imported is not the user's own."""
    module = sys.modules.get(name or "")
    if name == "__main__" or module is None:
        return name == "builtins"
    return is_installed(module)


def found_installed(name: str) -> bool:
    """Return whether a package that may not be imported yet is an installed one."""
    if name in sys.modules:
        return is_installed_module(name)
    try:
        found = importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):
        return False
    return found is not None and _of_a_package(found.origin)
