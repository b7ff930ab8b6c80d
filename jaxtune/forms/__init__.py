"""Other forms of slow operations: the same numbers, faster on lanes and in loops."""

from jaxtune.forms.rewriting import in_fast_form, survey
from jaxtune.forms.tables import AS_WRITTEN, TABLES, rules_of, table_for

__all__ = ["AS_WRITTEN", "TABLES", "in_fast_form", "rules_of", "survey", "table_for"]
