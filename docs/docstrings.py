"""Read docstrings for the site: examples become code, classes get their signature.

Griffe, which reads the code for mkdocstrings, loads this extension (mkdocs.yml).
"""

from __future__ import annotations

import re
from typing import Any

import griffe

# from a prompt to the next empty line, as doctest reads it
EXAMPLE = re.compile(r"^( *)>>> .*(?:\n *\S.*)*", re.MULTILINE)

OF_FIELDS = {"NamedTuple", "nn.Module"}  # bases, as they are written in this package


class Docstrings(griffe.Extension):
    """Mend what griffe would not understand of this package."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence the examples: as Markdown, each ``>>>`` is a quote in a quote."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Give a class of fields the ``__init__`` that data classes get."""
        if OF_FIELDS.isdisjoint(map(str, cls.bases)) or "__init__" in cls.members:
            return
        own = griffe.Parameter("self", kind=KIND)
        taken = griffe.Parameters(own, *map(_parameter, _fields(cls)))
        made = griffe.Function("__init__", parameters=taken, parent=cls)
        cls.set_member("__init__", made)


KIND = griffe.ParameterKind.positional_or_keyword


def fenced(text: str) -> str:
    """Return a docstring whose examples are blocks of code."""
    return EXAMPLE.sub(r"\1```pycon\n\g<0>\n\1```", text)


def _fields(kind: griffe.Class) -> list[griffe.Attribute]:
    members = [m for m in kind.members.values() if isinstance(m, griffe.Attribute)]
    return [m for m in members if m.annotation and "property" not in m.labels]


def _parameter(field: griffe.Attribute) -> griffe.Parameter:
    return griffe.Parameter(
        field.name, annotation=field.annotation, kind=KIND, default=field.value
    )
