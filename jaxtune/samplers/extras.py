"""Samplers that need a package which jaxtune does not bring."""

from __future__ import annotations

import importlib.util


def needed(package: str) -> None:
    """Say how to get a package, if it is not there.

    Raises:
      ImportError: naming it and the extra.
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"this sampler needs the package {package!r}: "
            "pip install 'jaxtune[samplers]'."
        )
