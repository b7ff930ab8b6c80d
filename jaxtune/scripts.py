"""Scripts that are read for the names they define, not to do what they do."""

from __future__ import annotations

import runpy
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jaxtune.checks import RunError

_reading: ContextVar[str] = ContextVar("_reading", default="")


def names_of(source: str) -> dict[str, Any]:
    """Execute a script or a module, but for what it guards, and return its names.

    Args:
      source: ``FILE.py``, or the name of a module.

    Raises:
      ValueError: there is no such file.
      RunError: it begins a search.
    """
    token = _reading.set(source)
    try:
        if not source.endswith(".py"):
            return runpy.run_module(source)
        if not Path(source).is_file():
            raise ValueError(
                f"--task {source}: there is no such file. Use the path of the script."
            )
        # not as __main__: below that guard a script usually starts its search
        return runpy.run_path(source, run_name=Path(source).stem)
    finally:
        _reading.reset(token)


def check_not_reading() -> None:
    """Raise ``RunError`` where a script is read that would now begin a search."""
    if source := _reading.get():
        raise RunError(
            f"--task {source}: it begins a search while it is read for its names, and "
            "would train everything again. Put what it does below "
            '`if __name__ == "__main__":`, and leave outside what defines the task.'
        )
