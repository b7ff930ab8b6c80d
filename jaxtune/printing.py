"""Text of others, made safe for a terminal: names in a run may hold any character."""

from __future__ import annotations

import re

# Terminals obey control characters (C0, C1). Marks of direction show text in another
# order than it has, lines and paragraphs may be faked by separators, and half a
# surrogate pair cannot be written at all.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def counted(count: int, what: str) -> str:
    """Return a number of things in words.

    >>> from jaxtune.printing import counted
    >>> counted(1, "trial"), counted(1200, "epoch"), counted(2, "search")
    ('1 trial', '1,200 epochs', '2 searches')

    Args:
      count: how many.
      what: a word whose plural ends in s.
    """
    # a search, a batch; but an epoch
    ending = "es" if re.search("(s|x|sh|[^o]ch)$", what) else "s"
    return f"{count:,} {what}{ending * (count != 1)}"


def printable(text: str) -> str:
    r"""Return text whose control characters and marks of direction are escaped.

    >>> from jaxtune.printing import printable
    >>> printable("units\x1b[31m")
    'units\\x1b[31m'

    Args:
      text: of anybody.
    """
    return UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
