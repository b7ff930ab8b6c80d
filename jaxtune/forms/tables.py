"""The tables of rules: one for each kind of device, and for each version.

A run records the name of its table. Once released, a table never changes: a better rule
goes into a new table, and the runs of an older one are resumed and rerun with that.
"""

from __future__ import annotations

from jaxtune.forms import convolutions, pooling
from jaxtune.forms.rules import Rule

AS_WRITTEN = ""

# order matters: the first rule that applies to an operation is used
TABLES: dict[str, tuple[Rule, ...]] = {
    AS_WRITTEN: (),
    "cpu-1": (
        convolutions.PRODUCT,
        convolutions.SHIFTED,
        convolutions.GROUPS,
        convolutions.CANONICAL,
        pooling.MAXIMUM,
        pooling.MAXIMUM_GRADIENT,
        pooling.AVERAGE,
    ),
    "gpu-1": (convolutions.UNFOLDED, convolutions.UNFOLDED_GRADIENT),
}
NEWEST = {"cpu": "cpu-1", "gpu": "gpu-1", "cuda": "gpu-1", "rocm": "gpu-1"}


def table_for(platform: str) -> str:
    """Return the name of the newest table for a kind of device.

    >>> from jaxtune.forms import table_for
    >>> table_for("cpu"), table_for("tpu")
    ('cpu-1', '')

    Args:
      platform: of the devices, as JAX calls it.
    """
    return NEWEST.get(platform, AS_WRITTEN)


def rules_of(table: str) -> tuple[Rule, ...]:
    """Return the rules of a table.

    Raises:
      ValueError: a table that this version does not have.
    """
    if table not in TABLES:
        known = ", ".join(repr(name) for name in TABLES)
        raise ValueError(
            f"forms: got {table!r}, and this version has {known}. Use a newer jaxtune."
        )
    return TABLES[table]
