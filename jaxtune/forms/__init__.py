"""Other forms of slow operations: the same numbers, faster on lanes and in loops."""

from jaxtune.forms.rewriting import in_fast_form, runs_lane_by_lane, survey
from jaxtune.forms.tables import AS_WRITTEN, TABLES, rules_of, table_for

__all__ = [
    "AS_WRITTEN",
    "TABLES",
    "in_fast_form",
    "rules_of",
    "runs_lane_by_lane",
    "survey",
    "table_for",
]
